"""How a server process talks to whoever started it: one JSON object a line.

On the way ``{"stage", "done", "total"}``; at the end of each request ``{"report"}``,
``{"cancelled": true}`` or ``{"error"}``.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Final, NoReturn, TextIO

from fhe_core.errors import Failure
from fhe_face.failures import describe, show_traceback
from fhe_face.process import tidy_end

_INTERRUPTED: Final = 130
Request = Mapping[str, Any]


class Cancelled(Failure):
    """Whoever asked does not want the answer any more."""

    code = "standing-cancelled"


@dataclass
class Talk:
    """The pipes to whoever asks. cancelled: set while a request is not wanted any more."""

    source: TextIO
    target: TextIO
    cancelled: threading.Event = field(default_factory=threading.Event)

    def answer(self, work: Callable[[], Mapping[str, Any]]) -> bool:
        """Do what was asked for, and say how it ended; whether it went well.

        Raises:
            BrokenPipeError: whoever asked is gone.
        """
        try:
            self._say({"report": work()})
        except BrokenPipeError:
            raise
        except Cancelled:
            self._say({"cancelled": True})
        except Exception as error:
            show_traceback(error)
            self._say({"error": str(describe(error))})
            return False
        return True

    def stage(self, what: str, done: int, total: int) -> None:
        """Say how far it is. Cancelled: nobody wants to know."""
        if self.cancelled.is_set():
            raise Cancelled
        self._say({"stage": what, "done": done, "total": total})

    def _say(self, message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=self.target, flush=True)


class Standing:
    """Answers requests, one a line, until there is nobody left who asks.

    They are read in a thread, so that a cancellation is seen while another computes.
    """

    def __init__(self, talk: Talk, answer: Callable[[Request], None]) -> None:
        """answer: does what a request asks for."""
        self._talk, self._answer = talk, answer
        self._requests: SimpleQueue[Request | None] = SimpleQueue()

    def run(self) -> None:
        """Answer until the end of the source; every report says how many seconds it took."""
        threading.Thread(target=self._read, daemon=True).start()
        while (request := self._requests.get()) is not None:
            started = time.perf_counter()

            def work(request: Request = request, started: float = started) -> Mapping[str, Any]:
                self._answer(request)
                return {"seconds": time.perf_counter() - started}

            try:
                self._talk.answer(work)
            except BrokenPipeError:
                return

    def _read(self) -> None:
        for line in self._talk.source:
            request = json.loads(line)
            if request.get("cancel"):
                self._talk.cancelled.set()
            else:
                self._talk.cancelled.clear()
                self._requests.put(request)
        self._talk.cancelled.set()
        self._requests.put(None)


def be_process(run: Callable[[], int | None]) -> None:
    """A process's main: an interruption or a signal ends it quietly, without half-written files."""
    try:
        with tidy_end():
            status = run() or 0
    except (KeyboardInterrupt, BrokenPipeError):
        status = _INTERRUPTED
    except SystemExit as ended:
        status = int(ended.code or 0)
    if status:
        _leave(status)


def _leave(status: int) -> NoReturn:
    """Whoever asked may be gone: nothing is flushed into a closed pipe."""
    os._exit(status)
