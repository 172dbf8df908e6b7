"""A server's plaintexts: corrected on calibration images, which a model's digest covers."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_core.plan import steps
from fhe_core.runtime.calibration import calibrate
from fhe_core.runtime.packed import pack
from fhe_face import plaintexts as module
from fhe_face.models.calibration import calibration_images, images
from fhe_face.models.reference import unit_images
from fhe_face.places import Packing
from fhe_face.plaintexts import digest_of, plaintexts
from tests.core import tiny


@pytest.fixture(scope="module")
def world() -> tiny.World:
    return tiny.make_world()


def test_the_calibration_images_are_those_of_balancing() -> None:
    first, again = calibration_images(16), calibration_images(16)
    assert np.array_equal(first, again)
    assert np.array_equal(first, images(np.random.default_rng(0), 16, 16))


def test_a_server_has_corrected_biases(world: tiny.World) -> None:
    compiled, tables = world.compiled, world.tables
    units = unit_images(calibration_images(16)[:2], 16)
    plain = pack(compiled.plan, tables, world.parameters)
    found = calibrate(plain, tables, [list(compiled.pack_image(unit)) for unit in units])
    additions = world.server.packed(Packing.ALONE).additions
    numbers = [
        number
        for number, step in enumerate(compiled.plan.steps)
        if isinstance(step, steps.LinearTransform)
    ]
    assert sorted(found.corrections) == numbers
    for number in numbers:
        assert additions[number].coefficients.shape[1] == world.parameters.slots
    others = set(additions) - set(numbers)
    for number in others:
        assert np.array_equal(additions[number].coefficients, plain.additions[number].coefficients)
    means = plaintexts(compiled, world.network).means
    assert all(np.array_equal(means[name], mean) for name, mean in found.means.items())


def test_the_digest_of_a_model_covers_its_calibration(
    world: tiny.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = digest_of(world.engine, world.network)
    assert digest == digest_of(world.engine, world.network)
    with monkeypatch.context() as patch:
        patch.setattr(module, "calibration_images", lambda size: 255 - calibration_images(size))
        assert digest_of(world.engine, world.network) != digest
    monkeypatch.setattr(module, "_METHOD", b"another way")
    assert digest_of(world.engine, world.network) != digest
