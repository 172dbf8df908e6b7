"""In which order and how many at a time the server computes: the only place that decides it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from fhe_core.formats.ciphertexts import Bundle


class Matcher(Protocol):
    """The server, as far as encrypted pairs need it."""

    def embed_pair(self, first: Bundle, second: Bundle) -> tuple[Bundle, Bundle]: ...

    def match(self, left: Bundle, right: Bundle) -> Bundle: ...


class Matched(NamedTuple):
    """The encrypted score of one pair, and the seconds of pure computation that it took."""

    number: int
    score: Bundle
    seconds: float


def matched(
    server: Matcher, numbers: Iterable[int], read: Callable[[int], tuple[Bundle, Bundle]]
) -> Iterator[Matched]:
    """Scores as they become ready; `read` gives the two encrypted faces of a pair."""
    for number in numbers:
        first, second = read(number)
        started = time.perf_counter()
        score = server.match(*server.embed_pair(first, second))
        yield Matched(number, score, time.perf_counter() - started)
