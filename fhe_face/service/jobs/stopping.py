"""Why a computation stops in its middle."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from types import FrameType
from typing import Final

from fhe_core.errors import Failure

#: An end that was asked for is noticed within this time where nothing is computed.
_LONGEST_NAP_SECONDS: Final = 0.2


class Cancelled(Failure):
    """Its tenant asked for it."""

    code = "cancelled"


class HandedBack(Failure):
    """The worker was asked to end: another one goes on."""

    code = "handed-back"


class TimeUp(Failure):
    """It has taken longer than it may; the text says how long that was."""

    code = "time-up"


class Died(Failure):
    """The process that computed it, on this machine or another, has died; the text says how."""

    code = "died"


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
