"""What client and server share: one network architecture, one plan, no secrets and no weights.

The plan depends on shapes only, so a client compiles the very plan of the server without its
model. Nothing here imports the secret key or anything that could decrypt.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from fhe_core.compiler import (
    CompiledBatch,
    CompiledNetwork,
    Policy,
    capacity_of,
    compile_batch,
    compile_match,
    compile_network,
)
from fhe_core.compiler import policy as policies
from fhe_core.compiler.architecture import Architecture, BlockShape
from fhe_core.container import Corrupt, Header
from fhe_core.formats.ciphertexts import key_layout
from fhe_core.normalisation import Normalisation
from fhe_core.parameters import Parameters, presets
from fhe_core.plan import KeySpecification, Plan, PlanError, required_keys
from fhe_face.circuit import (
    ENTRY,
    INPUT_SIZE,
    PACKINGS,
    Circuit,
    CircuitError,
    circuit_of,
    circuit_of_device,
    normalisation_of,
    packings_for,
)
from fhe_face.models import architecture as shapes
from fhe_face.places import EMBEDDING, IMAGE, SCORE, SCORE_NAMES, Packing, Places, Run

KERNEL = 3
COLOURS = 3
#: How plans are compiled for each preset: for one face, and for batches.
_POLICIES = {
    "lean": (policies.LEAN, policies.LEAN_BATCH),
    "raw": (policies.RAW, policies.RAW_BATCH),
    "safe": (policies.SAFE, policies.BATCH),
    "deep": (policies.SAFE, policies.BATCH),
}
#: Presets with levels for a normalisation, the cheapest first; and where the client normalises.
_NORMALISING, _RAW = ("lean", "safe", "deep"), ("raw",)

#: What keys are made for where nobody asks for batches.
DEFAULT_PACKINGS = (Packing.ALONE,)


@dataclass(frozen=True)
class Engine:
    """Everything that is fixed before a key or an image exists. Plans are compiled when needed.

    Attributes:
        policy, batch_policy: how plans for one face, and those for batches, are compiled.
        capacity: faces of a batch.
        packings: what evaluation keys are for.
    """

    circuit: Circuit
    parameters: Parameters
    architecture: Architecture
    policy: Policy
    batch_policy: Policy
    capacity: int
    packings: tuple[Packing, ...]

    @cached_property
    def compiled(self) -> CompiledNetwork:
        """The plan for one face."""
        normalisation, views = self.circuit.encrypted_normalisation, self.circuit.views
        return compile_network(
            self.architecture, self.parameters, self.policy, normalisation, views
        )

    @cached_property
    def batch(self) -> CompiledBatch:
        """The plan for up to ``capacity`` faces."""
        shape, normalisation = self.architecture, self.circuit.encrypted_normalisation
        return compile_batch(
            shape, self.parameters, self.batch_policy, normalisation, self.capacity
        )

    @cached_property
    def match_plan(self) -> Plan:
        """The plan of a score of two faces, or of batches where the keys are for nothing else.

        Raises:
            NoScoresError: the client normalises.
        """
        return self.match(self.packings[0])

    def match(self, packing: Packing) -> Plan:
        """The plan of scores of faces that were computed so; often the same for all.

        Raises:
            NoScoresError: the client normalises.
        """
        self.circuit.require_scores()
        return self._batch_match if packing is Packing.BATCH else self._single_match

    def alike(self, packings: Iterable[Packing]) -> bool:
        """Whether one plan compares faces of all these packings, so that they may be mixed."""
        return len({self.match(packing).digest for packing in packings}) == 1

    @cached_property
    def _single_match(self) -> Plan:
        return compile_match(self.compiled.plan, self.parameters, self.policy)

    @cached_property
    def _batch_match(self) -> Plan:
        return compile_match(self.batch.plan, self.parameters, self.batch_policy)

    def of(self, packing: Packing) -> CompiledNetwork | CompiledBatch:
        """What computes faces that are packed so.

        Raises:
            PlanError: the preset is too short.
        """
        return self.batch if packing is Packing.BATCH else self.compiled

    @property
    def places(self) -> Places:
        """Where the faces of a batch lie."""
        return Places(self.capacity, self.parameters.slots // self.capacity)

    def item_names(self, what: str, run: Run) -> list[str]:
        """What the ciphertexts of a run are called; what: images, embeddings or scores."""
        plan = self.of(run.packing).plan
        names = {IMAGE: plan.inputs, EMBEDDING: plan.outputs, SCORE: SCORE_NAMES}[what]
        return [f"{run.label} {name}" for name in names]

    def keys(self, packings: Iterable[Packing] | None = None) -> list[KeySpecification]:
        """Every evaluation key that embedding and matching need; packings: as for `plans`."""
        return required_keys(self.plans(packings), self.parameters)

    def plans(self, packings: Iterable[Packing] | None = None) -> list[Plan]:
        """All plans of the server; packings: of these only, the default is all."""
        chosen = self.packings if packings is None else tuple(packings)
        matched = () if self.circuit.client_normalises else self.packings
        scores = {plan.digest: plan for plan in map(self.match, matched)}
        return [*(self.of(packing).plan for packing in chosen), *scores.values()]

    def facts(self) -> dict[str, Any]:
        """What key files say of what they were made for."""
        named = [packing.value for packing in self.packings]
        return {ENTRY: self.circuit.describe(), PACKINGS: named}

    def only(self, packings: Iterable[Packing]) -> Engine:
        """The same circuit, for these packings."""
        return replace(self, packings=tuple(packings))


def architecture(input_size: int = INPUT_SIZE) -> Architecture:
    """The shapes of CryptoFaceNet4, 9 or 16, the networks of faces of 64, 96 or 128 pixels."""
    blocks = tuple(
        BlockShape(b.inputs, b.outputs, b.outputs, KERNEL, b.stride, b.projects)
        for b in shapes.BLOCKS
    )
    return Architecture(
        input_size=input_size,
        patch_size=shapes.PATCH_SIZE,
        patches=shapes.patches_of(input_size),
        image_channels=COLOURS,
        stem_kernel=KERNEL,
        stem_outputs=shapes.STEM_CHANNELS,
        blocks=blocks,
        embedding=shapes.EMBEDDING,
    )


def compile_engine(circuit: Circuit, packings: Iterable[Packing] = DEFAULT_PACKINGS) -> Engine:
    """Parameters of a circuit, and its plans, which are compiled when first used.

    Raises:
        CircuitError: no preset has that name, or batches of faces with their mirror images.
    """
    if circuit.preset not in _POLICIES:
        raise CircuitError(f"no preset '{circuit.preset}'; choose one of {sorted(_POLICIES)}")
    wanted = tuple(packings)
    chosen = [packing for packing in Packing if packing in wanted]
    if circuit.views > 1 and Packing.BATCH in chosen:
        raise CircuitError("a batch has no room for mirror images: leave out --batch or --flip")
    if not chosen:
        raise CircuitError("keys for neither single faces nor batches")
    parameters, shape = presets.load(circuit.preset), architecture(circuit.input_size)
    return Engine(
        circuit,
        parameters,
        shape,
        *_POLICIES[circuit.preset],
        capacity_of(shape, parameters.slots),
        tuple(chosen),
    )


def engine_for(header: Header) -> Engine:
    """The engine of a key file.

    Raises:
        ContainerError: its circuit does not exist, or not for its packings.
    """
    return _engine_for(header, circuit_of(header))


def engine_of_device(header: Header) -> Engine:
    """The engine of a device's own key, which is its owner's; errors as `engine_for`."""
    return _engine_for(header, circuit_of_device(header))


def _engine_for(header: Header, circuit: Circuit) -> Engine:
    packings = packings_for(header)
    try:
        return compile_engine(circuit, packings)
    except CircuitError as error:
        raise Corrupt(f"{header.source}: {error}") from None


def choose_engine(
    normalisation: Normalisation | None = None,
    input_size: int = INPUT_SIZE,
    views: int = 1,
    packings: Iterable[Packing] = DEFAULT_PACKINGS,
    *,
    client_normalises: bool = False,
) -> Engine:
    """The engine with the cheapest preset whose modulus chain is long enough.

    normalisation: without it, the default quadratic on [100, 3000]. packings: what keys will be
    for. client_normalises: results are embeddings that nobody normalised, in less time; their
    client divides them by their length, and no score is computed of ciphertexts.

    Raises:
        CircuitError: input size, views or packings that do not exist.
        PlanError: no preset is long enough for the normalisation.
        NormalisationError: the normalisation cannot be evaluated.
    """
    normalisation, packings = normalisation or normalisation_of(None), tuple(packings)
    *others, last = _RAW if client_normalises else _NORMALISING

    def engine_with(preset: str) -> Engine:
        circuit = Circuit(preset, normalisation, input_size, views, client_normalises)
        engine = compile_engine(circuit, packings)
        engine.plans()
        return engine

    for name in others:
        with suppress(PlanError):
            return engine_with(name)
    return engine_with(last)


def key_bytes(keys: Iterable[KeySpecification], parameters: Parameters) -> int:
    """Size of an evaluation key file, but for its header."""
    return sum(key_layout(key, parameters).bytes for key in keys)


def key_memory(keys: Iterable[KeySpecification], parameters: Parameters) -> int:
    """Bytes of expanded evaluation keys: both halves, words of 64 bits."""
    return sum(2 * 8 * math.prod(key.shape(parameters)) for key in keys)
