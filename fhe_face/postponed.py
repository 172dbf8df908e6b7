"""Signals that wait until a piece of work is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def postponed_signals() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and termination wait for the end of the block; yields whether one is waiting.

    After the block, what had been in place gets the signal. A second one is not postponed. Outside
    the main thread nothing can be postponed, and nothing is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    waiting: list[int] = []

    def postpone(number: int, _frame: FrameType | None) -> None:
        if waiting:
            raise KeyboardInterrupt
        waiting.append(number)

    before = {number: signal.signal(number, postpone) for number in _SIGNALS}
    try:
        yield lambda: bool(waiting)
    finally:
        for number, handler in before.items():
            # None: a handler that was not set from Python cannot be set back from it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if waiting:
        signal.raise_signal(waiting[0])
