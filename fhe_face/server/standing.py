"""The server as a process that stays, with its keys loaded: ``python -m fhe_face.server.standing``.

It is given evaluation keys, weights and ciphertext files, and nothing else. Requests are JSON
objects, one a line on stdin: first what to load, then one file after another::

    {"evaluation_key": "evaluation.key", "weights": "x.safetensors", "threads": 2}
    {"source": "faces.ct", "target": "embeddings.ct"}
    {"cancel": true}

Answers are JSON objects, one a line on stdout: ``{"stage", "done", "total"}`` on the way, and at
the end of each request ``{"report": {"seconds": 1.5}}``, ``{"cancelled": true}`` or ``{"error"}``.
The end of stdin ends it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from queue import SimpleQueue
from typing import Any, TextIO

from fhe_core.errors import Failure
from fhe_core.formats.ciphertexts import save_bundle
from fhe_face.failures import describe, show_traceback
from fhe_face.places import IMAGE
from fhe_face.process import tidy_end
from fhe_face.server.server import FaceServer


class _Cancelled(Failure):
    """Whoever asked does not want the answer any more."""

    code = "standing-cancelled"


class Standing:
    """Reads requests in one thread, so that a cancellation is seen while another computes."""

    def __init__(self, source: TextIO, target: TextIO) -> None:
        self._source, self._target = source, target
        self._requests: SimpleQueue[Mapping[str, Any] | None] = SimpleQueue()
        self._cancelled = threading.Event()
        self._server: FaceServer | None = None

    def run(self) -> None:
        """Answer until there is nobody left who asks."""
        threading.Thread(target=self._read, daemon=True).start()
        while (request := self._requests.get()) is not None:
            started = time.perf_counter()
            try:
                self._answer(request)
                self._say({"report": {"seconds": time.perf_counter() - started}})
            except _Cancelled:
                self._say({"cancelled": True})
            except BrokenPipeError:
                return
            except Exception as error:
                show_traceback(error)
                self._say({"error": str(describe(error))})

    def _read(self) -> None:
        for line in self._source:
            request = json.loads(line)
            if request.get("cancel"):
                self._cancelled.set()
            else:
                self._cancelled.clear()
                self._requests.put(request)
        self._cancelled.set()
        self._requests.put(None)

    def _answer(self, request: Mapping[str, Any]) -> None:
        if self._server is None:
            key, weights, threads = (
                request[name] for name in ("evaluation_key", "weights", "threads")
            )
            self._server = FaceServer.load(key, weights, threads=threads, stage=self._stage)
            return
        images = self._server.read(request["source"], IMAGE)
        save_bundle(request["target"], self._server.embed(images, self._stage))

    def _stage(self, what: str, done: int, total: int) -> None:
        if self._cancelled.is_set():
            raise _Cancelled
        self._say({"stage": what, "done": done, "total": total})

    def _say(self, message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=self._target, flush=True)


def main() -> None:
    """Until stdin ends; a signal or an interruption ends it quietly."""
    try:
        with tidy_end():
            Standing(sys.stdin, sys.stdout).run()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)


if __name__ == "__main__":
    main()
