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

import sys
from typing import TextIO

from fhe_core.formats.ciphertexts import save_bundle
from fhe_face.places import IMAGE
from fhe_face.server.server import FaceServer
from fhe_face.server.talking import Request, Standing, Talk, be_process


class StandingServer:
    """One client's keys, with weights."""

    def __init__(self, source: TextIO, target: TextIO) -> None:
        self._talk = Talk(source, target)
        self._server: FaceServer | None = None

    def run(self) -> None:
        """Answer until there is nobody left who asks."""
        Standing(self._talk, self._answer).run()

    def _answer(self, request: Request) -> None:
        stage = self._talk.stage
        if self._server is None:
            key, weights, threads = (
                request[name] for name in ("evaluation_key", "weights", "threads")
            )
            self._server = FaceServer.load(key, weights, threads=threads, stage=stage)
            return
        images = self._server.read(request["source"], IMAGE)
        save_bundle(request["target"], self._server.embed(images, stage))


def main() -> None:
    """Until stdin ends; a signal or an interruption ends it quietly."""
    be_process(StandingServer(sys.stdin, sys.stdout).run)


if __name__ == "__main__":
    main()
