"""Two faces in real and imaginary parts: the same answers, for little more than one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fhe_core.analysis.cost import step_costs, totals
from fhe_core.analysis.precision import predict
from fhe_core.compiler import Parts
from fhe_core.parameters import Parameters
from fhe_core.plan import KeyName, from_json, required_keys
from fhe_core.runtime import cleartext, native, packed
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from fhe_face.models.balance import balance
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.reference import embed, squared_norm
from fhe_face.models.synthetic import random_fused
from tests.core import tiny

SHAPES: list[dict[str, Any]] = [
    {"input_size": 16, "channels": (4, 8), "strides": (2,), "embedding": 8},
    {"input_size": 24, "channels": (4, 8), "strides": (2,), "embedding": 8},
]


def make(shape: dict[str, Any]) -> FusedNetwork:
    network = random_fused(0, **shape)
    return balance(network, tiny.images_for(network, 8))


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return tiny.chain(11, 13)


def wanted(embeddings: tiny.Array) -> tiny.Array:
    return embeddings * tiny.ROOT.evaluate(squared_norm(embeddings))[:, None]


def pair_inputs(network: FusedNetwork, parameters: Parameters, images: tiny.Array) -> Any:
    single = tiny.compile_for(network, parameters)
    return np.concatenate([single.pack_image(image) for image in images])


@pytest.mark.parametrize("shape", SHAPES, ids=["4 patches", "9 patches"])
def test_a_pair_in_the_clear(parameters: Parameters, shape: dict[str, Any]) -> None:
    network = make(shape)
    pair = tiny.compile_for(network, parameters, packing=Parts.PAIR)
    images = tiny.images_for(network, 2)
    inputs = list(pair_inputs(network, parameters, images))
    first, norm1, second, norm2 = cleartext.run(pair.plan, pair.tables(network), inputs)
    plain = embed(network, images)
    norms = squared_norm(plain)
    for slots, norm, answer, y, other in zip(
        (first, second), (norm1, norm2), wanted(plain), norms, norms[::-1], strict=True
    ):
        assert np.allclose(slots[: network.embedding], answer, atol=1e-9)
        assert np.allclose(norm, y + 1j * other)  # the neighbour may have diverged


@pytest.mark.parametrize("shape", SHAPES, ids=["4 patches", "9 patches"])
def test_mirror_images_are_averaged_before_they_are_normalised(
    parameters: Parameters, shape: dict[str, Any]
) -> None:
    network = make(shape)
    compiled = tiny.compile_for(network, parameters, packing=Parts.MIRROR)
    images = tiny.images_for(network, 2)
    slots, norm = cleartext.run(
        compiled.plan, compiled.tables(network), list(compiled.pack_image(images))
    )
    mean = embed(network, images).mean(axis=0, keepdims=True)
    assert np.allclose(slots[: network.embedding], wanted(mean)[0], atol=1e-9)
    assert np.allclose(norm, squared_norm(mean)[0])
    with pytest.raises(ValueError, match="expected an image"):
        compiled.pack_image(images[0])


@pytest.mark.parametrize("packing", [Parts.PAIR, Parts.MIRROR])
def test_encrypted(parameters: Parameters, packing: Parts) -> None:
    network = make(SHAPES[0])
    compiled = tiny.compile_for(network, parameters, packing=packing)
    key = SecretKey.generate(parameters)
    keys = tiny.make_keys(key, required_keys([compiled.plan], parameters))
    images = tiny.images_for(network, 2)
    pair = packing is Parts.PAIR
    slots = pair_inputs(network, parameters, images) if pair else compiled.pack_image(images)
    inputs = tiny.encrypt_inputs(key, compiled.plan, slots)
    tables = compiled.tables(network)
    ready = packed.pack(compiled.plan, tables, parameters)
    results = native.run(ready, Evaluator(parameters, keys, 1), inputs)
    plain = embed(network, images)
    answers = wanted(plain if pair else plain.mean(axis=0, keepdims=True))
    assert len(results) == 2 * len(answers)
    for result, answer in zip(results[::2], answers, strict=True):
        got = key.decrypt(result)[: network.embedding]
        assert np.max(np.abs(got - answer)) < 2e-3 * np.linalg.norm(answer)
    rows = predict(compiled.plan, tables, parameters, list(slots))
    predicted = [row for row in rows if row.label.endswith("normalise")]
    for row, result, answer in zip(predicted, results[::2], answers, strict=True):
        error = np.std(key.decrypt(result)[: network.embedding].real - answer)
        assert error < 5 * row.predicted_std


def test_a_pair_costs_little_more_than_one(parameters: Parameters) -> None:
    network = make(SHAPES[0])
    plans = [tiny.compile_for(network, parameters, packing=p).plan for p in Parts]
    one, mirror, pair = (totals(step_costs(plan, parameters)).work for plan in plans)
    assert mirror.inner_products == pair.inner_products == one.inner_products
    assert mirror.key_switches < pair.key_switches < 1.35 * one.key_switches
    keys = [{k.name for k in required_keys([plan], parameters)} for plan in plans]
    assert keys[1] - keys[0] == {KeyName(parameters.conjugation, 0)}
    assert keys[2] == keys[1]
    for plan in plans:
        assert from_json(plan.to_json()).digest == plan.digest


def test_pairs_need_no_more_levels(parameters: Parameters) -> None:
    network = make(SHAPES[0])
    plans = [tiny.compile_for(network, parameters, packing=p).plan for p in Parts]
    assert {plan.values[plan.outputs[0]].level for plan in plans} == {1}
    assert len({plan.values[plan.outputs[0]].scale for plan in plans}) == 1
