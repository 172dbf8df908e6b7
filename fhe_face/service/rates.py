"""How often a tenant may ask, and how often a stranger may be wrong. Library: `limits`."""

from __future__ import annotations

import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from fhe_face.service.errors import TooManyRequests

#: Wrong tokens from one address, in a minute.
STRANGER = 30


class Rates:
    """Counts requests in memory; there is one API process, and a restart forgives."""

    def __init__(self) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def count(self, tenant: str, per_minute: int) -> None:
        """One request of a tenant. TooManyRequests: it has had as many as it may."""
        self._hit(RateLimitItemPerMinute(max(1, per_minute), namespace="tenant"), tenant)

    def wrong_token(self, address: str) -> None:
        """A request without a valid token. TooManyRequests: too many came from there.

        Whoever has a valid one is not counted, and comes in: addresses are shared.
        """
        self._hit(RateLimitItemPerMinute(STRANGER, namespace="stranger"), address)

    def _hit(self, item: RateLimitItemPerMinute, name: str) -> None:
        if not self._limiter.hit(item, name):
            raise self._wait(item, name)

    def _wait(self, item: RateLimitItemPerMinute, name: str) -> TooManyRequests:
        reset = self._limiter.get_window_stats(item, name).reset_time
        return TooManyRequests("too many requests: wait a little", max(1.0, reset - time.time()))
