"""The encrypted mode of ``fhe-face evaluate``: fresh keys, client and server in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler import capacity_of
from fhe_face.circuit import inverse_root
from fhe_face.client.client import FaceClient
from fhe_face.client.keymaking import EVALUATION_KEY
from fhe_face.coeffs.normalisation import Normalisation
from fhe_face.engine import Engine, choose_engine
from fhe_face.evaluation import (
    Batches,
    Cache,
    FaceManyPipeline,
    FacePipeline,
    Outcome,
    embed_encrypted,
)
from fhe_face.output import Output
from fhe_face.server.server import FaceServer
from fhe_face.system import available_memory_bytes, default_threads, size, temporary_folder

#: The server is this process, and the keys end with it: nobody sees an answer.
_ANSWERS = 1 << 40
#: Of one process with keys, weights and a face at work; measured.
_MEMORY = 11 << 30


@dataclass(frozen=True)
class EncryptedRun:
    """What is fixed before any face is read, so that errors come early."""

    weights: Path
    engine: Engine
    cache: Cache
    kept: bool
    threads: int

    @classmethod
    def prepare(
        cls,
        weights: Path,
        tensors: str,
        normalisation: Normalisation,
        input_size: int,
        flip: bool,
        cache: Path | None,
        threads: int | None,
    ) -> EncryptedRun:
        """Compile the plan; takes seconds. `tensors`: digest of the weights.

        Raises:
            PlanError, InverseRootError: the polynomial cannot be evaluated.
            FileError: the cache's folder cannot be made.
        """
        engine = choose_engine(inverse_root(normalisation), input_size, 2 if flip else 1)
        network = f"{tensors} {engine.compiled.plan.digest}"
        kept = cache is not None
        count = threads or default_threads()
        return cls(weights, engine, Cache(cache, network), kept, count)

    def embed(self, crops: NDArray[np.uint8], output: Output) -> list[Outcome]:
        """Encrypted embeddings of crops (N, S, S, 3), decrypted; progress on stderr.

        Raises:
            FileError: keys or kept results cannot be written.
        """
        if not self.kept and len(crops) > 1:
            output.note("without --cache DIR, an interruption loses the encrypted embeddings")
        with ExitStack() as stack:

            def start() -> FacePipeline:
                return FacePipeline(*stack.enter_context(self.started(self.engine, output)))

            return embed_encrypted(
                list(crops), self.cache, start, output.note, self._batches(len(crops), output)
            )

    def _batches(self, crops: int, output: Output) -> Batches | None:
        """Not for a few crops, nor with mirror images, which a batch has no room for."""
        circuit = self.engine.circuit
        capacity = capacity_of(self.engine.compiled.architecture, self.engine.parameters.slots)
        if circuit.views > 1 or 2 * crops < capacity:
            return None
        engine = choose_engine(circuit.root, circuit.input_size, batch=True)

        @contextmanager
        def start() -> Iterator[FaceManyPipeline]:
            with self.started(engine, output) as (client, server):
                yield FaceManyPipeline(client, server)

        return Batches(capacity, start)

    @contextmanager
    def started(self, engine: Engine, output: Output) -> Iterator[tuple[FaceClient, FaceServer]]:
        """New keys in a temporary folder, and a server that has loaded them."""
        free = available_memory_bytes()
        if free is not None and free < _MEMORY:
            output.warn(
                f"{size(free)} of memory are available; encrypted embeddings take about "
                f"{size(_MEMORY)}"
            )
        with temporary_folder("fhe-face-evaluate-") as folder:
            keys = folder / "keys"
            with output.stages() as stage:
                client = FaceClient.create(
                    keys,
                    engine=engine,
                    threads=self.threads,
                    answer_limit=_ANSWERS,
                    stage=stage,
                )
                server = FaceServer.load(
                    keys / EVALUATION_KEY, self.weights, threads=self.threads, stage=stage
                )
            yield client, server
