"""Standard output whose reader may stop early, as in ``command | head``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: As other programs that a closed pipe ends quietly.
CLOSED_STATUS = 1


@contextmanager
def early_end_is_quiet() -> Iterator[None]:
    """A closed pipe ends the block with status 1 and without a traceback."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()
        raise SystemExit(CLOSED_STATUS) from None


def silence_stdout() -> None:
    """Keep Python from complaining when it flushes a closed pipe at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
