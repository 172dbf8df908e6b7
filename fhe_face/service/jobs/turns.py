"""Whose job is next: the key that is in memory first, but everybody gets a turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Waiting(NamedTuple):
    """Jobs of one tenant for one key; first: number of the oldest."""

    tenant: str
    key: str
    first: int


@dataclass
class Turns:
    """One worker's memory of whom it served when.

    A key keeps its turn while it has jobs, for `seconds` at most if others wait. Then comes the
    tenant that was served longest ago, and of its keys the one that was. So nobody waits longer
    than all other tenants' turns, and keys are loaded once in a turn.
    """

    seconds: float
    _current: tuple[str, str] | None = None
    _since: float = 0.0
    _tenants: dict[str, float] = field(default_factory=dict)
    _keys: dict[tuple[str, str], float] = field(default_factory=dict)

    def choose(self, waiting: Sequence[Waiting], now: float) -> Waiting | None:
        """The next, None if nothing waits. now: seconds of any clock that never goes back."""
        if not waiting:
            return None
        for one in waiting:
            if (one.tenant, one.key) == self._current and now - self._since < self.seconds:
                return self._served(one, now)
        chosen = min(
            waiting,
            key=lambda one: (
                self._tenants.get(one.tenant, -1.0),
                self._keys.get((one.tenant, one.key), -1.0),
                one.first,
            ),
        )
        self._current, self._since = (chosen.tenant, chosen.key), now
        self._forget(waiting)
        return self._served(chosen, now)

    def _served(self, one: Waiting, now: float) -> Waiting:
        self._tenants[one.tenant] = now
        self._keys[one.tenant, one.key] = now
        return one

    def _forget(self, waiting: Sequence[Waiting]) -> None:
        """Keep nothing of those who have not come for long: nobody's memory grows for ever."""
        if len(self._keys) > 1000:
            self._tenants = {w.tenant: self._tenants.get(w.tenant, -1.0) for w in waiting}
            self._keys = {
                (w.tenant, w.key): self._keys.get((w.tenant, w.key), -1.0) for w in waiting
            }
