"""Whole networks: cleartext to the last digits, encrypted to the noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from fhe_core.compiler import SAFE, compile_match, compile_network
from fhe_core.compiler.architecture import architecture_of
from fhe_core.compiler.builder import PlanBuilder
from fhe_core.compiler.layouts import LayoutError
from fhe_core.normalisation import Normalisation, NormalisationError
from fhe_core.parameters import Parameters
from fhe_core.plan import PlanError, steps
from fhe_core.runtime import cleartext
from fhe_core.secret.key import SecretKey
from fhe_face.models.balance import balance
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.reference import embed, squared_norm
from fhe_face.models.synthetic import random_fused
from tests.core import tiny


@dataclass(frozen=True)
class Case:
    """A random network and the ring it runs in."""

    log_n: int
    seed: int = 0
    balanced: bool = True
    shape: tuple[tuple[str, Any], ...] = ()

    def network(self) -> FusedNetwork:
        network = random_fused(self.seed, **dict(self.shape))
        return balance(network, tiny.images_for(network, 8)) if self.balanced else network

    def parameters(self, network: FusedNetwork) -> Parameters:
        return tiny.chain(self.log_n, 4 * len(network.blocks) + 9)


NINE = (("input_size", 24), ("channels", (4, 8)), ("strides", (2,)), ("embedding", 8))
SIXTEEN = (("input_size", 32), ("channels", (4, 8)), ("strides", (2,)), ("embedding", 8))
WIDE = (("input_size", 32), ("patch_size", 16), ("channels", (4, 8)), ("strides", (2,)))
SINGLE = (("input_size", 8), ("channels", (4, 8)), ("strides", (2,)), ("embedding", 8))
CASES = [
    Case(10),
    Case(11),
    Case(11, seed=1, balanced=False),
    Case(12, shape=WIDE),
    Case(12, seed=2),
    Case(11, seed=3, shape=(("channels", (8, 8)), ("strides", (2,)), ("embedding", 20))),
    Case(11, seed=4, shape=SINGLE),
    Case(11, seed=5, shape=NINE),
    Case(11, seed=6, shape=SIXTEEN),
]


def expected(network: FusedNetwork, images: tiny.Array) -> tuple[tiny.Array, tiny.Array]:
    embedding = embed(network, images)
    return embedding * tiny.ROOT.evaluate(squared_norm(embedding))[:, None], squared_norm(embedding)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cleartext_is_exact(case: Case) -> None:
    network = case.network()
    compiled = tiny.compile_for(network, case.parameters(network))
    tables = compiled.tables(network)
    for image in tiny.images_for(network, 2, seed=5):
        slots, norm = cleartext.run(compiled.plan, tables, list(compiled.pack_image(image)))
        reference, reference_norm = expected(network, image[None])
        length = network.embedding
        assert np.max(np.abs(slots[:length] - reference[0])) < 1e-9
        period = compiled.plan.metadata["period"]
        assert np.max(np.abs(slots - np.tile(slots[:period], slots.size // period))) < 1e-9
        assert np.max(np.abs(slots[length:period]), initial=0.0) < 1e-9
        assert np.max(np.abs(norm - reference_norm)) < 1e-9 * max(1, reference_norm[0])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_encrypted_is_close(case: Case) -> None:
    network = case.network()
    parameters = case.parameters(network)
    ready = tiny.encrypted(network, parameters, SecretKey.generate(parameters))
    image = tiny.images_for(network, 1, seed=6)
    embedding, norm = (ready.key.decrypt(c) for c in ready.run(image[0]))
    reference, reference_norm = expected(network, image)
    error = np.linalg.norm(embedding[: network.embedding] - reference[0])
    assert error < 1e-3 * np.linalg.norm(reference)
    assert np.max(np.abs(norm - reference_norm)) < 1e-3 * reference_norm[0]


def test_the_plan_is_structure_only(world: tiny.World) -> None:
    """Another network of the same shapes has the same plan, whatever its weights."""
    other = random_fused(17)
    again = tiny.compile_for(other, world.parameters)
    assert again.plan.digest == world.compiled.plan.digest
    with pytest.raises(ValueError, match="architecture"):
        world.compiled.tables(random_fused(0, embedding=8))


def test_scales_are_exact(world: tiny.World) -> None:
    plan, moduli = world.compiled.plan, world.parameters.moduli
    for step in plan.steps:
        if isinstance(step, steps.Square) and step.rescale == 1:
            source, output = plan.values[step.source], plan.values[step.output]
            assert output.scale == source.scale**2 / moduli[source.level]
            assert output.level == source.level - 1
        if isinstance(step, steps.LinearTransform):
            assert step.level <= min(plan.values[name].level for name in step.inputs)
            scale = plan.values[step.outputs[0]].scale
            for name, weight in zip(step.inputs, step.weight_scales, strict=True):
                total = plan.values[name].scale * weight * step.mask_scale
                assert total / float(moduli[step.level]) == pytest.approx(scale, rel=1e-12)


def test_match_plan(world: tiny.World) -> None:
    generator = np.random.default_rng(0)
    period = world.match.metadata["period"]
    left, right = (
        np.tile(generator.normal(size=period), world.parameters.slots // period) for _ in range(2)
    )
    (score,) = cleartext.run(world.match, {}, [left, right])
    assert np.allclose(score, left[:period] @ right[:period], atol=1e-9)
    embedding = world.compiled.plan.values[world.compiled.plan.outputs[0]]
    for name in world.match.inputs:
        value = world.match.values[name]
        assert (value.level, value.scale) == (embedding.level, embedding.scale)


def test_images_of_the_wrong_shape_are_refused(world: tiny.World) -> None:
    for shape in ((3, 16, 15), (1, 16, 16), (16, 16, 3)):
        with pytest.raises(ValueError, match="expected an image"):
            world.compiled.pack_image(np.zeros(shape))


def test_refused_chains_and_polynomials(world: tiny.World) -> None:
    architecture = architecture_of(world.network)
    with pytest.raises(PlanError, match="too short"):
        compile_network(architecture, tiny.chain(11, 12), SAFE, tiny.ROOT)
    high = Normalisation(tiny.ROOT.chebyshev, tiny.INTERVAL, newton_steps=2)
    with pytest.raises(PlanError, match=r"degree 22 .* lower degree"):
        compile_network(architecture, world.parameters, SAFE, high)
    crossing = Normalisation((0.1, 0.2), tiny.INTERVAL)
    with pytest.raises(NormalisationError, match="not positive"):
        compile_network(architecture, world.parameters, SAFE, crossing)


def test_channels_across_ciphertexts_are_refused() -> None:
    """One row of offsets serves all ciphertexts of a feature map."""
    network = random_fused(0, channels=(8, 16, 16), strides=(1, 2), embedding=8)
    with pytest.raises(LayoutError, match="all its channels"):
        tiny.compile_for(network, tiny.chain(10, 17))


def test_refused_architectures(world: tiny.World) -> None:
    network = world.network
    stem = network.stem
    strided = replace(stem, stride=2)
    with pytest.raises(ValueError, match="stride 1"):
        architecture_of(_With(network, stem=strided))
    unpadded = replace(stem, padding=0)
    with pytest.raises(ValueError, match="stride 1"):
        architecture_of(_With(network, stem=unpadded))
    block = network.blocks[0]
    bad = _With(block, conv1=replace(block.conv1, padding=0))
    with pytest.raises(ValueError, match="keep the size"):
        architecture_of(_With(network, blocks=(bad,)))
    bad = _With(block, conv2=replace(block.conv2, stride=2))
    with pytest.raises(ValueError, match="stride 1"):
        architecture_of(_With(network, blocks=(bad,)))


def test_embeddings_that_do_not_fit_are_refused() -> None:
    network = random_fused(0, embedding=64)
    with pytest.raises(PlanError, match="must fit"):
        tiny.compile_for(network, tiny.chain(11, 17))


class _With:
    """An object with some attributes replaced."""

    def __init__(self, base: object, **changes: object) -> None:
        self._base, self._changes = base, changes

    def __getattr__(self, name: str) -> Any:
        return self._changes[name] if name in self._changes else getattr(self._base, name)


def test_match_needs_levels_of_its_own(world: tiny.World) -> None:
    value = world.compiled.plan.values[world.compiled.plan.outputs[0]]
    assert value.level >= 1
    match = compile_match(world.compiled.plan, world.parameters, SAFE)
    assert match.values[match.outputs[0]].level == 0


def test_limbs_that_are_left_over_are_room_for_scores() -> None:
    """A rescale too many would leave a score at the scale one, far below its noise."""
    parameters = tiny.load(tiny.SHORT.name)
    builder = PlanBuilder(parameters, SAFE)
    source = builder.input("embedding", 2, 2.0**43)
    plan = builder.finish("embed", [source], [source], {"period": 4})
    match = compile_match(plan, parameters, SAFE)
    score = match.values[match.outputs[0]]
    assert score.level == 1
    assert score.scale == pytest.approx(2.0**43, rel=1e-3)
