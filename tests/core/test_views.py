"""A face and its mirror image in one plan: two groups of patch networks, averaged by the head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fhe_core.analysis.cost import step_costs, totals
from fhe_core.analysis.precision import predict
from fhe_core.parameters import Parameters
from fhe_core.plan import from_json, required_keys
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


@pytest.mark.parametrize("shape", SHAPES, ids=["4 patches", "9 patches"])
def test_mirror_images_are_averaged_before_they_are_normalised(
    parameters: Parameters, shape: dict[str, Any]
) -> None:
    network = make(shape)
    compiled = tiny.compile_for(network, parameters, views=2)
    images = tiny.images_for(network, 2)
    slots, norm = cleartext.run(
        compiled.plan, compiled.tables(network), list(compiled.pack_image(images))
    )
    mean = embed(network, images).mean(axis=0, keepdims=True)
    assert np.allclose(slots[: network.embedding], wanted(mean)[0], atol=1e-9)
    assert np.allclose(norm, squared_norm(mean)[0])
    with pytest.raises(ValueError, match="expected an image"):
        compiled.pack_image(images[0])


def test_encrypted(parameters: Parameters) -> None:
    network = make(SHAPES[0])
    compiled = tiny.compile_for(network, parameters, views=2)
    key = SecretKey.generate(parameters)
    keys = tiny.make_keys(key, required_keys([compiled.plan], parameters))
    images = tiny.images_for(network, 2)
    slots = compiled.pack_image(images)
    inputs = tiny.encrypt_inputs(key, compiled.plan, slots)
    tables = compiled.tables(network)
    ready = packed.pack(compiled.plan, tables, parameters)
    result, _ = native.run(ready, Evaluator(parameters, keys, 1), inputs)
    (answer,) = wanted(embed(network, images).mean(axis=0, keepdims=True))
    got = key.decrypt(result)[: network.embedding]
    assert np.max(np.abs(got - answer)) < 2e-3 * np.linalg.norm(answer)
    rows = predict(compiled.plan, tables, parameters, list(slots))
    (predicted,) = (row for row in rows if row.label == "normalise")
    assert np.std(got - answer) < 5 * predicted.predicted_std


def test_two_views_need_no_more_keys_masks_or_levels(parameters: Parameters) -> None:
    network = make(SHAPES[0])
    one, two = (tiny.compile_for(network, parameters, views=n).plan for n in (1, 2))
    work, both = (totals(step_costs(plan, parameters)).work for plan in (one, two))
    assert work.key_switches < both.key_switches <= 2 * work.key_switches
    assert required_keys([one], parameters) == required_keys([two], parameters)
    assert set(one.masks) == set(two.masks)
    results = [plan.values[plan.outputs[0]] for plan in (one, two)]
    assert (results[0].level, results[0].scale) == (results[1].level, results[1].scale)
    assert from_json(two.to_json()).digest == two.digest
    assert len(two.inputs) == 2 * len(one.inputs)
