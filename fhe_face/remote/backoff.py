"""When to try again: exponential back-off with full jitter, and what the server asks for."""

from __future__ import annotations

import email.utils
import math
import random
import time
from dataclasses import dataclass, field
from typing import Final

#: A server that asks for more than this is given up.
LONGEST_SECONDS: Final = 300.0


@dataclass(frozen=True)
class Backoff:
    """attempts: in all; first, most: seconds, of the first wait and of any."""

    attempts: int = 6
    first: float = 0.5
    most: float = 30.0
    random: random.Random = field(default_factory=random.SystemRandom)

    def wait(self, attempt: int, asked: float | None = None) -> float:
        """Seconds after the attempt of that number, from 1.

        asked: what the server asks for; a little more is waited, so that many clients do not come
        back at once.
        """
        spread = min(self.most, self.first * 2.0 ** (attempt - 1))
        if asked is not None:
            return asked + self.random.uniform(0, min(1.0, spread))
        return self.random.uniform(spread / 2, spread)


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3): a number, or a date; None: neither."""
    if value is None or len(value) > 64:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) < 10 else math.inf
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(0.0, moment - (time.time() if now is None else now))
