"""The server of encrypted faces as a process that stays: keys are loaded once for many requests."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fhe_core.formats.ciphertexts import Bundle, save_bundle
from fhe_face.client.client import FaceClient
from fhe_face.local.talking import StandingProcess
from fhe_face.progress import Stage, silent

COMMAND: Final = (sys.executable, "-m", "fhe_face.server.standing")


@dataclass
class StandingServer:
    """Carries bundles to a server process and back, as files in a folder.

    evaluation_key, weights, folder: absolute; client: of the same keys, it only reads answers. The
    process is given these files alone. One request at a time. stage: of the request under way; an
    exception out of it gives the request up. sent, received: bytes so far; seconds: of computation;
    command: starts the process.
    """

    client: FaceClient
    evaluation_key: Path
    weights: Path
    folder: Path
    threads: int
    stage: Stage = silent
    command: Sequence[str] = COMMAND
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    _process: StandingProcess = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Nothing is started yet."""
        first = {
            "evaluation_key": str(self.evaluation_key),
            "weights": str(self.weights),
            "threads": self.threads,
        }
        self._process = StandingProcess(self.command, first)

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process.running

    def start(self, stage: Stage = silent) -> None:
        """Load keys and weights, unless that was done. ServerError: see `StandingProcess.start`."""
        self._process.start(stage)

    def embed(self, bundle: Bundle, /) -> Bundle:
        """Encrypted faces to encrypted embeddings.

        Raises:
            ServerError: the server reports an error, or ends without an answer.
            ContainerError: its answer is none to this request.
        """
        self.start(self.stage)
        faces, answer = self.folder / "faces.ct", self.folder / "embeddings.ct"
        try:
            self.sent += save_bundle(faces, bundle).total_bytes
            request = {"source": str(faces), "target": str(answer)}
            took = self._process.seconds(request, self.stage)
            found = self.client.read(answer, [bundle])
            self.seconds += took
            self.received += answer.stat().st_size
            return found
        finally:
            for file in (faces, answer):
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.close()
