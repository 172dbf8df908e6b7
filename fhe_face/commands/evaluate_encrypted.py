"""The encrypted mode of ``fhe-face evaluate``: fresh keys, client and server in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fhe_core.plan import PlanError
from fhe_face.circuit import as_compiled
from fhe_face.client.client import FaceClient
from fhe_face.client.keymaking import EVALUATION_KEY
from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.engine import Engine, choose_engine, compile_engine
from fhe_face.local.evaluation import Cache, FacePipeline, Outcome, Pipeline, embed_encrypted
from fhe_face.output import Output
from fhe_face.places import Packing
from fhe_face.planning import plan_runs
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
        normalisation: FittedNormalisation,
        input_size: int,
        flip: bool,
        cache: Path | None,
        threads: int | None,
    ) -> EncryptedRun:
        """Compile the plan; takes seconds. `tensors`: digest of the weights.

        Raises:
            PlanError, NormalisationError: the polynomial cannot be evaluated.
            FileError: the cache's folder cannot be made.
        """
        engine = choose_engine(as_compiled(normalisation), input_size, 2 if flip else 1)
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

            def start(missing: int) -> Pipeline:
                return stack.enter_context(self.started(self._engine_for(missing), output))

            return embed_encrypted(list(crops), self.cache, start, output.note)

    def _engine_for(self, crops: int) -> Engine:
        """With batches where they pay, and fit: mirror images have no room in one."""
        circuit, free = self.engine.circuit, available_memory_bytes()
        if circuit.views > 1:
            return self.engine
        runs = plan_runs(crops, tuple(Packing), self.engine.capacity, free)
        if all(run.packing is not Packing.BATCH for run in runs):
            return self.engine
        engine = compile_engine(circuit, Packing)
        try:
            engine.plans()
        except PlanError:  # no room in this preset
            return self.engine
        return engine

    @contextmanager
    def started(self, engine: Engine, output: Output) -> Iterator[Pipeline]:
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
            yield FacePipeline(client, server)
