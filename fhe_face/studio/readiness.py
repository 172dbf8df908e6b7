"""Keys and server are made ready in the background, while photos are chosen."""

from __future__ import annotations

import threading

from fhe_face.failures import show_traceback
from fhe_face.studio.engine import Engine
from fhe_face.studio.jobs import Job, sentence
from fhe_face.studio.progress import Cancelled, Progress, Side, Step

_LOOK_SECONDS = 0.05


class Readiness:
    """Of an engine. What it makes ready, it makes once; after a failure, on the next demand."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self.progress = Progress()
        self.ready = False
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin, unless that was done."""
        with self._lock:
            working = self._thread is not None and self._thread.is_alive()
            if self.ready or working or self._ended.is_set():
                return
            self.error, self.progress = None, Progress()
            self._thread = threading.Thread(target=self._make, daemon=True)
            self._thread.start()

    def wait(self, job: Job) -> None:
        """Until it is ready; the job shows the steps.

        Raises:
            Cancelled: the job was given up; making ready goes on.
            What `Engine.prepare` raises.
        """
        if self.ready:
            return
        self.start()
        seen = -1
        while not self._is_ready():
            if self.progress.version != seen:
                seen = self.progress.version
                job.progress.follow(self.progress)
            job.check()
            thread = self._thread
            if thread is not None:
                thread.join(_LOOK_SECONDS)
            if self.error is not None:
                raise self.error
        job.progress.follow(self.progress)

    def close(self) -> None:
        """Give up what is under way, and wait for its end."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def step(self) -> Step | None:
        """The newest one."""
        steps = self.progress.steps()
        return steps[-1] if steps else None

    @property
    def said(self) -> str | None:
        """What went wrong, in a sentence."""
        return None if self.error is None else sentence(self.error)

    def _is_ready(self) -> bool:
        """Now: another thread may say so at any time."""
        return self.ready

    def _make(self) -> None:
        try:
            self._engine.prepare(self._tell)
        except Cancelled:
            return
        except BaseException as error:
            show_traceback(error)
            self.error = error
            return
        self.progress.finish()
        self.ready = True

    def _tell(self, side: Side, what: str, done: int, total: int) -> None:
        if self._ended.is_set():
            raise Cancelled
        self.progress.report(side, what, done, total)
