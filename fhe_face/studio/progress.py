"""What is under way, for a page: steps with their times, in the order in which they began."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from fhe_core.errors import Failure


class Side(str, Enum):
    """Who does a step."""

    CLIENT = "client"
    SERVER = "server"


class Cancelled(Failure):
    """The person gave a job up."""

    code = "studio-cancelled"


@dataclass(frozen=True)
class Step:
    """done of total (0: unknown); began, ended: on the clock of `time.monotonic`."""

    side: Side
    what: str
    done: int
    total: int
    began: float
    ended: float | None = None

    @property
    def finished(self) -> bool:
        return self.ended is not None

    @property
    def seconds(self) -> float:
        """That it took, or takes so far."""
        return (time.monotonic() if self.ended is None else self.ended) - self.began

    @property
    def left(self) -> float | None:
        """Seconds to go, by what is done; None where that says nothing yet."""
        if self.finished or not self.total or self.done < 3 or self.seconds < 1:
            return None
        return self.seconds * (self.total - self.done) / self.done


class Progress:
    """Steps, which one thread reports and others read. version: grows with every change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: dict[tuple[Side, str], Step] = {}
        self.version = 0

    def report(self, side: Side, what: str, done: int, total: int) -> None:
        """A step begins, goes on, or ends (done is total); one that begins ends those before."""
        now = time.monotonic()
        with self._lock:
            step = self._steps.get((side, what))
            if step is None:
                self._end(now)
                step = Step(side, what, done, total, now)
            ended = now if total and done >= total else None
            self._steps[side, what] = replace(step, done=done, total=total, ended=ended)
            self.version += 1

    def finish(self) -> None:
        """Whatever was under way has ended."""
        with self._lock:
            self._end(time.monotonic())
            self.version += 1

    def steps(self) -> list[Step]:
        """All so far."""
        with self._lock:
            return list(self._steps.values())

    def stage(self, side: Side) -> Callable[[str, int, int], None]:
        """A `fhe_face.progress.Stage` for one side."""
        return lambda what, done, total: self.report(side, what, done, total)

    def follow(self, other: Progress) -> None:
        """Have the steps of another one at the front."""
        theirs = {(step.side, step.what): step for step in other.steps()}
        with self._lock:
            own = {key: step for key, step in self._steps.items() if key not in theirs}
            self._steps = theirs | own
            self.version += 1

    def _end(self, now: float) -> None:
        for key, step in self._steps.items():
            if not step.finished:
                self._steps[key] = replace(step, done=step.total, ended=now)
