"""The process of a command: signals that end it tidily, names of any bytes, a private memory."""

from __future__ import annotations

import io
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_PR_SET_DUMPABLE = 4


@contextmanager
def tidy_end() -> Iterator[None]:
    """SIGTERM, and SIGHUP of a closed terminal, end the block through all its `finally`s.

    The status is 128 and the signal's number. Further ones wait until the block has ended. What
    is ignored already, as by nohup, stays ignored. In another thread than the first, which gets
    no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING}

    def leave(number: int, _frame: FrameType | None) -> None:
        for other in _ENDING:
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(128 + number)

    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, leave)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def any_names() -> Iterator[None]:
    """Text that an output stream has no letters for is escaped while the block runs."""
    with ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stack.callback(_set_errors, stream, stream.errors)
                _set_errors(stream, "backslashreplace")
        yield


def _set_errors(stream: io.TextIOWrapper, errors: str | None) -> None:
    with suppress(OSError, ValueError):  # a closed pipe, a closed stream
        stream.reconfigure(errors=errors)


def can_start_threads(count: int) -> bool:
    """Whether so many threads can be started beside this one, at the same time."""
    end = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        return False
    finally:
        end.set()
        for thread in started:
            thread.join()
    return True


def spare_threads() -> None:
    """Keep numpy's OpenBLAS from starting threads that the system refuses.

    It would end the process by an interrupt. To be called before numpy is imported.
    """
    if not can_start_threads((os.cpu_count() or 1) - 1):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def calm_threads() -> None:
    """One thread for numpy's OpenBLAS, unless somebody has chosen: its threads spin while they
    wait, and small matrices on a busy machine took ten times as long.

    To be called before numpy is imported.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def calm_environment() -> dict[str, str]:
    """This process's, for one that computes on threads of ours: numpy's there stay calm."""
    return {"OPENBLAS_NUM_THREADS": "1", **os.environ}


def keep_memory_private() -> None:
    """No core dumps of this process, and no other process of the user may read its memory.

    For commands that hold the secret key; the rest of the process's life.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
