"""Running a server job in a separate process, from the client's side of the fence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fhe_core.errors import Failure
from fhe_core.files import one_line
from fhe_face.process import calm_environment
from fhe_face.progress import Stage, silent
from fhe_face.server.job import Job


class ServerError(Failure):
    """The server process reports an error, says what is no answer, or ended without one."""

    code = "server"


class NoAnswer(ServerError):
    """What came is no answer, or none came: what comes next would be none to the next request."""

    code = "server-no-answer"


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
    process = started((sys.executable, "-m", "fhe_face.server.job"))
    try:
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it ended at once: its status says why
            process.stdin.write(job.to_json())
            process.stdin.close()
        return answered(process, stage)
    finally:
        end(process)


def started(command: Sequence[str], apart: bool = False) -> subprocess.Popen[str]:
    """A server process with pipes to it; `end` ends it. apart: no Ctrl-C of the terminal's reaches
    it."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        env=calm_environment(),
        text=True,
        encoding="utf-8",
        start_new_session=apart,
    )


def answered(process: subprocess.Popen[str], stage: Stage) -> dict[str, Any]:
    """The report of a request to a process, whose progress is passed on.

    Raises:
        NoAnswer: the server says what is no answer, or ends without one.
        ServerError: it reports an error.
    """
    assert process.stdout is not None
    report = relay(process.stdout, stage)
    if report is None:
        raise NoAnswer(_ended(process.wait()))
    return report


def relay(lines: Iterable[str], stage: Stage) -> dict[str, Any] | None:
    """Progress, up to the report; None where it ends without one."""
    for line in lines:
        message = parsed(line)
        report, what = message.get("report"), message.get("stage")
        done, total = message.get("done"), message.get("total")
        if isinstance(report, dict):
            return report
        if isinstance(message.get("error"), str):
            raise ServerError(one_line(f"the server says: {message['error']}"))
        if not (isinstance(what, str) and isinstance(done, int) and isinstance(total, int)):
            raise no_answer(line)
        stage(one_line(what), done, total)
    return None


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


def parsed(line: str) -> Mapping[str, Any]:
    """A line of a server's. NoAnswer: it is no JSON object."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise no_answer(line)
    return message


def no_answer(line: str) -> NoAnswer:
    """The error for something that a server says."""
    return NoAnswer(f"the server says something that is no answer: {line.strip()[:200]!r}")


def _ended(status: int) -> str:
    if status == -9:
        return (
            "the server process was killed, perhaps because memory ran out: it takes about 4 GB "
            "for one face at a time, 10 GB for batches"
        )
    return f"the server process ended without an answer (status {status})"
