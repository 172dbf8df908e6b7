"""What client and server share: one network architecture, one plan, no secrets and no weights.

The plan depends on shapes only, so a client compiles the very plan of the server without its
model. Nothing here imports the secret key or anything that could decrypt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from fhe_core.compiler import (
    BATCH,
    LEAN,
    LEAN_BATCH,
    SAFE,
    Compiled,
    CompiledBatch,
    CompiledNetwork,
    Packing,
    Policy,
    capacity_of,
    compile_batch,
    compile_match,
    compile_network,
)
from fhe_core.compiler.architecture import Architecture, BlockShape
from fhe_core.inverse_root import InverseRoot
from fhe_core.parameters import Parameters, presets
from fhe_core.plan import KeySpecification, Plan, PlanError, required_keys
from fhe_face.circuit import ENTRY, INPUT_SIZE, Circuit, CircuitError, root_of
from fhe_face.models import architecture as shapes

KERNEL = 3
COLOURS = 3
#: How plans are compiled for each preset, the cheapest first, and those for batches.
_POLICIES = (("lean", LEAN), ("safe", SAFE), ("deep", SAFE))
_BATCH_POLICIES = {"lean": LEAN_BATCH, "safe": BATCH, "deep": BATCH}


@dataclass(frozen=True)
class Engine:
    """Everything that is fixed before a key or an image exists.

    compiled: for one face; pair: for two at a time, where the circuit leaves room for two; batch:
    for many, where the circuit is for batches, whose keys then serve nothing else.
    """

    circuit: Circuit
    parameters: Parameters
    policy: Policy
    compiled: CompiledNetwork
    match_plan: Plan
    pair: CompiledNetwork | None = None
    batch: CompiledBatch | None = None

    def keys(self) -> list[KeySpecification]:
        """Every evaluation key that embedding and matching need."""
        return required_keys(self.plans(), self.parameters)

    def plans(self) -> list[Plan]:
        """All plans of the server."""
        pairs = [] if self.pair is None else [self.pair.plan]
        return [self.served.plan, self.match_plan, *pairs]

    @property
    def served(self) -> Compiled:
        """What images are encrypted for: one face, or a batch."""
        return self.compiled if self.batch is None else self.batch

    def facts(self) -> dict[str, Any]:
        """What key files say of the circuit they were made for."""
        return {ENTRY: self.circuit.describe()}

    def matcher(self) -> Compiled:
        """In place of ``served`` for a server that only matches: a plan without steps."""
        plan = self.served.plan
        nothing = replace(plan, inputs=(), outputs=(), values={}, masks=(), steps=(), labels=())
        return replace(self.served, plan=nothing)


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


@lru_cache(maxsize=2)
def compile_engine(circuit: Circuit) -> Engine:
    """Parameters and plans of a circuit; takes seconds, once for each of the last two circuits.

    Raises:
        CircuitError: no preset has that name.
        PlanError: the preset is too short for the normalisation.
        InverseRootError: the normalisation cannot be evaluated.
    """
    policies = dict(_POLICIES)
    if circuit.preset not in policies:
        raise CircuitError(f"no preset '{circuit.preset}'; choose one of {sorted(policies)}")
    parameters, policy = presets.load(circuit.preset), policies[circuit.preset]
    shape = architecture(circuit.input_size)
    packing = Packing.MIRROR if circuit.views > 1 else Packing.ONE
    compiled = compile_network(shape, parameters, policy, circuit.root, packing)
    if circuit.batch:
        policy = _BATCH_POLICIES[circuit.preset]
        capacity = capacity_of(shape, parameters.slots)
        batch = compile_batch(shape, parameters, policy, circuit.root, capacity)
        match_plan = compile_match(batch.plan, parameters, policy)
        return Engine(circuit, parameters, policy, compiled, match_plan, batch=batch)
    match_plan = compile_match(compiled.plan, parameters, policy)
    pair = None
    if packing is Packing.ONE:
        pair = compile_network(shape, parameters, policy, circuit.root, Packing.PAIR)
    return Engine(circuit, parameters, policy, compiled, match_plan, pair)


def choose_engine(
    root: InverseRoot | None = None,
    input_size: int = INPUT_SIZE,
    views: int = 1,
    batch: bool = False,
) -> Engine:
    """The engine with the cheapest preset whose modulus chain is long enough.

    root: the normalisation; without it, the default quadratic on [100, 3000]. batch: for many faces
    at once.

    Raises:
        CircuitError: input size or views that do not exist.
        PlanError: no preset is long enough for the normalisation.
        InverseRootError: the normalisation cannot be evaluated.
    """
    root = root or root_of(None)
    *others, last = [name for name, _ in _POLICIES]
    for name in others:
        try:
            return compile_engine(Circuit(name, root, input_size, views, batch))
        except PlanError:
            continue
    return compile_engine(Circuit(last, root, input_size, views, batch))


def key_bytes(keys: list[KeySpecification], parameters: Parameters) -> int:
    """Size of an evaluation key file; expanded in memory the keys take twice as much."""
    return sum(8 * math.prod(key.shape(parameters)) for key in keys)
