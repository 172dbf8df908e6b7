"""The measurement of divergence, on a small batch."""

from __future__ import annotations

import importlib
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.divergence import agreement, rooms, scores
from benchmarks.divergence.images import blend, squared_norm
from benchmarks.divergence.statistics import log2_within, wilson
from fhe_face.circuit import normalisation_of
from fhe_face.client.noise_gain import LEAN, noise_gain
from fhe_face.engine import Engine, choose_engine
from fhe_face.models.reference import embed
from fhe_face.models.synthetic import random_fused
from fhe_face.places import Packing, Places


@pytest.fixture(scope="module")
def engine() -> Engine:
    return choose_engine()


def test_intervals_hold_the_share() -> None:
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == pytest.approx(1)
    low, high = wilson(30, 1000)  # 0.0211 to 0.0425 in tables
    assert abs(low - 0.0211) < 1e-4
    assert abs(high - 0.0425) < 1e-4
    assert 2 ** log2_within(1.96, 1.0) == pytest.approx(0.95, abs=1e-3)
    assert log2_within(1e-3, 1.0) < -10


def test_rooms_are_distances_between_equal_values(engine: Engine, repository: Path) -> None:
    """And what docs/health.md says of them: what lands in the interval is told by its spread."""
    found = {(room.plan, room.result): room for room in rooms.rooms("lean", engine)}
    score = found["match", "score"]
    moduli = engine.parameters.moduli
    assert 2.0 ** (score.log_distance + score.log_scale) == pytest.approx(moduli[0], rel=1e-9)
    norm = rooms.constant("lean", engine, engine.compiled.plan)
    assert norm.spread < -850  # of half as many slots as before the ring of half the degree
    page = (repository / "docs" / "health.md").read_text(encoding="utf-8")
    embedding, squared = (found["embed-64-one", name] for name in engine.compiled.plan.outputs)
    distances = (embedding.log_distance, squared.log_distance, score.log_distance)
    assert "| `lean` | {:.0f} | {:.1f} | **{:.0f}** |".format(*distances) in page
    many = engine.only([Packing.BATCH])
    together = rooms.constant("lean batch", many, many.batch.plan)
    spread = rf"{norm.spread:.0f} \({together.spread:.0f}\)"
    for row, figure in (("remainder", f"{norm.landing:.1f}"), ("spread", spread)):
        assert re.search(rf"^\| {row}.* \| {figure} \| -\d+(\.\d)? \|$", page, re.MULTILINE)


def batch(generator: np.random.Generator, directions: int) -> Any:
    """Embeddings of 16 faces in 1024 slots, without a network."""
    normalisation, period, blocks, block = normalisation_of(None), 16, 16, 64

    def draw() -> scores.Slots:
        values = generator.normal(size=(blocks, block))
        values[:, period : 2 * period] = values[:, :period]
        return np.asarray(20 * values / np.linalg.norm(values[:, :period], axis=1)[:, None]).ravel()

    found = scores.Batch.__new__(scores.Batch)
    found.normalisation, found.period = normalisation, period
    found.batch = Places(blocks, block)
    found.slots = draw()
    changes = [np.where(np.arange(blocks * block) < block, draw(), 0) for _ in range(directions)]
    found.directions = changes
    return found


def test_wrapped_scores_pass_as_often_as_uniform_ones() -> None:
    generator = np.random.default_rng(0)
    left, right = batch(generator, 3), batch(generator, 0)
    room = 8.0
    found = scores.tally(left, right, room, 200, 0, (5.0, 7.0))
    expected = scores.likely(left.normalisation, 400.0, room, 1024)
    assert found.wrong > 0.9 * found.slots
    assert 0.5 * expected < found.accepted / found.wrong < 2 * expected
    assert found.bounded == 0
    assert 0 < found.crossed < found.accepted


def test_faces_that_do_not_diverge_are_all_right() -> None:
    generator = np.random.default_rng(1)
    left, right = batch(generator, 1), batch(generator, 0)
    found = scores.tally(left, right, 64.0, 20, 0, (2.5, 2.7))
    assert (found.wrong, found.accepted, found.needless) == (0, 0, 0)
    assert found.described()["slots"] == found.slots > 0


def test_images_of_a_chosen_squared_norm() -> None:
    network = random_fused(0)
    steep = replace(network, head_weight=network.head_weight * 10)
    good, bad = np.zeros((3, 16, 16)), np.ones((3, 16, 16))
    ends = sorted(squared_norm(steep, image) for image in (good, bad))
    if squared_norm(steep, good) > squared_norm(steep, bad):
        good, bad = bad, good
    target = math.sqrt(ends[0] * ends[1])
    assert squared_norm(steep, blend(steep, good, bad, target)) == pytest.approx(target, rel=1e-6)
    with pytest.raises(ValueError, match="no image between"):
        blend(steep, good, bad, ends[1] * 2)


def rank_one(common: float, gain: float) -> agreement.Judged:
    """1,000 copies of an embedding that are off along one line, and all by the same vector."""
    generator = np.random.default_rng(0)
    true = np.zeros(16)
    true[0] = 20.0
    line, shift = np.eye(16)[1:3]
    found = true + 20 * (gain * generator.normal(size=(1000, 1)) * line + common * shift)
    return agreement.judged(true, found, normalisation_of(None))


def test_copies_along_one_line_pass_as_often_as_computed() -> None:
    for number, wrong in enumerate(agreement.WRONG):
        found = rank_one(0.0, 2 * wrong)
        assert found.rank == pytest.approx(1, abs=1e-6)
        assert abs(found.common) < 0.05
        bound = agreement.line_bound(2, wrong)
        assert 0.6 * bound < found.wrong[number] < 1.2 * bound
        assert found.taken > wrong


def test_more_copies_leave_less(repository: Path) -> None:
    """The figures of docs/health.md."""
    page = (repository / "docs" / "health.md").read_text(encoding="utf-8")
    for copies in (2, 3, 4):
        bounds = [agreement.line_bound(copies, wrong) for wrong in agreement.WRONG]
        assert f"| {copies} | " + " | ".join(f"{bound:.1e}" for bound in bounds) + " |" in page


def test_an_error_that_copies_share_is_not_noticed() -> None:
    found = rank_one(0.2, 0.001)
    assert found.common > 0.99
    assert (found.agree, found.passes) == (1.0, 1.0)
    assert found.wrong == (1.0, 0.0, 0.0)


def test_the_twin_is_the_network() -> None:
    torch = pytest.importorskip("torch")
    twin = importlib.import_module("benchmarks.divergence.twin")
    for network in (random_fused(0), random_fused(0, 24, channels=(4, 8), strides=(2,))):
        size = network.input_size
        images = np.random.default_rng(0).uniform(-1, 1, (2, 3, size, size))
        found = twin.Twin(network)(torch.from_numpy(images.astype(np.float32)))
        assert np.allclose(found, embed(network, images), atol=1e-3)
        noisy = twin.Twin(network)(torch.from_numpy(images.astype(np.float32)), twin.Noise(LEAN, 0))
        assert 1e-5 < float((noisy - found).abs().max()) < 0.5


def test_ascent_finds_noise() -> None:
    """In a few steps, and in a network that nobody trained."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    ascent = importlib.import_module("benchmarks.divergence.ascent")
    network = random_fused(0)
    steep = replace(network, head_weight=network.head_weight * 5, head_bias=network.head_bias * 5)
    face = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 16, 16))
    torch.set_num_threads(1)
    try:
        image = ascent.ascend(steep, face, ascent.gain, 60)
    finally:
        torch.set_num_threads(before)
    low, high = ascent.NORMS
    assert low <= squared_norm(steep, image) <= high
    assert np.allclose(np.rint((image + 1) * 127.5), (image + 1) * 127.5, atol=1e-4)
    gains = [
        noise_gain(steep, one, draws=16, generator=np.random.default_rng(0))
        for one in (face, image)
    ]
    assert gains[1] > 1.3 * gains[0]
