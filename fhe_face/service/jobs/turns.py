"""Whose job is next: keys that are in memory first, but everybody gets a turn."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Waiting(NamedTuple):
    """Jobs of one tenant for one key; first: number of the oldest."""

    tenant: str
    key: str
    first: int


class Served(NamedTuple):
    """When a job of a tenant for a key was begun last, in seconds before now."""

    tenant: str
    key: str
    ago: float


@dataclass
class Turns:
    """One worker's memory of whom it served when.

    As long as keys in memory have jobs, other keys wait: but every `seconds` one of those is
    loaded. Among equals the tenant goes first that was served longest ago, and of its keys the one
    that was. So nobody waits longer than `seconds` for each tenant before it, and keys are loaded
    no more often than that while there is something to do without.
    """

    seconds: float
    _loaded_at: float = float("-inf")
    _tenants: dict[str, float] = field(default_factory=dict)
    _keys: dict[tuple[str, str], float] = field(default_factory=dict)

    def remember(self, served: Iterable[Served], now: float) -> None:
        """Go on where a process ended, whose memory is gone: who ended it is not next again."""
        for tenant, key, ago in served:
            when = now - ago
            self._tenants[tenant] = max(when, self._tenants.get(tenant, when))
            self._keys[tenant, key] = when

    def choose(
        self, waiting: Sequence[Waiting], loaded: Collection[str], now: float
    ) -> Waiting | None:
        """The next, None if nothing waits.

        loaded: keys in memory. now: seconds of any clock that never goes back.
        """
        here = [one for one in waiting if one.key in loaded]
        others = [one for one in waiting if one.key not in loaded]
        if others and (not here or now - self._loaded_at >= self.seconds):
            self._loaded_at = now
            here = others
        if not here:
            return None
        chosen = min(here, key=self._rank)
        self._tenants[chosen.tenant] = self._keys[chosen.tenant, chosen.key] = now
        if len(self._keys) > 1000:
            self._forget(waiting)
        return chosen

    def _rank(self, one: Waiting) -> tuple[float, float, int]:
        never = float("-inf")
        served = self._keys.get((one.tenant, one.key), never)
        return self._tenants.get(one.tenant, never), served, one.first

    def _forget(self, waiting: Sequence[Waiting]) -> None:
        """Keep nothing of those who do not wait: their memory would grow for ever."""
        tenants, keys = {w.tenant for w in waiting}, {(w.tenant, w.key) for w in waiting}
        self._tenants = {k: v for k, v in self._tenants.items() if k in tenants}
        self._keys = {k: v for k, v in self._keys.items() if k in keys}
