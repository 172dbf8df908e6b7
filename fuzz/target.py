"""What is fuzzed: a parser, inputs that it accepts, and the errors that it may raise."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Of an error's text, which may name a file and quote some of it.
MAX_TEXT = 6000
Mutate = Callable[[bytes, random.Random], bytes]


class FuzzFindingError(AssertionError):
    """A parser did what it must not."""


@dataclass(frozen=True)
class Target:
    """One parser.

    parse: uses an input as far as our code would; allowed: the errors it may raise, whose text
    must be one line; seeds: valid inputs; mutate: changes an input and keeps most of its structure.
    """

    name: str
    parse: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...]
    seeds: Sequence[bytes]
    mutate: Mutate


def accepts(target: Target, data: bytes) -> bool:
    """Whether the parser takes an input; an error of another type passes through.

    Raises:
        FuzzFindingError: the error's text is not one printable line.
    """
    try:
        target.parse(data)
    except target.allowed as error:
        text = str(error)
        if not text.isprintable() or not 0 < len(text) <= MAX_TEXT:
            raise FuzzFindingError(f"{type(error).__name__} says {text[:200]!r}") from error
        return False
    return True


class Scratch:
    """A file that takes one input after the other, for parsers of files."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name

    def holding(self, data: bytes) -> Path:
        self.path.write_bytes(data)
        return self.path
