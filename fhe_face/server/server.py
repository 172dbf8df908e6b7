"""The server in one object: evaluation keys and weights in, ciphertexts to ciphertexts.

Nothing that this module imports can decrypt; tests/face/test_server_side.py holds it to that.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from fhe_core.ciphertext import Ciphertext
from fhe_core.container import (
    ContainerError,
    KeyMismatch,
    ParameterMismatch,
)
from fhe_core.files import shown
from fhe_core.formats.ciphertexts import (
    Bundle,
    head_of,
    load_bundle,
    load_evaluation_keys,
)
from fhe_core.formats.heads import Head
from fhe_core.formats.preparation import ENTRY as PREPARATION
from fhe_core.formats.purpose import OWNER
from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.plan import Plan, Progress, required_keys
from fhe_core.runtime import native
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import PackedPlan, memory_bytes, pack
from fhe_face.engine import Engine
from fhe_face.keyfile import devices_beside
from fhe_face.models.layers import FusedNetwork
from fhe_face.network import load_network, require_size
from fhe_face.places import EMBEDDING, ENTRY, IMAGE, SCORE, Packing, describe
from fhe_face.plaintexts import digest_of, plaintexts
from fhe_face.progress import Stage, silent
from fhe_face.senders import ENTRY as SENDERS
from fhe_face.senders import sender_of
from fhe_face.server.circuits import engine_of, plans_of
from fhe_face.server.devices import DeviceFolder, Devices, NoDevices, Switching
from fhe_face.server.matching import matched
from fhe_face.shapes import RESULT_FACTS, require_key, require_shape
from fhe_face.system import default_threads, give_back_memory
from fhe_face.tokens import ENTRY as REQUESTS
from fhe_face.tokens import tokens_of

Path = str | os.PathLike[str]
#: Facts of images that their embeddings have, too.
PASSED_ON = (PREPARATION, SENDERS)


class FaceServer:
    """One client's evaluation keys and one network. It has no code that could decrypt."""

    def __init__(
        self,
        keys: EvaluationKeys,
        engine: Engine,
        network: FusedNetwork | None,
        threads: int = 1,
        devices: Devices | None = None,
    ) -> None:
        """Use :meth:`load`, or :meth:`load_matcher` for scores only (without a network).

        devices: whose faces are taken, beside those that the key's owner encrypted; None: none.

        Raises:
            ParameterMismatch: keys and plans were made for different parameters.
        """
        if engine.parameters.digest != keys.parameters.digest:
            raise ParameterMismatch("the keys and the plan were made for different parameters")
        self.engine = engine
        self.threads = threads
        self._network = network
        self._evaluator = Evaluator(keys.parameters, keys, threads)
        self._devices: Devices = NoDevices() if devices is None else devices
        self._weights_digest = "" if network is None else digest_of(engine, network)
        self._packed: dict[Packing, PackedPlan] = {}

    @classmethod
    def load(
        cls,
        evaluation_key: Path,
        weights: Path | str | None = None,
        *,
        packings: Collection[Packing] | None = None,
        threads: int | None = None,
        stage: Stage = silent,
    ) -> FaceServer:
        """Read evaluation keys and weights: takes seconds.

        weights: a file, "official" or "bundled", which None means too (fhe_face.network).
        Devices are those with a switching key in the folder ``devices`` beside the evaluation keys.

        packings: only these, for less memory; the default is all that the keys are for.

        Raises:
            ContainerError: the evaluation keys cannot be used.
            CheckpointError, WeightsError: the weights cannot be used.
        """
        engine = engine_of(evaluation_key)
        if packings is not None:
            engine = engine.only(p for p in engine.packings if p in packings)
        plans = plans_of(evaluation_key, engine, stage=stage)  # first: the weights take seconds
        count = threads or default_threads()
        with ThreadPoolExecutor(1) as pool:  # beside the keys, which mostly wait for memory
            stage("reading weights", 0, 0)
            network = pool.submit(_network, weights, engine)
            encoded = pool.submit(lambda: _encoded(network.result(), engine))
            try:
                keys = _keys(evaluation_key, engine, plans, count, stage, network)
            except ContainerError:
                encoded.cancel()
                network.result()  # where both are wrong, the weights are told first
                raise
            devices = DeviceFolder(devices_beside(evaluation_key))
            server = cls(keys, engine, network.result(), count, devices)
            stage("encoding weights", 0, 0)
            server._packed |= encoded.result()
            stage("encoding weights", 1, 1)
        give_back_memory()  # before the buffers of a computation come on top
        return server

    @classmethod
    def load_matcher(
        cls, evaluation_key: Path, *, threads: int | None = None, stage: Stage = silent
    ) -> FaceServer:
        """Only the few keys that a match needs, and no weights: :meth:`embed` is not possible.

        Raises:
            NoScoresError: the client normalises.
            ContainerError: the evaluation keys cannot be used.
        """
        engine = engine_of(evaluation_key)
        engine.circuit.require_scores(shown(evaluation_key))
        plans = plans_of(evaluation_key, engine, (), stage)
        count = threads or default_threads()
        keys = _keys(evaluation_key, engine, plans, count, stage)
        return cls(keys, engine, None, count)

    def __repr__(self) -> str:
        packings = ", ".join(packing.value for packing in self.engine.packings)
        return f"<FaceServer for key {self.key_id[:8]}, {packings}>"

    @property
    def key_id(self) -> str:
        """Public name of the client's key."""
        return self._evaluator.keys.key_id

    def read(self, path: Path, what: str, devices: Devices | None = None) -> Bundle:
        """Read images or embeddings; another key, device or shape is refused from the header.

        what: "image" or "embedding" (`fhe_face.places`). devices: whose images are taken; None:
        those that this server knows. Images of a device come back under its owner's key.

        Raises:
            UnknownDevice: the images are of a device that was never added, or was revoked.
            ContainerError: the file is damaged, or nothing that this server can take.
        """
        switching = self._switching(devices)

        def admit(head: Head) -> None:
            if what == IMAGE:
                device = sender_of(head, self.key_id)
                if device is not None:
                    switching.require(head.source, device)
            else:
                require_key(head, self.key_id)
            require_shape(head, what, self.engine)

        bundle = load_bundle(path, what, lambda _name: self.engine.parameters, admit)
        return self._own(bundle, switching)

    def _switching(self, devices: Devices | None = None) -> Switching:
        known = self._devices if devices is None else devices
        return Switching(self._evaluator.parameters, self.key_id, known)

    def _own(self, bundle: Bundle, switching: Switching) -> Bundle:
        """The bundle under this key, where it is of a device."""
        if bundle.key_id == self.key_id or OWNER not in bundle.facts:
            return bundle
        require_shape(head_of(bundle), IMAGE, self.engine)
        sender_of(head_of(bundle), self.key_id)
        return switching.switched(bundle, self._evaluator)

    @property
    def packed_weight_bytes(self) -> int:
        """Memory of all plaintexts the server multiplies by or adds."""
        return memory_bytes(self._packed.values())

    @property
    def evaluation_key_memory_bytes(self) -> int:
        """Memory of the expanded evaluation keys."""
        return self._evaluator.keys.memory_bytes

    def embed(self, images: Bundle, stage: Stage = silent, what: str = "embedding") -> Bundle:
        """The encrypted normalised embeddings of encrypted faces, with their squared norms; or
        embeddings of any length, where the client normalises.

        Raises:
            KeyMismatch, ParameterMismatch: the faces were not encrypted for these keys, or by a
                device that is not known.
            Corrupt: the bundle does not say how its faces are packed.
            PlanError: its ciphertexts are not those of its faces.
        """
        images = self._own(images, self._switching())
        self._require_own("the image", images)
        runs = require_shape(head_of(images), IMAGE, self.engine)
        tokens = tokens_of("the image", images.facts, len(runs))
        items: dict[str, Ciphertext] = {}
        for run in runs:
            own = [images.items[name] for name in self.engine.item_names(IMAGE, run)]
            packed = self.packed(run.packing)
            label = what if len(runs) == 1 else f"{what} {run.label}"
            progress = _relay(stage, label, len(packed.plan.steps))
            outputs = native.run(packed, self._evaluator, own, progress)
            items |= zip(self.engine.item_names(EMBEDDING, run), outputs, strict=True)
        metadata = self.engine.of(runs[0].packing).plan.metadata
        facts = {key: metadata[key] for key in RESULT_FACTS}
        facts |= {"weights": self._weights_digest, ENTRY: describe(runs), REQUESTS: tokens}
        facts |= {name: images.facts[name] for name in PASSED_ON if name in images.facts}
        return self._bundle(EMBEDDING, items, facts)

    def match(self, left: Bundle, right: Bundle, stage: Stage = silent) -> Bundle:
        """The encrypted inner products of embeddings, with both squared norms.

        Face i of one bundle is compared with face i of the other, or the only face of one, if it
        was computed alone, with every face of the other.

        Raises:
            NoScoresError: the client normalises.
            KeyMismatch, ParameterMismatch: the embeddings do not belong together.
        """
        self.engine.circuit.require_scores()
        for name, bundle in (("the first embedding", left), ("the second embedding", right)):
            self._require_own(name, bundle)
            require_shape(head_of(bundle), EMBEDDING, self.engine)
        comparisons, facts = matched(left, right, self.engine)
        items: dict[str, Ciphertext] = {}
        for one in comparisons:
            plan = pack(self.engine.match(one.packing), {}, self.engine.parameters)
            progress = _relay(stage, "matching", len(plan.plan.steps))
            score = native.run(plan, self._evaluator, [one.left, one.right], progress)
            outputs = [score[0], one.left_norm, one.right_norm]
            items |= zip(one.names, outputs, strict=True)
        return self._bundle(SCORE, items, facts)

    def packed(self, packing: Packing) -> PackedPlan:
        """The plan of a packing with its weights; made when first needed.

        Raises:
            ParameterMismatch: the keys are not for it, or the server only matches.
        """
        if packing not in self._packed:
            if self._network is None:
                raise ParameterMismatch("this server only matches: it has no weights")
            self._packed[packing] = plaintexts(self.engine.of(packing), self._network).packed
        return self._packed[packing]

    def _require_own(self, name: str, bundle: Bundle) -> None:
        if bundle.parameters.digest != self._evaluator.parameters.digest:
            raise ParameterMismatch(f"{name} was made with other parameters than the keys")
        if bundle.key_id != self._evaluator.keys.key_id:
            raise KeyMismatch(
                f"{name} belongs to key {bundle.key_id[:8]}, the evaluation keys to "
                f"{self._evaluator.keys.key_id[:8]}"
            )

    def _bundle(
        self, what: str, items: Mapping[str, Ciphertext], facts: Mapping[str, Any]
    ) -> Bundle:
        parameters, key_id = self._evaluator.parameters, self._evaluator.keys.key_id
        return Bundle(what, parameters, key_id, items, facts, {})


def _network(weights: Path | None, engine: Engine) -> FusedNetwork:
    network = load_network(weights)
    require_size(network, engine.circuit, weights or "the bundled weights")
    return network


def _encoded(network: FusedNetwork, engine: Engine) -> dict[Packing, PackedPlan]:
    return {p: plaintexts(engine.of(p), network).packed for p in engine.packings}


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


def _relay(stage: Stage, what: str, steps: int) -> Progress:
    def progress(number: int, _label: str, _seconds: float) -> None:
        stage(what, number + 1, steps)

    return progress
