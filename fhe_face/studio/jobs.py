"""One piece of work at a time, in a thread of its own, which can be given up."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from fhe_core.errors import Failure
from fhe_face.failures import describe, show_traceback
from fhe_face.studio.progress import Cancelled, Progress, Side


class DeskBusy(Failure):
    """Something is under way already."""

    code = "studio-busy"


class State(str, Enum):
    """Of a job."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(eq=False)
class Job:
    """kind: which page shows it; noise: name of the ciphertext's picture; outcome: of any kind,
    when done; error: one sentence, when failed."""

    kind: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    progress: Progress = field(default_factory=Progress, repr=False)
    state: State = State.RUNNING
    noise: str | None = None
    sent: int = 0
    outcome: Any = None
    error: str | None = None
    _cancelled: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def running(self) -> bool:
        return self.state is State.RUNNING

    def tell(self, side: Side, what: str, done: int, total: int) -> None:
        """Report a step.

        Raises:
            Cancelled: the person gave the job up.
        """
        self.check()
        self.progress.report(side, what, done, total)

    def check(self) -> None:
        """Cancelled: the person gave the job up."""
        if self._cancelled.is_set():
            raise Cancelled

    def cancel(self) -> None:
        """End it at its next step."""
        self._cancelled.set()


class Desk:
    """Where jobs are done. last: the newest one, done or not."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="studio")
        self._lock = threading.Lock()
        self.last: Job | None = None

    def begin(self, job: Job, work: Callable[[Job], Any]) -> None:
        """Start a job; what `work` returns is its outcome.

        Raises:
            DeskBusy: another one is under way.
        """
        with self._lock:
            self.require_idle()
            self.last = job
        self._pool.submit(self._do, job, work)

    def require_idle(self) -> None:
        """DeskBusy: a job is under way."""
        if self.last is not None and self.last.running:
            raise DeskBusy("something else is being computed: wait for it, or cancel it")

    def call(self, work: Callable[[], Any]) -> Any:
        """Do something short in the same thread, and wait for it."""
        return self._pool.submit(work).result()

    def call_last(self, work: Callable[[], Any]) -> None:
        """Cancel what is under way, do this after it, and nothing any more."""
        with self._lock:
            if self.last is not None:
                self.last.cancel()
        try:
            self.call(work)
        finally:
            self._pool.shutdown(wait=True)

    def _do(self, job: Job, work: Callable[[Job], Any]) -> None:
        try:
            job.outcome = work(job)
            state = State.DONE
        except Cancelled:
            state = State.CANCELLED
        except BaseException as error:
            show_traceback(error)
            job.error = sentence(error)
            state = State.FAILED
        job.progress.finish()
        job.state = state


def sentence(error: BaseException) -> str:
    """An error for the page: one sentence with a capital letter and a full stop."""
    text = str(describe(error))
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
