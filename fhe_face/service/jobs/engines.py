"""What a worker computes with. It is handed in, so that tests run the same worker on a tiny ring.

An engine loads a client's evaluation keys; what it gives back computes jobs of that key. A job has
one or several *parts*: each part's output is a file of its own, so that a worker that is killed
costs one part, and `join` makes the job's output of all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from fhe_core.container import Header
from fhe_core.errors import Failure
from fhe_face.progress import Stage
from fhe_face.service.jobs.records import Kind

#: Engines of this name compute on rings that protect nothing.
INSECURE: Final = "insecure-"
#: Weights, ciphertexts of one computation, and buffers that are kept to be used again.
WORKING_BYTES: Final = 2 << 30


class Work(Protocol):
    """One job, its inputs read and checked."""

    @property
    def parts(self) -> int:
        """How many there are, at least one."""

    def compute(self, part: int, target: Path, stage: Stage) -> None:
        """Write the output of a part to a new file, whole or not at all."""

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """Write the job's output, of the outputs of all its parts."""


class Resident(Protocol):
    """One client's evaluation keys in memory."""

    @property
    def memory_bytes(self) -> int:
        """What they and what belongs to them occupy."""

    def open(self, kind: Kind, files: Sequence[Path]) -> Work:
        """Read a job's inputs. Failure: they cannot be used."""


class Engines(Protocol):
    """One engine with its weights."""

    @property
    def name(self) -> str:
        """Says what it is; `INSECURE` ones are for tests."""

    @property
    def working_bytes(self) -> int:
        """What it needs beside keys."""

    def identity(self) -> str:
        """Names engine and weights: two that are equal give equal outputs, bit for bit."""

    def forecast(self, key: Header) -> int:
        """Memory of the keys of a file, from its header; an upper bound. Failure: they cannot be
        used."""

    def load(self, key: Path, stage: Stage) -> Resident:
        """Read evaluation keys: takes seconds. Failure: they cannot be used."""


@dataclass
class FaceEngines:
    """The real one: `fhe_face.server.server.FaceServer`.

    weights: "official", "bundled" (None means it too), a file, or a folder (`weights_file`).
    threads: None: one for each processor.
    """

    weights: str | None = None
    threads: int | None = None
    name: str = "fhe-face"
    working_bytes: int = WORKING_BYTES
    _identity: str = field(default="", repr=False)

    def identity(self) -> str:
        """The version and the weights file's digest. Failure: there is no such file."""
        if not self._identity:
            from fhe_core.files import open_regular
            from fhe_face import __version__
            from fhe_face.network import weights_files

            digest = hashlib.sha256()
            for file in weights_files(self.weights).values():
                with open_regular(file) as stream:
                    while piece := stream.read(1 << 20):
                        digest.update(piece)
            self._identity = f"{self.name} {__version__} {digest.hexdigest()}"
        return self._identity

    def forecast(self, key: Header) -> int:
        """Both halves of every key."""
        from fhe_face.service.jobs.forecast import key_memory_bytes

        return key_memory_bytes(key)

    def load(self, key: Path, stage: Stage) -> Resident:
        """Keys and weights; Failure where one of them cannot be used."""
        from fhe_face.server.server import FaceServer
        from fhe_face.service.jobs.faces import FaceResident

        return FaceResident(FaceServer.load(key, self.weights, threads=self.threads, stage=stage))


def require_secure(name: str, *, insecure: bool) -> None:
    """Raise Failure for an engine of tests, unless tests say that they want it."""
    if name.startswith(INSECURE) and not insecure:
        raise Failure(f"the engine '{name}' protects nothing: it is for tests only")
