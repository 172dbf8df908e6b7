"""A server process that stays, from the client's side: keys are loaded once for many requests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fhe_core.formats.ciphertexts import Bundle, save_bundle
from fhe_face.client.client import FaceClient
from fhe_face.local.process import (
    NoAnswer,
    ServerError,
    answered,
    end,
    no_answer,
    parsed,
    started,
)
from fhe_face.progress import Stage, silent

COMMAND: Final = (sys.executable, "-m", "fhe_face.server.standing")
#: What the last answer to a request holds.
_ENDS: Final = frozenset(("report", "cancelled", "error"))


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
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self, stage: Stage = silent) -> None:
        """Load keys and weights, unless that was done.

        Raises:
            ServerError: the process reports an error, or ends.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        # Ctrl-C is for whoever started it, who then closes it.
        self._process = started(self.command, apart=True)
        request = {
            "evaluation_key": str(self.evaluation_key),
            "weights": str(self.weights),
            "threads": self.threads,
        }
        try:
            self._ask(request, stage)
        except BaseException:  # half loaded, it cannot be asked anything
            self.close()
            raise

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
            report = self._ask({"source": str(faces), "target": str(answer)}, self.stage)
            took = report.get("seconds")
            if not isinstance(took, float):
                raise no_answer(json.dumps(report))
            found = self.client.read(answer, [bundle])
            self.seconds += took
            self.received += answer.stat().st_size
            return found
        finally:
            for file in (faces, answer):
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            end(process)

    def _ask(self, request: Mapping[str, Any], stage: Stage) -> Mapping[str, Any]:
        """A request's report; relays progress."""
        process = self._process
        assert process is not None
        self._say(request)
        try:
            return answered(process, stage)
        except NoAnswer:  # what it says next would be taken for the next answer
            self.close()
            raise
        except ServerError:
            raise
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Let the process stop at its next step, so that its keys stay loaded; else end it."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        self._say({"cancel": True})
        with suppress(NoAnswer):
            for line in process.stdout:
                if not _ENDS.isdisjoint(parsed(line)):
                    return
        self.close()

    def _say(self, request: Mapping[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(OSError):  # it ended: the answer that does not come says so
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
