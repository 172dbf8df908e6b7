"""Running a server job in a separate process, from the client's side of the fence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fhe_core.errors import Failure
from fhe_core.files import one_line
from fhe_face.progress import Stage, silent
from fhe_face.server.job import Job


class ServerError(Failure):
    """The server process reports an error, says what is no answer, or ended without one."""

    code = "server"


_PATIENCE_SECONDS = 10
#: `python -m` looks in the current folder first: it must be ours, not one that has its own
#: package called "models". So file names in a job must be absolute.
_ROOT = Path(__file__).resolve().parents[2]


def run_job(job: Job, stage: Stage = silent) -> dict[str, Any]:
    """Start a server process, hand it the job, relay its progress, and return its report.

    File names must be absolute. The process inherits no key and no file but its pipes, and does
    not outlive this call.

    Raises:
        ServerError: the server reports an error, or ends without a report.
    """
    with _process() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # it ended at once: its status says why
            process.stdin.write(job.to_json())
            process.stdin.close()
        report = relay(process.stdout, stage)
        if report is None:
            raise ServerError(_ended(process.wait()))
        return report


def relay(lines: Iterable[str], stage: Stage) -> dict[str, Any] | None:
    """Pass a server's progress on, up to its report; None where it ends without one.

    Raises:
        ServerError: the server reports an error, or says what is no answer.
    """
    for line in lines:
        message = _parse(line)
        report, what = message.get("report"), message.get("stage")
        done, total = message.get("done"), message.get("total")
        if isinstance(report, dict):
            return report
        if isinstance(message.get("error"), str):
            raise ServerError(one_line(f"the server says: {message['error']}"))
        if not (isinstance(what, str) and isinstance(done, int) and isinstance(total, int)):
            raise _no_answer(line)
        stage(one_line(what), done, total)
    return None


@contextmanager
def _process() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "fhe_face.server.job"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        text=True,
        encoding="utf-8",
    )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """End a server process, whatever it does."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _parse(line: str) -> Mapping[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise _no_answer(line)
    return message


def _no_answer(line: str) -> ServerError:
    return ServerError(f"the server says something that is no answer: {line.strip()[:200]!r}")


def _ended(status: int) -> str:
    if status == -9:
        return "the server process was killed; it needs about 10 GB of memory"
    return f"the server process ended without an answer (status {status})"
