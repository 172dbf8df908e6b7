"""Two encryptions of one image must agree: what no check of a single result can notice."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from fhe_core.normalisation import Normalisation
from fhe_face.bundles import apart
from fhe_face.client.client import FaceClient
from fhe_face.client.copies import agreed
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import (
    COPIES_TOLERANCE,
    Cause,
    HealthReport,
    UnhealthyResultError,
    check_copies,
    expected_norm,
)
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.reference import embed
from fhe_face.places import Packing
from fhe_face.server.server import FaceServer
from tests.core import tiny

ROOT = Normalisation.from_powers((1.057367e-08, -4.753845e-05, 7.176193e-02), (100.0, 3000.0))
LENGTH = 32
#: Of the features that cancel, and the deviation of a pixel's noise.
GAIN = 30.0
NOISE = 3e-4


def copy(squared: float, turn: float = 0.0) -> tiny.Array:
    """A normalised embedding, turned by an angle in one plane."""
    values = np.zeros(LENGTH)
    values[:2] = math.cos(turn), math.sin(turn)
    return values * expected_norm(ROOT, squared)


#: Angle between two directions of one length that are as far apart as is allowed.
EDGE = 2 * math.asin(COPIES_TOLERANCE / 2)


def test_copies_agree_up_to_the_tolerance() -> None:
    for turn, healthy in ((EDGE * 0.99, True), (EDGE * 1.01, False), (math.pi, False)):
        for sign in (1, -1):
            copies = [copy(400.0), copy(400.0, sign * turn)]
            assert check_copies(copies, [400.0, 400.0], ROOT).healthy is healthy, turn


def test_lengths_before_normalisation_must_agree_as_well() -> None:
    """Normalised, a direction that noise alone has chosen would be the same half of the time."""
    inside = 400.0 * (1 + 0.99 * COPIES_TOLERANCE) ** 2
    beyond = 400.0 * (1 + 1.01 * COPIES_TOLERANCE) ** 2
    for other, healthy in ((inside, True), (beyond, False), (1600.0, False)):
        for norms in ((400.0, other), (other, 400.0)):
            assert check_copies([copy(y) for y in norms], norms, ROOT).healthy is healthy


def test_all_copies_must_agree_with_all() -> None:
    near = [copy(400.0, turn) for turn in (-0.6 * EDGE, 0.0, 0.6 * EDGE)]
    assert check_copies(near[:2], [400.0] * 2, ROOT).healthy
    assert check_copies(near[1:], [400.0] * 2, ROOT).healthy
    assert not check_copies(near, [400.0] * 3, ROOT).healthy


def test_one_result_is_not_two_copies() -> None:
    report = check_copies([copy(400.0), copy(400.0)], [400.0, 400.0], ROOT)
    with pytest.raises(UnhealthyResultError, match="one and the same result"):
        report.require()
    for copies, norms in (([copy(400.0)], [400.0]), ([], []), ([copy(400.0)] * 2, [400.0])):
        with pytest.raises(ValueError, match="2 or more"):
            check_copies(copies, norms, ROOT)
    for length in (1, LENGTH - 1):
        with pytest.raises(ValueError, match="one length"):
            check_copies([copy(400.0), copy(400.0)[:length]], [400.0, 400.0], ROOT)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_never_agree(bad: float) -> None:
    broken = copy(400.0, EDGE / 2)
    broken[7] = bad
    assert not check_copies([copy(400.0), broken], [400.0, 400.0], ROOT).healthy
    assert not check_copies([copy(400.0), copy(400.0, EDGE / 2)], [400.0, bad], ROOT).healthy


def served(
    world: tiny.World, network: FusedNetwork, packings: Iterable[Packing]
) -> tuple[FaceClient, FaceServer]:
    engine = tiny.engine_for(network, world.parameters, packings)
    keys = tiny.make_keys(world.key, engine.keys())
    return FaceClient(world.key, engine), FaceServer(keys, engine, network)


def results(
    world: tiny.World, network: FusedNetwork, image: tiny.Array, noise: float
) -> list[Embedding]:
    """Both results of an image that is encrypted twice; each has passed its own check.

    noise: of a pixel. The ring is too small for the noise that encryption has at full size.
    """
    client, server = served(world, network, [Packing.ALONE])
    generator = np.random.default_rng(1)
    copies = [np.clip(image + generator.normal(0, noise, image.shape), -1, 1) for _ in range(2)]
    together = apart(server.embed(client.encrypt(tiny.faces(np.stack(copies)))))
    return [client.embedding(found) for found in together]


def error(found: Embedding, network: FusedNetwork, image: tiny.Array) -> float:
    """Distance between the directions of what was found and of the true embedding."""
    true = embed(network, image[None])[0]
    values = found.values / np.linalg.norm(found.values)
    return float(np.linalg.norm(values - true / np.linalg.norm(true)))


def compared(found: list[Embedding]) -> HealthReport:
    norms = [one.health.squared_norms[0] for one in found]
    return check_copies([one.values for one in found], norms, tiny.ROOT)


def test_garbage_that_passes_alone_is_refused_as_a_copy(world: tiny.World) -> None:
    image = world.images[0]
    network = tiny.cancelling(world.network, image, GAIN)
    found = results(world, network, image, NOISE)  # each of them healthy
    off = [error(one, network, image) for one in found]
    assert min(off) > 0.3, "no garbage: the test is worth nothing"
    with pytest.raises(UnhealthyResultError, match="copies of the face differ"):
        compared(found).require()


def test_copies_of_an_ordinary_image_are_taken(world: tiny.World) -> None:
    image = world.images[0]
    found = results(world, world.network, image, NOISE)
    assert max(error(one, world.network, image) for one in found) < 0.01
    compared(found).require()


def test_a_client_that_embeds_twice(world: tiny.World) -> None:
    """One result for each face; where noise decided it, a refusal."""
    client, server = served(world, world.network, [Packing.ALONE])
    found = client.embed(tiny.faces(world.images[:2]), server, twice=True)
    assert [run.packing for run in found.rounds[0].runs] == [Packing.ALONE] * 4
    for result, expected in zip(found.results, world.reference(world.images[:2]), strict=True):
        assert isinstance(result, Embedding)
        assert np.linalg.norm(result.values - expected) < 2e-3 * np.linalg.norm(expected)
    both = [result for result in found.results if isinstance(result, Embedding)]
    (differ,) = agreed(both, tiny.ROOT)  # as if they were copies of one face
    assert isinstance(differ, HealthReport)
    assert differ.cause is Cause.OWN
    unhealthy = HealthReport((9e9,), (2.0, 200.0), ("diverged",), Cause.OWN)
    assert agreed([both[0], unhealthy, unhealthy, both[0]], tiny.ROOT) == [unhealthy] * 2


def test_rounded_weights_are_no_noise_that_copies_tell(world: tiny.World) -> None:
    """What is *not* noticed (docs/health.md): the same network, with weights that are a bit off."""
    image = world.images[0]
    network = tiny.cancelling(world.network, image, GAIN)
    found = results(world, network, image, 0.0)  # the noise of this ring is below its rounding
    assert min(error(one, network, image) for one in found) > 0.1
    compared(found).require()
