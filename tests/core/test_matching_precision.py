"""The error of a score: predicted, and measured at full size against float64."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fhe_core.analysis.cost import Machine
from fhe_core.analysis.matching import probe_seconds, search_seconds
from fhe_core.matching import CleartextMatcher, MatchParameters, MatchPlan, gallery_parameters
from fhe_core.matching.precision import predict
from tests.core import tiny
from tests.core.matching_kit import make_sides

#: Aimed at, of a full block of 8,192 random unit vectors.
LARGEST = 2e-4
#: Of templates kept as 16-bit numbers.
RECORD_STEP = 2.0**-15


def errors(parameters: MatchParameters, probes: int, templates: int) -> tuple[float, float]:
    """Deviation and largest error of several probes, each against a block that is sealed anew."""
    sides = make_sides(parameters)
    vectors = tiny.unit_vectors(templates, parameters.features)
    live = np.arange(parameters.templates) < templates
    found = []
    for vector in tiny.unit_vectors(probes, parameters.features, 2):
        block = sides.matcher.load(sides.sealer.seal_block(vectors))
        probe = sides.sealer.seal_probe(vector)
        answer = sides.matcher.answer(sides.matcher.expand(probe), [("0a" * 32, block, live)])
        (scores,) = sides.sealer.open_scores(answer, probe, ["0a" * 32], [live])
        found.append(scores[:templates] - vectors @ vector)
    error = np.concatenate(found)
    return float(np.sqrt(np.mean(error**2))), float(np.max(np.abs(error)))


def test_a_full_block_at_full_size(capsys: pytest.CaptureFixture[str]) -> None:
    parameters = gallery_parameters()
    deviation, largest = errors(parameters, 1, parameters.templates)
    expected = predict(parameters)
    with capsys.disabled():
        print(
            f"\nerror of 8,192 scores: deviation {deviation:.2e} ({expected.deviation:.2e} "
            f"predicted), largest {largest:.2e} ({expected.largest(8192):.2e})"
        )
    assert deviation == pytest.approx(expected.deviation, rel=0.1)
    assert largest < LARGEST


@pytest.mark.parametrize("kind", ["all alike", "one number only", "in step with a level"])
def test_templates_that_are_not_random(kind: str) -> None:
    """Noise of constants is not independent of each other: templates in step with it have more."""
    parameters = gallery_parameters()
    sides = make_sides(parameters)
    vector = tiny.unit_vectors(1, parameters.features)[0]
    if kind != "all alike":
        vector = np.eye(parameters.features)[0]
    signs = np.ones(parameters.templates)
    if kind == "in step with a level":
        signs = np.where(np.arange(parameters.templates) // parameters.stride % 2, -1.0, 1.0)
    vectors = signs[:, None] * vector
    block = sides.matcher.load(sides.sealer.seal_block(vectors))
    probe = sides.sealer.seal_probe(vector)
    (live,) = sides.masks(1)
    answer = sides.matcher.answer(sides.matcher.expand(probe), [("0a" * 32, block, live)])
    (scores,) = sides.sealer.open_scores(answer, probe, ["0a" * 32], [live])
    error = scores - vectors @ vector
    assert np.sqrt(np.mean(error**2)) < 3 * predict(parameters).deviation
    assert np.max(np.abs(error)) < 5e-4


@pytest.mark.parametrize("templates", [64, 8192])
def test_with_rounded_records_a_full_block_stays_within_the_aim(templates: int) -> None:
    expected = predict(gallery_parameters(), templates, RECORD_STEP)
    assert expected.largest(templates) < 0.75 * LARGEST


@pytest.mark.parametrize(
    ("log_n", "features", "roots", "templates"),
    [(8, 64, 1, 256), (8, 64, 8, 256), (9, 256, 4, 64), (7, 16, 2, 1)],
)
def test_predictions_hold_on_other_rings(
    log_n: int, features: int, roots: int, templates: int
) -> None:
    """With scales where the noise of probes, of templates and of both matters in turn."""
    base = tiny.gallery(log_n, features, roots)
    for template_scale, probe_scale in ((2.0**22, 2.0**20), (2.0**12, 2.0**30), (2.0**21, 2.0**15)):
        if probe_scale < 2 * base.leaves:
            continue
        p = replace(base, template_scale=template_scale, probe_scale=probe_scale)
        deviation, _ = errors(p, max(16, 1000 // templates), templates)
        assert deviation == pytest.approx(predict(p, templates).deviation, rel=0.2)


def test_the_scales_are_where_the_noise_is_smallest() -> None:
    p = gallery_parameters()
    best = predict(p).deviation
    for factor in (0.5, 2.0):
        other = replace(
            p, template_scale=p.template_scale * factor, probe_scale=p.probe_scale / factor
        )
        assert predict(other).deviation > 1.2 * best
    # Bits between the largest score of unit vectors and half the modulus.
    assert 0.2 < math.log2(p.modulus / 2 / p.score_scale) < 0.3


def test_the_page_says_what_the_model_says(repository: Path) -> None:
    page = (repository / "docs" / "precision.md").read_text(encoding="utf-8")
    section = page.split("## Galleries")[1].split("\n## ")[0]
    p = predict(gallery_parameters(), record_step=RECORD_STEP)
    sealed = predict(gallery_parameters())
    figures = (p.templates, p.probe, p.products, p.switching, p.records, sealed.deviation)
    for figure in (*figures, sealed.largest(8192), p.largest(8192)):
        assert f"{figure:.2e}".replace("e-0", "e-") in section


def test_the_parts_add_up() -> None:
    p = predict(gallery_parameters(), record_step=RECORD_STEP)
    parts = (p.templates, p.probe, p.products, p.switching, p.records)
    assert p.deviation == pytest.approx(math.sqrt(sum(part**2 for part in parts)))
    assert p.largest(1) < p.deviation < p.largest(100) < p.largest(10**6) < 6 * p.deviation


def test_the_clear_matcher_is_exact_at_full_size() -> None:
    p = gallery_parameters()
    clear = CleartextMatcher(p)
    vector = tiny.unit_vectors(1, p.features)[0]
    constants = clear.expand(vector)
    assert np.allclose(constants[:, 0], vector, atol=1e-14)
    assert np.max(np.abs(constants[:, 1:])) < 1e-14


def test_the_cost_model_says_what_the_plan_counts() -> None:
    """Twice the blocks take twice as long, and memory is the floor."""
    plan, machine = MatchPlan(gallery_parameters()), Machine()
    assert 0.005 < probe_seconds(plan, machine) < 0.06
    one, many = (search_seconds(plan, machine, count) for count in (8192, 1_000_000))
    assert many == pytest.approx(123 * one)
    slow = replace(machine, bytes_per_second=1e9)
    assert search_seconds(plan, slow, 8192) == pytest.approx(plan.block_memory_bytes / 1e9)
