"""Keeps the worker process running: started anew when it dies, ended when the service ends."""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

#: Before a worker that died is started again: the first wait, and the longest.
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 60.0
#: A worker that ran for so long was sound: waits begin anew.
_SOUND_SECONDS: Final = 60.0
_log = logging.getLogger("fhe_face.service")


@dataclass
class Supervisor:
    """One child process. grace_seconds: it may take to end when it is asked to.

    Its stdin is a pipe that nothing is written to: when this process is gone, it ends.
    """

    command: Sequence[str]
    grace_seconds: float
    starts: int = 0
    process: Process | None = None

    async def run(self) -> None:
        """Until this task is cancelled; the child has ended then."""
        wait = _FIRST_WAIT
        while True:
            began = time.monotonic()
            try:
                status = await self._once()
            except OSError as error:
                status = f"cannot be started: {error.strerror}"
            if time.monotonic() - began > _SOUND_SECONDS:
                wait = _FIRST_WAIT
            _log.error("the worker has ended (%s); starting it again in %.1f s", status, wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _once(self) -> str:
        """One life of the child; how it ended."""
        self.process = await asyncio.create_subprocess_exec(*self.command, stdin=PIPE)
        self.starts += 1
        try:
            return f"status {await self.process.wait()}"
        finally:
            await asyncio.shield(self._end(self.process))
            self.process = None

    async def _end(self, process: Process) -> None:
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self.grace_seconds)
        except asyncio.TimeoutError:
            _log.error("the worker did not end in %.0f s: killing it", self.grace_seconds)
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
