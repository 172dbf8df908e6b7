"""A stage as a program: its arguments, one line for what goes wrong, an exit status, progress."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from benchmarks.official.stages.layout import INSTANCES, Instance, Model
from fhe_face.failures import ERROR, INTERRUPTED, TERMINATED, USAGE, describe, show_traceback

_SECONDS_BETWEEN_LINES: Final = 20.0


class _TerminatedError(BaseException):
    """Someone asked this process to end."""


def for_instance(name: str, stage: Callable[[Instance, Progress], None]) -> NoReturn:
    """Run ``NAME SIZE`` in the benchmark's root and end the process."""
    arguments = sys.argv[1:]
    sizes = [str(size) for size in range(len(INSTANCES))]
    if len(arguments) != 1 or arguments[0] not in sizes:
        counts = ", ".join(str(pairs) for _, pairs in INSTANCES)
        _refuse(name, f"expected one argument SIZE: 0, 1, 2 or 3, for {counts} pairs", USAGE)
    instance = Instance(Path.cwd(), int(arguments[0]))
    _run(name, lambda progress: stage(instance, progress))


def for_model(name: str, stage: Callable[[Model, Progress], None]) -> NoReturn:
    """Run ``NAME`` without arguments in the benchmark's root and end the process."""
    if sys.argv[1:]:
        _refuse(name, "takes no arguments", USAGE)
    _run(name, lambda progress: stage(Model(Path.cwd()), progress))


class Progress:
    """Lines on stderr: at once what matters, and every now and then how far a stage is."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._clock = clock
        self._started = self._said = clock()

    def say(self, text: str) -> None:
        """One line."""
        print(f"[{self.name}] {text}", file=sys.stderr, flush=True)
        self._said = self._clock()

    def stage(self, what: str, done: int, total: int) -> None:
        """Something long goes on; fits `fhe_face.progress.Stage`."""
        if self._clock() - self._said >= _SECONDS_BETWEEN_LINES:
            self.say(f"{what}: {done} of {total}" if total else what)

    def pairs(self, done: int, total: int, kept: int) -> None:
        """`done` of `total` pairs are ready, `kept` of them since an earlier run."""
        if done < total and self._clock() - self._said < _SECONDS_BETWEEN_LINES:
            return
        rest, fresh = "", done - kept
        if fresh and done < total:
            left = (self._clock() - self._started) / fresh * (total - done)
            rest = f", about {max(1, round(left / 60))} min left"
        earlier = f" ({kept} from an earlier run)" if kept else ""
        self.say(f"{done} of {total} pairs{earlier}{rest}")


def _run(name: str, body: Callable[[Progress], None]) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, _terminate)
    try:
        body(Progress(name))
    except KeyboardInterrupt:
        _refuse(name, "interrupted; run it again to go on", INTERRUPTED)
    except _TerminatedError:
        _refuse(name, "terminated; run it again to go on", TERMINATED)
    except Exception as error:
        show_traceback(error)
        failure = describe(error)
        _refuse(name, str(failure), failure.status or ERROR)
    sys.exit(0)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _TerminatedError


def _refuse(name: str, problem: str, status: int) -> NoReturn:
    print(f"error: {name}: {problem}", file=sys.stderr, flush=True)
    sys.exit(status)
