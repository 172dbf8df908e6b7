"""Progress of what goes over a network: megabytes, and a line now and then where nobody looks."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fhe_face.output import Output
from fhe_face.progress import Stage
from fhe_face.system import duration, size

_BETWEEN = 30.0
_MEGABYTE = 1_000_000


@dataclass
class Transfer:
    """A stage that is told bytes; one thing after the other."""

    output: Output
    stage: Stage
    _what: str = ""
    _began: float = 0.0
    _told: float = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        self.stage(f"{what} (MB)", -(-done // _MEGABYTE), -(-total // _MEGABYTE))
        now = time.monotonic()
        if what != self._what:
            self._what, self._began, self._told = what, now, now
        if self.output.interactive or now - self._told < _BETWEEN or not 0 < done < total:
            return
        self._told = now
        left = (now - self._began) / done * (total - done)
        self.output.note(f"{what}: {size(done)} of {size(total)}, {duration(left)} left")


@dataclass
class Steps:
    """A stage for a job: bytes while it is sent and fetched, steps while it is computed."""

    transfer: Transfer

    def __call__(self, what: str, done: int, total: int) -> None:
        if what.startswith(("sending", "receiving")):
            self.transfer(what, done, total)
        else:
            self.transfer.stage(what, done, total)
