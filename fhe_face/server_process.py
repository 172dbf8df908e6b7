"""Running a server job in a separate process, from the client's side of the fence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fhe_face.failures import CommandError
from fhe_face.progress import Stage, silent
from fhe_face.server_job import Job

_PATIENCE_SECONDS = 10
#: `python -m` looks in the current folder first: it must be ours, not one that has its own
#: package called "models". So file names in a job must be absolute.
_ROOT = Path(__file__).resolve().parent.parent


def run_job(job: Job, stage: Stage = silent) -> dict[str, Any]:
    """Start a server process, hand it the job, relay its progress, and return its report.

    File names must be absolute. The process inherits no key and no file but its pipes, and does
    not outlive this call.

    Raises:
        CommandError: the server reports an error, or ends without a report.
    """
    with _process() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # it ended at once: its status says why
            process.stdin.write(job.to_json())
            process.stdin.close()
        for line in process.stdout:
            message = _parse(line)
            if "report" in message:
                return dict(message["report"])
            if "error" in message:
                raise CommandError(f"the server says: {message['error']}")
            if "stage" in message:
                stage(str(message["stage"]), int(message["done"]), int(message["total"]))
        raise CommandError(_ended(process.wait()))


@contextmanager
def _process() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "fhe_face.server_job"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        text=True,
        encoding="utf-8",
    )
    try:
        yield process
    finally:
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
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise CommandError(f"the server says something that is no answer: {line.strip()[:200]!r}")
    return message


def _ended(status: int) -> str:
    if status == -9:
        return "the server process was killed; it needs about 10 GB of memory"
    return f"the server process ended without an answer (status {status})"
