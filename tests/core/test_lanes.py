"""Fewer patch networks side by side: another plan for the same network and the same answer."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_core.compiler import SAFE, compile_network
from fhe_core.compiler.architecture import architecture_of
from fhe_core.compiler.network import LANES
from fhe_core.plan import required_keys
from fhe_core.runtime import cleartext, parallel
from fhe_core.runtime.packed import pack
from fhe_core.secret.key import SecretKey
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.reference import embed, squared_norm
from fhe_face.models.synthetic import random_fused
from tests.core import tiny


def normalised(network: FusedNetwork, image: tiny.Array) -> tiny.Array:
    raw = embed(network, image[None])
    result: tiny.Array = (raw * tiny.ROOT.evaluate(squared_norm(raw))[:, None])[0]
    return result


@pytest.mark.parametrize("embedding", [8, 16, 30])
@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_every_number_of_lanes_gives_the_answer(lanes: int, embedding: int) -> None:
    network = random_fused(3, embedding=embedding)
    parameters = tiny.chain(11, 17)
    shape = architecture_of(network)
    compiled = compile_network(shape, parameters, SAFE, tiny.ROOT, lanes=lanes)
    (image,) = tiny.images_for(network, 1)
    inputs = compiled.pack_image(image)
    assert len(inputs) == len(compiled.plan.inputs)
    slots, _ = cleartext.run(compiled.plan, compiled.tables(network), list(inputs))
    expected = normalised(network, image)
    assert np.max(np.abs(slots[:embedding] - expected)) < 1e-9
    period = compiled.plan.metadata["period"]
    assert np.max(np.abs(slots - np.tile(slots[:period], slots.size // period))) < 1e-9


def test_one_lane_encrypted_agrees_with_all_lanes(world: tiny.World) -> None:
    network, parameters = world.network, world.parameters
    alone = compile_network(architecture_of(network), parameters, SAFE, tiny.ROOT, lanes=1)
    key = SecretKey.generate(parameters)
    keys = tiny.make_keys(key, required_keys([alone.plan], parameters))
    packed = pack(alone.plan, alone.tables(network), parameters)
    inputs = tiny.encrypt_inputs(key, alone.plan, alone.pack_image(world.images[0]))
    embedding = key.decrypt(parallel.run(packed, keys, inputs, 2)[0])[: network.embedding]
    expected = normalised(network, world.images[0])
    assert np.linalg.norm(embedding - expected) < 1e-3 * np.linalg.norm(expected)


def test_patches_share_keys_and_masks_but_no_ciphertext(world: tiny.World) -> None:
    shape = architecture_of(world.network)
    alone = compile_network(shape, world.parameters, SAFE, tiny.ROOT, lanes=1)
    stems = [label for label in alone.plan.labels if label.endswith("stem")]
    assert stems == [f"patch {i} stem" for i in range(shape.patches)]
    single = {label.split(" ", 2)[2] for label in alone.plan.labels if label.startswith("patch ")}
    for i in range(shape.patches):
        own = {n.removeprefix(f"patch {i} ") for n in alone.plan.labels if f"patch {i} " in n}
        assert own == single


def test_lanes_that_do_not_exist_are_refused(world: tiny.World) -> None:
    shape = architecture_of(world.network)
    for lanes in (0, 3, 2 * LANES):
        with pytest.raises(ValueError, match=f"{lanes} lanes; it must be 1, 2 or 4"):
            compile_network(shape, world.parameters, SAFE, tiny.ROOT, lanes=lanes)


def test_two_views_with_one_lane(world: tiny.World) -> None:
    network, parameters = world.network, tiny.chain(11, 18)
    shape = architecture_of(network)
    compiled = compile_network(shape, parameters, SAFE, tiny.ROOT, 2, lanes=1)
    images = world.images[:2]
    slots, _ = cleartext.run(
        compiled.plan, compiled.tables(network), list(compiled.pack_image(images))
    )
    raw = embed(network, images).mean(axis=0, keepdims=True)
    expected = (raw * tiny.ROOT.evaluate(squared_norm(raw))[:, None])[0]
    assert np.max(np.abs(slots[: network.embedding] - expected)) < 1e-9
