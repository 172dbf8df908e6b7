"""What client and server share: one network architecture, one plan, no secrets and no weights.

The plan depends on shapes only, so a client compiles the very plan of the server without its
model. Nothing here imports the secret key or anything that could decrypt.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace

import numpy as np

from coeffs.normalisation import Normalisation
from fhe_core import presets
from fhe_core.compiler import SAFE, CompiledNetwork, Policy, compile_match, compile_network
from fhe_core.compiler.architecture import Architecture, BlockShape
from fhe_core.parameters import Parameters
from fhe_core.plan import KeySpecification, Plan, required_keys
from models import architecture as shapes
from models import synthetic
from models.balance import balance
from models.checkpoint import load_state
from models.fused import fuse
from models.layers import FusedNetwork

#: Side of the aligned faces.
INPUT_SIZE = 64
KERNEL = 3
COLOURS = 3
DEFAULT_PRESET = "safe"
UNTRAINED_SEED = 0
_BALANCE_SEED = 0
_BALANCE_IMAGES = 16


class WeightsError(ValueError):
    """Weights that load but cannot be run; the text names the file."""


@dataclass(frozen=True)
class Engine:
    """Everything that is fixed before a key or an image exists."""

    parameters: Parameters
    policy: Policy
    compiled: CompiledNetwork
    match_plan: Plan
    normalisation: Normalisation

    def keys(self) -> list[KeySpecification]:
        """Every evaluation key that embedding and matching need."""
        return required_keys([self.compiled.plan, self.match_plan], self.parameters)

    def matcher(self) -> CompiledNetwork:
        """In place of ``compiled`` for a server that only matches: a plan without steps."""
        plan = self.compiled.plan
        nothing = replace(plan, inputs=(), outputs=(), values={}, masks=(), steps=(), labels=())
        return replace(self.compiled, plan=nothing)


def architecture() -> Architecture:
    """The shapes of CryptoFaceNet4, the network of 64x64 faces."""
    blocks = tuple(
        BlockShape(b.inputs, b.outputs, b.outputs, KERNEL, b.stride, b.projects)
        for b in shapes.BLOCKS
    )
    return Architecture(
        input_size=INPUT_SIZE,
        patch_size=shapes.PATCH_SIZE,
        patches=shapes.patches_of(INPUT_SIZE),
        image_channels=COLOURS,
        stem_kernel=KERNEL,
        stem_outputs=shapes.STEM_CHANNELS,
        blocks=blocks,
        embedding=shapes.EMBEDDING,
    )


def compile_engine(
    preset: str = DEFAULT_PRESET, coefficients: Normalisation | None = None
) -> Engine:
    """Parameters and plans of a preset; takes seconds.

    coefficients: of the normalisation; without them, the default quadratic on [100, 3000].

    Raises:
        KeyError: no preset has that name.
        PlanError: the coefficients are not supported.
    """
    parameters = presets.load(preset)
    policies = {"safe": SAFE}
    policy = policies[preset]
    normalisation = coefficients or Normalisation.load()
    compiled = compile_network(
        architecture(),
        parameters,
        policy,
        normalisation.coefficients,
        normalisation.interval,
    )
    match_plan = compile_match(compiled.plan, parameters, policy)
    return Engine(parameters, policy, compiled, match_plan, normalisation)


def load_network(weights: str | os.PathLike[str] | None) -> FusedNetwork:
    """The fused, balanced network of a weights file; None gives the seeded untrained one.

    The same file gives the same numbers, bit for bit.

    Raises:
        CheckpointError, WeightsError: the file cannot be used; the text names it.
    """
    if weights is None:
        return _balanced(fuse(synthetic.untrained(UNTRAINED_SEED, INPUT_SIZE)))
    state = load_state(weights)
    path = os.fspath(weights)
    try:
        network = fuse(state)
        if network.input_size != INPUT_SIZE:
            size = network.input_size
            raise ValueError(
                f"a network for {size}x{size} faces; only {INPUT_SIZE}x{INPUT_SIZE} "
                "(CryptoFaceNet4) is supported"
            )
        return _balanced(network)
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from None


def _balanced(network: FusedNetwork) -> FusedNetwork:
    generator = np.random.default_rng(_BALANCE_SEED)
    return balance(network, synthetic.images(generator, _BALANCE_IMAGES, INPUT_SIZE))


def key_bytes(keys: list[KeySpecification], parameters: Parameters) -> int:
    """Size of an evaluation key file; expanded in memory the keys take twice as much."""
    return sum(8 * math.prod(key.shape(parameters)) for key in keys)
