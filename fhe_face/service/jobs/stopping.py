"""Why a computation stops in its middle."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from types import FrameType
from typing import Final

#: An end that was asked for is noticed within this time where nothing is computed.
_LONGEST_NAP_SECONDS: Final = 0.2


class Cancelled(Exception):
    """Its tenant asked for it."""


class HandedBack(Exception):
    """The worker was asked to end: another one goes on."""


class TimeUp(Exception):
    """It has taken longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it was ended after {seconds:.0f} s")


@dataclass
class Stopping:
    """Whether the process was asked to end; what it computes then has `grace` seconds left."""

    grace: float = 25.0
    asked: bool = False
    _until: float = float("inf")

    def ask(self) -> None:
        """End soon: no new job is begun."""
        if not self.asked:
            self._until = time.monotonic() + self.grace
            self.asked = True

    def on_signals(self) -> None:
        """Let SIGTERM and SIGINT ask for it."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            self.ask()  # nothing else: a lock taken here could be held by who is interrupted

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handle)

    def nap(self, seconds: float) -> None:
        """Sleep, or until asked to end."""
        end = time.monotonic() + seconds
        while not self.asked and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _LONGEST_NAP_SECONDS))

    def check(self) -> None:
        """Raise HandedBack when the grace is over."""
        if time.monotonic() > self._until:
            raise HandedBack
