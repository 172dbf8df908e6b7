"""A worker's child processes, which may die."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fhe_face.process import calm_environment
from fhe_face.service.jobs.lane import LaneSettings

ROOT: Final = Path(__file__).resolve().parents[3]
_LONGEST_PAUSE_SECONDS: Final = 30.0
#: A lane that lived so long did not die of how it was started.
_HEALTHY_SECONDS: Final = 60.0


@dataclass
class Lane:
    """A child process that is started again when it dies. module: what it runs."""

    module: str
    settings: LaneSettings
    root: Path = ROOT
    _process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0
    _deaths: int = 0
    _not_before: float = 0.0

    def start(self, now: float) -> None:
        """Start it if it does not run and has paused long enough. Never by fork of our state."""
        if self._process is not None or now < self._not_before:
            return
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=self.root,
            env=calm_environment(),
            start_new_session=True,  # Ctrl-C reaches the worker only, which ends them in order
        )
        self._started = now
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(self.settings.to_json().encode())
            self._process.stdin.close()

    def ended(self, now: float) -> int | None:
        """Its status if it has just ended (negative: a signal); it is started again later."""
        status = None if self._process is None else self._process.poll()
        if status is not None:
            self._process = None
            self._deaths = 1 if now - self._started > _HEALTHY_SECONDS else self._deaths + 1
            first = self.settings.limits.pause_seconds
            pause = 0.0 if self._deaths == 1 else first * 2.0 ** min(self._deaths - 2, 20)
            self._not_before = now + min(pause, _LONGEST_PAUSE_SECONDS)
        return status

    def forgive(self) -> None:
        """The last death was not its own fault: it is started again at once."""
        self._deaths, self._not_before = 0, 0.0

    def signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within that time."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True
