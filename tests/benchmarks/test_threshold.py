"""Thresholds under encryption: the fit, the circuit, what it leaks, and the page that says so."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.threshold import leakage
from benchmarks.threshold.circuit import Design, compile_threshold
from benchmarks.threshold.designs import BAND, DEGREES, FLOODED, THRESHOLD, plain
from benchmarks.threshold.leakage import Impostors
from benchmarks.threshold.measure import exactness, flooded, one_side, outside, unit_vectors
from benchmarks.threshold.report import tables, written
from benchmarks.threshold.rig import Rig
from benchmarks.threshold.search import Layout
from benchmarks.threshold.signs import compose, evaluate, fit
from fhe_core.analysis.precision import MODEL_FACTOR
from fhe_core.runtime import cleartext

DESIGNS = [*map(plain, DEGREES), FLOODED]
SHORT = plain(11)
#: Where long doubles are doubles, less of the smallest remainder is seen.
FLOOR = float(2.0**-51)


@pytest.fixture(scope="module", params=[SHORT, FLOODED], ids=lambda design: design.name)
def rig(request: pytest.FixtureRequest) -> Rig:
    """A real circuit on an insecure ring."""
    return Rig.prepare(request.param, 10, 16)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    path = Path(__file__).parents[2] / "benchmarks" / "threshold" / "measured.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


# --- The fit -------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [3, 7, 15, 31])
def test_a_fit_is_minimax(degree: int) -> None:
    """The error that is said is reached with alternating signs, once more than there are
    coefficients, which no other polynomial can undercut (Chebyshev)."""
    stage = fit(degree, (0.05, 1.0))
    x = np.geomspace(0.05, 1, 200_001)
    error = stage.evaluate(x) - 1
    assert np.max(np.abs(error)) == pytest.approx(stage.error, rel=1e-6)
    signs = np.sign(error[np.abs(error) > 0.999 * stage.error])
    assert np.count_nonzero(np.diff(signs)) + 1 == (degree + 1) // 2 + 1


def test_a_small_fit_is_that_of_theory() -> None:
    """a x + b x³ on [l, 1]: equal errors at l, sqrt(a / 3 |b|) and 1, solved by hand."""
    low = 0.5
    stage = fit(3, (low, 1.0))
    b = stage.evaluate(np.array([low, 1.0]))
    assert b[0] == pytest.approx(b[1])  # so a = |b| (1 + l + l²), and the peak says the rest
    ratio = 1 + low + low**2
    peak = 2 / 3 * ratio * math.sqrt(ratio / 3)
    assert stage.error == pytest.approx(
        (peak - low * (ratio - low**2)) / (peak + low * (ratio - low**2))
    )


@pytest.mark.parametrize(
    ("degree", "interval"), [(4, (0.1, 1.0)), (1, (0.1, 1.0)), (3, (0.0, 1.0))]
)
def test_what_cannot_be_fitted_is_refused(degree: int, interval: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="no odd polynomial"):
        fit(degree, interval)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_compositions_hold_their_bound_and_stay_within_it_inside_the_band(design: Design) -> None:
    """Every stage rises up to its interval, and the whole is within its error of 1 from the band
    on, as odd as it should be, and never beyond 1 + error between."""
    for stage in design.stages:
        rise = stage.evaluate(np.linspace(0, stage.interval[0], 1001))
        assert np.all(np.diff(rise) > -1e-12)
    start = design.band / design.reach
    x = np.geomspace(start, 1, 50_001).astype(np.longdouble)
    error = max(design.stages[-1].error, FLOOR)
    assert np.max(np.abs(evaluate(design.stages, x) - 1)) <= 1.001 * error
    assert np.array_equal(evaluate(design.stages, -x), -evaluate(design.stages, x))
    inside = evaluate(design.stages, np.linspace(0, start, 20_001))
    assert np.max(np.abs(inside)) <= 1 + 1.01 * error


@pytest.mark.parametrize("design", [SHORT, plain(10)], ids=lambda design: design.name)
def test_tails_are_monotone(design: Design) -> None:
    """Beyond what it is fitted for, a stage only leaves: nothing far outside looks like a sign."""
    for stage in design.stages:
        tail = stage.evaluate(np.linspace(stage.interval[1], 2 * stage.interval[1], 2001))
        assert np.all(np.diff(tail) > 0) or np.all(np.diff(tail) < 0)


def test_a_high_degree_at_the_end_is_no_sign_inside_the_band() -> None:
    """Why the last polynomial of the long compositions is short: one score there would be a number
    of five digits, and spoil all others."""
    stages = compose(BAND / FLOODED.reach, (15, 15, 31))
    inside = evaluate(stages, np.linspace(0, BAND / FLOODED.reach, 20_001))
    assert np.max(np.abs(inside)) > 1e4


# --- The circuit ---------------------------------------------------------------------------------


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_levels_and_security(design: Design) -> None:
    """A polynomial of degree 2^k - 1 takes k levels; the full ring is held to its 128 bits."""
    parameters = design.parameters(15)
    circuit = compile_threshold(design, parameters)
    values = circuit.plan.values
    levels = sum(math.ceil(math.log2(degree + 1)) for degree in design.degrees)
    assert values["score"].level - values["sign"].level == levels == parameters.top - 1
    assert values["sign"].level == 0
    assert math.log2(values["sign"].scale) == pytest.approx(design.result_bits, abs=1e-6)
    assert parameters.log2_qp_bound == 868
    assert parameters.log2_qp <= 868


def test_the_plan_is_the_polynomial() -> None:
    circuit = compile_threshold(SHORT, SHORT.parameters(8))
    scores = np.linspace(-1, 1, 256)
    (result,) = cleartext.run(circuit.plan, circuit.tables, [scores])
    wanted = evaluate(SHORT.stages, (scores - THRESHOLD) / SHORT.reach)
    assert np.max(np.abs(circuit.sign * result - wanted)) < 1e-9


def test_diagonals_are_a_matrix_product() -> None:
    layout, slots = Layout(16), 64
    templates, probe = unit_vectors(slots, 16), unit_vectors(1, 16, 3)[0]
    rows, repeated = layout.diagonals(templates), layout.probe(probe, slots)
    total = np.zeros(slots)
    for k, row in enumerate(rows):
        giant, baby = divmod(k, layout.steps)
        total += np.roll(row * np.roll(repeated, -baby), -giant * layout.steps)
    assert np.allclose(total, templates @ probe)


def test_a_search_gives_signs(rig: Rig) -> None:
    """Sealed templates and a sealed probe in, signs out."""
    slots, design = rig.parameters.slots, rig.design
    templates, probe = unit_vectors(slots, 16), unit_vectors(1, 16, 3)[0]
    block = [rig.seal(row) for row in rig.layout.diagonals(templates)]
    scores = rig.scores(rig.seal(rig.layout.probe(probe, slots)), block)
    assert np.max(np.abs(rig.opened(scores) - templates @ probe)) < 1e-6
    away = np.abs(templates @ probe - THRESHOLD) > 1.01 * design.band
    assert np.count_nonzero(away) > slots / 2
    signs = rig.opened(rig.signs(scores))
    wanted = np.sign(templates @ probe - THRESHOLD)
    assert np.max(np.abs(signs - wanted)[away]) < 1.1 * max(design.stages[-1].error, 2.0**-45)


def test_noise_is_what_the_model_predicts(rig: Rig) -> None:
    exact = exactness(rig)
    ratio = exact["noise"] / exact["noise_predicted"]["deviation"]
    assert 1 / MODEL_FACTOR < ratio < MODEL_FACTOR
    assert exact["remainder"] < 1.1 * rig.design.stages[-1].error + 2.0**-48


def test_a_flood_has_its_size_and_keeps_the_sign(rig: Rig) -> None:
    told = flooded(rig)
    assert told["deviation"] == pytest.approx(leakage.FLOOD, rel=0.15)  # six deviations of 1,024
    assert told["wrong"] == 0


@pytest.mark.parametrize(("score", "wrong"), [(1.0, False), (-1.0, False), (-1.1, True)])
def test_one_score_outside_spoils_a_block(score: float, wrong: bool) -> None:
    told = outside(FLOODED, 7, score)
    assert (told["wrong"] > told["of"] / 4) == wrong
    assert (told["wrong"] == 0) != wrong


def test_where_the_domain_ends() -> None:
    """Scores of vectors of length one always fit, those of a probe that is 1 % longer do not."""
    domain = leakage.domain(FLOODED)
    assert -1.01 < domain["room_low"] <= domain["sign_low"] < -1
    assert 1 < domain["sign_high"] <= domain["room_high"]


# --- What is learnt ------------------------------------------------------------------------------


def test_information_is_that_of_known_channels() -> None:
    """A uniform signal that is much larger than the noise, one that is much smaller, and none."""
    signal = (np.arange(1 << 20) + 0.5) / (1 << 20)
    noise = 2.0**-8
    large = -math.log2(noise * math.sqrt(2 * math.pi * math.e))
    assert leakage.information(signal, noise) == pytest.approx(large, abs=0.03)
    small = 0.5 * math.log2(1 + 1 / 12 / 100)
    assert leakage.information(signal, 10.0) == pytest.approx(small, rel=0.01)
    binary = np.repeat([0.0, 1.0], 1000)
    assert leakage.information(binary, 0.01) == pytest.approx(1, abs=0.02)
    assert leakage.information(np.ones(10), 1.0) == 0
    assert leakage.information_of_noise([1.0, 1.0]) == pytest.approx(0, abs=1e-6)
    assert leakage.information_of_noise([1.0, 1e-3]) == pytest.approx(1, abs=0.02)


def test_a_flood_leaves_the_distance_that_was_asked_for() -> None:
    for bits in (5, 12):
        deviation = leakage.flood_for(0.25, bits)
        assert leakage.distinguishing(0.25, deviation) == pytest.approx(2.0**-bits, rel=1e-3)
        assert leakage.bits_of(0.25, deviation) == pytest.approx(bits)


def test_impostors_have_the_quantiles_of_the_page() -> None:
    impostors = Impostors.of_quantiles()
    for share, score in leakage.FAR_QUANTILES:
        assert impostors.share(score, 9) == pytest.approx(share)
    between = impostors.between(0.1, 0.2, 1000)
    assert np.all((between > 0.1) & (between < 0.2))


def test_a_factor_hides_a_number_only_slowly() -> None:
    impostors = Impostors.of_quantiles()
    told = [leakage.of_masking(THRESHOLD, bits, impostors) for bits in (1, 10, 40)]
    assert told[0] > 1 > told[1] > told[2] > 0.01


def test_a_key_lasts_for_half_as_many_answers_as_a_gallerys() -> None:
    """The chain takes nearly all that the bound allows, so that nothing is left to be known."""
    assert leakage.bits_left(FLOODED, 0) > 128
    assert leakage.bits_left(FLOODED, 2048) > 120 > leakage.bits_left(FLOODED, 4096)


def test_a_composition_that_is_not_cleaned_gives_the_score_away() -> None:
    """At the noise of its chain, and less with every level; flooding is what removes it."""
    impostors, noise = Impostors.of_quantiles(), 2.0**-30
    told = [
        leakage.of_side(plain(levels), noise, impostors)["information_bits"]
        for levels in (8, 10, 12)
    ]
    assert told[0] > 20 > told[1] > 5 > 1e-3 > told[2]


# --- The page ------------------------------------------------------------------------------------


def test_the_page_has_what_was_measured(repository: Path, found: dict[str, Any]) -> None:
    page = (repository / "docs" / "threshold.md").read_text(encoding="utf-8")
    assert written(page, found) == page
    with pytest.raises(ValueError, match="no marks"):
        written("", found)
    assert found["machine"]["cpu"]
    assert "/" not in json.dumps(found["machine"])


def test_rows_that_are_computed_in_seconds_are_recomputed(found: dict[str, Any]) -> None:
    """Degrees, levels, products, security and remainders of every design on the page."""
    rows = {row["design"]["name"]: row for row in found["levels"]}
    assert list(rows) == [design.name for design in DESIGNS]
    for design in DESIGNS:
        row, parameters = rows[design.name], design.parameters(15)
        assert row["design"]["degrees"] == list(design.degrees)
        assert row["design"]["log2_qp"] == round(parameters.log2_qp, 2)
        x = design.threshold + np.geomspace(design.band, design.reach, 1 << 12)
        spread = float(np.ptp(leakage.remainder(design, x)))
        assert spread == pytest.approx(row["side"]["remainder_spread"], rel=0.02, abs=FLOOR)
    names = {"levels", "costs", "leaks", "outside", "answers", "life", "machine"}
    assert tables(found).keys() == names


def test_full_size_figures_are_near_their_predictions(found: dict[str, Any]) -> None:
    """And the flood of the long design leaves 2^-40 for a whole block."""
    for row in found["designs"]:
        ratio = row["noise"] / row["noise_predicted"]["deviation"]
        assert 1 / MODEL_FACTOR < ratio < MODEL_FACTOR
        assert row["templates"] == 1 << 15
        assert row["flooded"]["wrong"] == 0
    long = found["designs"][-1]
    assert long["design"]["name"] == "flooded"
    assert long["flood"]["distance_bits_block"] > leakage.DISTANCE_BITS


def test_one_side_is_outside_the_band() -> None:
    scores = one_side(FLOODED, 100)
    assert scores.size == 100
    assert np.all(scores >= THRESHOLD + BAND)
