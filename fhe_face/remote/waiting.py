"""Waiting for a job of the server."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from fhe_face.progress import Stage, silent
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import JobFailed, JobLeft, RemoteError
from fhe_face.remote.following import Following
from fhe_face.remote.jobs import Job, cancel, result_of, tell
from fhe_face.remote.resources import Room

#: A job that is not done by then is given up, and cancelled.
PATIENCE_SECONDS: Final = 6 * 3600.0


def wait(
    connection: Connection,
    job: Job,
    stage: Stage = silent,
    *,
    patience: float = PATIENCE_SECONDS,
    leave: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Room, str]:
    """Until a job is done; where its result is.

    Whatever ends the waiting cancels the job. leave: a job whose result can be fetched later goes
    on, unless it takes too long.

    Raises:
        JobFailed: it failed, was cancelled, or takes longer than `patience` seconds.
        JobLeft: Ctrl-C, and the job goes on. RemoteError: the server cannot be asked.
    """
    following = Following(connection, clock() + patience, sleep, clock)
    try:
        for found in following.states(job):
            job = found
            tell(job, stage)
        if not job.state.ended:
            leave = False
            raise JobFailed(
                f"job {job.id} took longer than {patience:.0f} s and was cancelled",
                job.id or "",
                "timeout",
            )
    except BaseException as error:
        if job.id is None or job.state.ended:
            raise
        if not leave:
            with suppress(RemoteError):
                cancel(connection.hasty(), job.id)
        elif isinstance(error, KeyboardInterrupt):
            raise JobLeft(job.id) from error
        raise
    return result_of(job)
