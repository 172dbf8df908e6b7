"""The server in one object: evaluation keys and weights in, ciphertexts to ciphertexts.

Nothing that this module imports can decrypt; tests/face/test_server_side.py holds it to that.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor

from fhe_core.compiler import Compiled, CompiledNetwork
from fhe_core.container import ContainerError, Kind, read_header
from fhe_core.formats.ciphertexts import (
    Bundle,
    load_bundle,
    load_evaluation_keys,
    parameters_of,
)
from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.plan import Plan, Progress, required_keys
from fhe_core.runtime.cleartext import Tables
from fhe_face.circuit import circuit_of
from fhe_face.engine import Engine, compile_engine
from fhe_face.models.layers import FusedNetwork
from fhe_face.network import load_network, require_size
from fhe_face.places import kinds_of
from fhe_face.progress import Stage, silent
from fhe_face.server.computation import Server
from fhe_face.shapes import admission, embedding_shape, image_shape
from fhe_face.system import default_threads

Path = str | os.PathLike[str]


class FaceServer:
    """One client's evaluation keys and one network."""

    def __init__(self, server: Server, engine: Engine, threads: int) -> None:
        """Use :meth:`load`, or :meth:`load_matcher` for scores only."""
        self._server = server
        self.engine = engine
        self.threads = threads

    @classmethod
    def load(
        cls,
        evaluation_key: Path,
        weights: Path | str | None = None,
        *,
        threads: int | None = None,
        stage: Stage = silent,
    ) -> FaceServer:
        """Read evaluation keys and weights: takes seconds.

        weights: a file, "official" or "bundled", which None means too (fhe_face.network).

        Raises:
            ContainerError: the evaluation keys cannot be used.
            CheckpointError, WeightsError: the weights cannot be used.
        """
        engine = engine_of(evaluation_key, stage)  # first: the weights take seconds
        count = threads or default_threads()
        with ThreadPoolExecutor(1) as pool:  # beside the keys, which mostly wait for memory
            stage("reading weights", 0, 0)
            network = pool.submit(_network, weights, engine)
            try:
                keys = _keys(evaluation_key, engine, engine.plans(), count, stage, network)
            except ContainerError:
                network.result()  # where both are wrong, the weights are told first
                raise
            tables = engine.served.tables(network.result())
        pair = None
        if engine.pair is not None:
            pair = engine.pair, engine.pair.tables(network.result())
        return cls._start(keys, engine, engine.served, tables, count, stage, pair)

    @classmethod
    def load_matcher(
        cls, evaluation_key: Path, *, threads: int | None = None, stage: Stage = silent
    ) -> FaceServer:
        """Only the few keys that a match needs, and no weights: :meth:`embed` is not possible.

        Raises:
            ContainerError: the evaluation keys cannot be used.
        """
        engine = engine_of(evaluation_key, stage)
        count = threads or default_threads()
        keys = _keys(evaluation_key, engine, [engine.match_plan], count, stage)
        return cls._start(keys, engine, engine.matcher(), {}, count, stage)

    @classmethod
    def _start(
        cls,
        keys: EvaluationKeys,
        engine: Engine,
        compiled: Compiled,
        tables: Tables,
        count: int,
        stage: Stage,
        pair: tuple[CompiledNetwork, Tables] | None = None,
    ) -> FaceServer:
        stage("encoding weights", 0, 0)
        server = Server(keys, compiled, tables, engine.match_plan, threads=count, pair=pair)
        stage("encoding weights", 1, 1)
        return cls(server, engine, count)

    def read(self, path: Path, what: str) -> Bundle:
        """Read an image or an embedding; another key or shape is refused from the header.

        what: the kind, one of `fhe_face.places.kinds_of` the plan.

        Raises:
            ContainerError: the file is damaged, or nothing that this server can take.
        """
        plan = self.engine.served.plan
        shape = image_shape(plan) if what == kinds_of(plan).image else embedding_shape(plan)
        admit = admission(shape, self._server.key_id)
        return load_bundle(path, what, lambda _name: self.engine.parameters, admit)

    @property
    def packed_weight_bytes(self) -> int:
        """Memory of all plaintexts the server multiplies by or adds."""
        return self._server.packed_weight_bytes

    @property
    def evaluation_key_memory_bytes(self) -> int:
        """Memory of the expanded evaluation keys."""
        return self._server.evaluation_key_memory_bytes

    def embed(self, image: Bundle, stage: Stage = silent, what: str = "embedding") -> Bundle:
        """The encrypted normalised embedding of an encrypted face, with its squared norm.

        Of a batch, all of them.

        Raises:
            KeyMismatch, ParameterMismatch: the face was not encrypted for these keys.
        """
        steps = len(self.engine.served.plan.steps)
        return self._server.embed(image, _relay(stage, what, steps))

    @property
    def takes_pairs(self) -> bool:
        """Whether :meth:`embed_pair` can be used: not with flip averaging, nor for batches."""
        return self._server.takes_pairs

    def embed_pair(
        self, first: Bundle, second: Bundle, stage: Stage = silent, what: str = "embeddings"
    ) -> tuple[Bundle, Bundle]:
        """The results of :meth:`embed` for two faces of one client, for little more than one.

        Raises:
            KeyMismatch, ParameterMismatch: a face was not encrypted for these keys.
            PlanError: the circuit has no room for two faces.
        """
        steps = len(self.engine.pair.plan.steps) if self.engine.pair else 0
        return self._server.embed_pair(first, second, _relay(stage, what, steps))

    def match(self, left: Bundle, right: Bundle, stage: Stage = silent) -> Bundle:
        """The encrypted inner product of two embeddings, with both squared norms.

        Raises:
            KeyMismatch, ParameterMismatch: the embeddings do not belong together.
        """
        steps = len(self.engine.match_plan.steps)
        return self._server.match(left, right, _relay(stage, "matching", steps))


def _network(weights: Path | None, engine: Engine) -> FusedNetwork:
    network = load_network(weights)
    require_size(network, engine.circuit, weights or "the bundled weights")
    return network


def _keys(
    file: Path,
    engine: Engine,
    plans: list[Plan],
    threads: int,
    stage: Stage,
    beside: Future[FusedNetwork] | None = None,
) -> EvaluationKeys:
    """The keys that the plans need; ends early with the error of what is read beside them."""

    def progress(done: int, total: int) -> None:
        stage("reading evaluation keys", done, total)
        if beside is not None and beside.done():
            beside.result()

    wanted = required_keys(plans, engine.parameters)
    return load_evaluation_keys(file, wanted, progress=progress, threads=threads)


def engine_of(path: Path, stage: Stage = silent) -> Engine:
    """The engine for the circuit that evaluation keys were made for.

    Raises:
        ContainerError: the file is not an evaluation key file, or has an unknown circuit.
    """
    header = read_header(path, expect_kind=Kind.EVALUATION_KEYS)
    parameters_of(header)
    circuit = circuit_of(header)
    stage("compiling the plan", 0, 0)
    engine = compile_engine(circuit)
    stage("compiling the plan", 1, 1)
    return engine


def _relay(stage: Stage, what: str, steps: int) -> Progress:
    def progress(number: int, _label: str, _seconds: float) -> None:
        stage(what, number + 1, steps)

    return progress
