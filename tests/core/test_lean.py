"""Delayed rescaling at small size: the same answers from two rescales of 62.5 bits for a block."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fhe_core import encoding
from fhe_core.analysis.precision import predict
from fhe_core.compiler import LEAN, SAFE, compile_network
from fhe_core.compiler.architecture import architecture_of
from fhe_core.compiler.builder import PlanBuilder
from fhe_core.compiler.policy import Policy
from fhe_core.parameters import Parameters, Specification, Tier, build, presets
from fhe_core.plan import KeyName, KeySpecification, required_keys
from fhe_core.runtime import cleartext, native, packed
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from fhe_face.models.reference import embed
from fhe_face.models.synthetic import random_fused
from tests.core import tiny


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return tiny.lean(11)


@pytest.fixture(scope="module")
def key(parameters: Parameters) -> SecretKey:
    return SecretKey.generate(parameters)


def reference(image: tiny.Array) -> tiny.Array:
    plain = embed(random_fused(0), image[None])[0]
    return np.asarray(plain * tiny.ROOT.evaluate(np.sum(plain**2)))


def test_encrypted_answers_are_close(parameters: Parameters, key: SecretKey) -> None:
    network = random_fused(0)
    compiled = tiny.compile_for(network, parameters, LEAN)
    plan, tables = compiled.plan, compiled.tables(network)
    (image,) = tiny.images_for(network, 1)
    slots = compiled.pack_image(image)
    exact = cleartext.run(plan, tables, list(slots))
    assert plan.values[plan.outputs[0]].level == 1
    evaluator = Evaluator(parameters, tiny.make_keys(key, required_keys([plan], parameters)), 1)
    inputs = tiny.encrypt_inputs(key, plan, slots)
    results = native.run(packed.pack(plan, tables, parameters), evaluator, inputs)
    (row,) = (r for r in predict(plan, tables, parameters, list(slots)) if r.label == "normalise")
    wanted = reference(image)
    assert np.allclose(exact[0][: wanted.size], wanted, atol=1e-9)
    got = key.decrypt(results[0])
    assert np.std(got - exact[0]) < 4 * row.predicted_std
    assert np.linalg.norm(got[: wanted.size] - wanted) < 0.02 * np.linalg.norm(wanted)


def test_fewer_levels_than_the_safe_policy(parameters: Parameters) -> None:
    network = random_fused(0)

    def used(policy: Policy, chain: Parameters) -> int:
        plan = compile_network(architecture_of(network), chain, policy, tiny.ROOT).plan
        return chain.top - plan.values[plan.outputs[0]].level

    assert used(LEAN, parameters) == len(tiny.LEAN_STEPS) - 2
    spec = Specification("insecure-chain", 11, (43,) * 18, (50,) * 6, (Tier(18, 6, 6),))
    assert used(SAFE, build(spec)) == 15  # stem, two blocks of four, head (3), normalisation (3)


def test_the_preset_has_no_level_too_many() -> None:
    """Base, match, normalisation (3), head, blocks, stem; 16 limbs, three sprouts. In the ring of
    half the degree those behind block 1's first convolution, where the other ring has one more."""
    lean = presets.load("lean")
    assert len(lean.levels) == (2 + 3 + 1 + 2 * 5 + 1) + (2 + 3 + 1 + 2 * 3 + 1) + 1
    assert lean.levels[-1].limbs == 19


def test_a_sum_that_is_rescaled(parameters: Parameters, key: SecretKey) -> None:
    builder = PlanBuilder(parameters, LEAN)
    builder.input("x", 2, 2.0**60)
    builder.fold("fold", "x", "sum", [4, 8], rescale=1)
    plan = builder.finish("fold", ["x"], ["sum"], {})
    assert plan.values["sum"].level == 1
    assert math.log2(plan.values["sum"].scale) == pytest.approx(10, abs=0.01)
    x = np.random.default_rng(1).normal(size=parameters.slots)
    evaluator = Evaluator(parameters, tiny.make_keys(key, required_keys([plan], parameters)), 1)
    fresh = key.encrypt(x, 2.0**60)[0].drop_to(2, parameters)
    (got,) = native.run(packed.pack(plan, {}, parameters), evaluator, [fresh])
    (wanted,) = cleartext.run(plan, {}, [x])
    (row,) = predict(plan, {}, parameters, [x])
    error = np.std(key.decrypt(got) - wanted)
    assert row.predicted_std / 2 < error < 2 * row.predicted_std


def test_additions_at_scales_beyond_words(parameters: Parameters, key: SecretKey) -> None:
    """Coefficients times a power of two, where they would not fit a word."""
    x, row = np.random.default_rng(2).normal(size=(2, parameters.slots))
    names = [KeySpecification(KeyName(0, 1), (2,))]
    evaluator = Evaluator(parameters, tiny.make_keys(key, names), 1)
    fresh = key.encrypt(x, 2.0**55)[0].drop_to(2, parameters)
    high = evaluator.multiply(fresh, fresh, 0)
    with pytest.raises(encoding.EncodingError):
        encoding.encode(row, parameters.ring_dimension, high.scale)
    coefficients = encoding.encode(row, parameters.ring_dimension, high.scale / 2.0**60)
    total = evaluator.add_plain(high, coefficients, 60)
    assert np.max(np.abs(key.decrypt(total) - x**2 - row)) < 1e-9
    few = encoding.encode(row[:8], 8, high.scale / 2.0**60)
    total = evaluator.add_plain(high, few, 60)
    assert np.max(np.abs(key.decrypt(total) - x**2 - np.resize(row[:8], row.size))) < 1e-9
