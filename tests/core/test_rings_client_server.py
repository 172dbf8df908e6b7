"""A client and a server: faces alone go through the ring of half the degree, batches do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fhe_core.compiler import SAFE
from fhe_core.compiler.policy import Switch
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.parameters import Specification, Tier, build
from fhe_core.secret.key import SecretKey
from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Embedding, Score
from fhe_face.models.synthetic import random_fused
from fhe_face.places import Packing, numbered
from fhe_face.server.server import FaceServer
from fhe_face.shapes import ShapeMismatch
from tests.core import tiny

#: Both plans end at two limbs.
SPECIFICATION = replace(
    tiny.TINY,
    name="insecure-tiny-halves",
    half_levels=tuple((limbs,) for limbs in range(1, 12)),
    half_tiers=(Tier(11, 4, 4), Tier(5, 2, 2)),
)
FACES = 3


@pytest.fixture(scope="module")
def rings() -> tiny.World:
    return world_of(SPECIFICATION)


def world_of(specification: Specification) -> tiny.World:
    network, parameters = random_fused(0, embedding=32), build(specification)
    engine = tiny.engine_for(network, parameters, Packing, capacity=4)
    engine = replace(engine, policy=replace(SAFE, switch=Switch(1, 43.0, 43.0, 43.0, 43.0, 19.0)))
    key = SecretKey.generate(parameters)
    keys = tiny.make_keys(key, engine.keys())
    client, server = FaceClient(key, engine), FaceServer(keys, engine, network)
    return tiny.World(network, tiny.images_for(network, FACES), engine, key, keys, client, server)


@pytest.fixture(scope="module")
def alone(rings: tiny.World) -> Bundle:
    """The first face, and the second."""
    runs = numbered([(Packing.ALONE, 1)] * 2)
    return rings.server.embed(rings.client.encrypt(tiny.faces(rings.images[:2]), runs=runs))


@pytest.fixture(scope="module")
def batch(rings: tiny.World) -> Bundle:
    runs = numbered([(Packing.BATCH, FACES)])
    return rings.server.embed(rings.client.encrypt(tiny.faces(rings.images), runs=runs))


def test_no_result_is_under_the_secret_of_the_smaller_ring(
    rings: tiny.World, alone: Bundle, batch: Bundle
) -> None:
    """What is decrypted has the shape of a batch's result, and one plan compares all of them."""
    n = rings.parameters.ring_dimension
    for bundle in (alone, batch):
        assert {item.residues.shape[-1] for item in bundle.items.values()} == {n}
    levels = [{item.level for item in bundle.items.values()} for bundle in (alone, batch)]
    assert levels[0] == levels[1]
    assert rings.engine.alike(Packing)


def test_embeddings(rings: tiny.World, alone: Bundle, batch: Bundle) -> None:
    expected = rings.reference(rings.images)
    for bundle in (alone, batch):
        found = rings.client.decrypt(bundle)
        for result, wanted in zip(found, expected, strict=False):
            assert isinstance(result, Embedding)
            assert np.linalg.norm(result.values - wanted) < 1e-3 * np.linalg.norm(wanted)


def scores(rings: tiny.World, left: Bundle, right: Bundle) -> list[float]:
    found = rings.client.decrypt(rings.server.match(left, right))
    assert all(isinstance(score, Score) and score.health.healthy for score in found)
    return [score.value for score in found if isinstance(score, Score)]


def test_scores(rings: tiny.World, alone: Bundle, batch: Bundle) -> None:
    """Of faces alone, of batches, and of one face with all of a batch, whichever comes first."""
    expected = rings.reference(rings.images)
    gram = expected @ expected.T
    one = rings.server.embed(rings.client.encrypt(tiny.faces(rings.images[1])))
    assert scores(rings, alone, alone) == pytest.approx([gram[0, 0], gram[1, 1]], abs=1e-3)
    assert scores(rings, batch, batch) == pytest.approx(np.diag(gram), abs=1e-3)
    assert scores(rings, one, batch) == pytest.approx(gram[1], abs=1e-3)
    assert scores(rings, batch, one) == pytest.approx(gram[1], abs=1e-3)
    assert scores(rings, one, alone) == pytest.approx(gram[1, :2], abs=1e-3)


def test_a_result_in_the_smaller_ring_is_refused(rings: tiny.World, alone: Bundle) -> None:
    """A server may send any residues, but not choose the secret that opens them."""
    for name, item in alone.items.items():
        (small,) = rings.parameters.other_ring(item.level)
        residues = np.ascontiguousarray(item.residues[..., ::2])
        crafted = replace(item, residues=residues, level=small)
        with pytest.raises(ShapeMismatch, match=f"has level {small}"):
            rings.client.decrypt(replace(alone, items={**alone.items, name: crafted}))
