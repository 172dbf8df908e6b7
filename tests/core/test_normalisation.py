"""Normalisation of any degree: the answer, its levels and its scale; and averages of views."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.polynomial import chebyshev

from fhe_core.compiler import SAFE, compile_network
from fhe_core.compiler.architecture import architecture_of
from fhe_core.normalisation import Normalisation
from fhe_core.plan import required_keys, step_reads, steps
from fhe_core.runtime import cleartext, native, packed
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from fhe_face.models.reference import embed, squared_norm
from fhe_face.models.synthetic import random_fused
from tests.core import tiny

SHAPE: dict[str, Any] = {"input_size": 16, "channels": (4, 8), "strides": (2,), "embedding": 8}
LIMBS = 17


def fitted(degree: int, newton_steps: int = 0) -> Normalisation:
    low, high = tiny.INTERVAL
    t = chebyshev.chebpts1(degree + 1)
    y = (low + high + (high - low) * t) / 2
    series = chebyshev.chebfit(t, 1 / np.sqrt(y), degree)
    return Normalisation(tuple(float(c) for c in series), tiny.INTERVAL, newton_steps)


@pytest.mark.parametrize("degree", range(1, 16))
def test_every_degree_takes_the_fewest_levels(degree: int) -> None:
    network = random_fused(0, **SHAPE)
    normalisation = fitted(degree)
    compiled = compile_network(architecture_of(network), tiny.chain(11, LIMBS), SAFE, normalisation)
    plan = compiled.plan
    source = next(
        step_reads(step)[0]
        for step, label in zip(plan.steps, plan.labels, strict=True)
        if label == "square embedding"
    )
    used = plan.values[source].level - plan.values[plan.outputs[0]].level
    # The result has degree 2 * degree + 1 in the embedding.
    assert used == math.ceil(math.log2(2 * degree + 1))
    assert math.log2(plan.values[plan.outputs[0]].scale) == pytest.approx(SAFE.log_scale, abs=0.01)
    images = tiny.images_for(network, 1)
    result, _ = cleartext.run(plan, compiled.tables(network), list(compiled.pack_image(images[0])))
    plain = embed(network, images)
    wanted = plain[0] * normalisation.evaluate(squared_norm(plain))[0]
    assert np.allclose(result[: network.embedding], wanted, atol=1e-9)


@pytest.mark.parametrize(("degree", "newton_steps"), [(1, 0), (3, 0), (8, 0), (15, 0), (2, 1)])
def test_encrypted(degree: int, newton_steps: int) -> None:
    network, parameters = random_fused(0, **SHAPE), tiny.chain(11, LIMBS)
    normalisation = fitted(degree, newton_steps)
    compiled = compile_network(architecture_of(network), parameters, SAFE, normalisation)
    key = SecretKey.generate(parameters)
    evaluator = Evaluator(
        parameters, tiny.make_keys(key, required_keys([compiled.plan], parameters)), 1
    )
    image = tiny.images_for(network, 1)
    inputs = tiny.encrypt_inputs(key, compiled.plan, compiled.pack_image(image[0]))
    tables = compiled.tables(network)
    result, norm = native.run(packed.pack(compiled.plan, tables, parameters), evaluator, inputs)
    plain = embed(network, image)
    y = squared_norm(plain)
    values = key.decrypt(result)[: network.embedding]
    assert np.allclose(values, plain[0] * normalisation.evaluate(y)[0], atol=2e-4)
    assert np.allclose(key.decrypt(norm), y, rtol=1e-3)


def test_more_patches_need_no_more_keys() -> None:
    """Groups of four networks share layouts, rotations and masks."""
    parameters = tiny.chain(11, LIMBS)
    plans = []
    for size in (16, 24, 32):
        network = random_fused(0, **{**SHAPE, "input_size": size})
        plans.append(tiny.compile_for(network, parameters).plan)
    four, nine, sixteen = (required_keys([plan], parameters) for plan in plans)
    assert four == nine == sixteen
    assert plans[0].masks == plans[1].masks == plans[2].masks
    folds = [sum(isinstance(step, steps.FoldSum) for step in plan.steps) for plan in plans]
    each = 3  # two amounts of a group's pool and one of its copies, each a step
    assert folds == [folds[0], folds[0] + 2 * each, folds[0] + 3 * each]
