"""Sealing, searching and opening, on a small ring and once at full size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core.container import Corrupt, KeyMismatch, ParameterMismatch
from fhe_core.keys.evaluation import EvaluationKeys, MissingKeyError
from fhe_core.matching import (
    CleartextMatcher,
    Matcher,
    MatchingError,
    MatchParameters,
    MatchPlan,
    Probe,
    SealedBlock,
    gallery_parameters,
)
from fhe_core.matching.parameters import MAX_NORM
from fhe_core.parameters import Specification, Tier, build
from fhe_core.plan import KeyName
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from tests.core import tiny
from tests.core.matching_kit import Sides, make_sides

Float = NDArray[np.float64]
#: Ten deviations of the small ring's noise.
TOLERANCE = 5e-4


@pytest.fixture(scope="module")
def sides() -> Sides:
    return make_sides(tiny.gallery())


@pytest.mark.parametrize(
    ("log_n", "features", "roots"),
    [(6, 16, 2), (6, 64, 1), (5, 64, 2), (8, 16, 4), (7, 8, 4), (6, 192, 3), (9, 4, 1)],
)
def test_scores_are_inner_products(log_n: int, features: int, roots: int) -> None:
    """Also where a root fills the whole ring, and where it takes two numbers only."""
    sides = make_sides(tiny.gallery(log_n, features, roots))
    n = sides.parameters.templates
    first, second = tiny.unit_vectors(n, features, 1), tiny.unit_vectors(n - 3, features, 2)
    vector = tiny.unit_vectors(1, features, 3)[0]
    probe = sides.sealer.seal_probe(vector)
    blocks = [sides.sealer.seal_block(first), sides.sealer.seal_block(second)]
    names = ["0a" * 32, "0b" * 32]
    scores = sides.answer(probe, blocks, names)
    found = sides.sealer.open_scores(scores, probe, names, sides.masks(2))
    assert found.shape == (2, n)
    assert np.max(np.abs(found[0] - first @ vector)) < TOLERANCE
    assert np.max(np.abs(found[1, : n - 3] - second @ vector)) < TOLERANCE
    assert np.max(np.abs(found[1, n - 3 :])) < TOLERANCE
    clear = CleartextMatcher(sides.parameters)
    expected = clear.search(
        clear.expand(vector), [clear.load(first), clear.load(second)], sides.masks(2)
    )
    assert np.allclose(expected[0], first @ vector, atol=1e-12)
    assert np.allclose(expected[1, : n - 3], second @ vector, atol=1e-12)


# --- sealing --------------------------------------------------------------------------------------


def test_an_opened_block_holds_its_templates(sides: Sides) -> None:
    p = sides.parameters
    templates = tiny.unit_vectors(p.templates - 5, p.features)
    opened = sides.sealer.open_block(sides.sealer.seal_block(templates))
    assert opened.shape == (p.templates, p.features)
    assert np.max(np.abs(opened[:-5] - templates)) < 22 / p.template_scale
    assert np.max(np.abs(opened[-5:])) < 22 / p.template_scale


def test_every_seal_is_fresh_and_no_two_ciphertexts_share_a_stream(sides: Sides) -> None:
    p = sides.parameters
    blocks = [sides.sealer.seal_block(np.zeros((0, p.features))) for _ in range(2)]
    rows = [block.uniform(k).tobytes() for block in blocks for k in range(p.features)]
    bodies = [block.bodies[k].tobytes() for block in blocks for k in range(p.features)]
    assert len(set(rows)) == len(rows)
    assert len(set(bodies)) == len(bodies)
    probes = [sides.sealer.seal_probe(np.zeros(p.features)) for _ in range(2)]
    assert len({probe.token for probe in probes}) == 2
    assert len({probe.seed for probe in (*probes, *blocks)}) == 4


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.3])
def test_vectors_that_do_not_fit_are_refused(sides: Sides, value: float) -> None:
    features = sides.parameters.features  # 16 numbers of 0.3 are a vector of length 1.2
    vector = np.full(features, value)
    with pytest.raises(MatchingError, match="no longer than 1"):
        sides.sealer.seal_probe(vector)
    with pytest.raises(MatchingError, match="no longer than 1"):
        sides.sealer.seal_block(np.stack([np.zeros(features), vector]))
    longest = np.zeros(features)
    longest[0] = MAX_NORM
    sides.sealer.seal_probe(longest)


def test_shapes_that_do_not_fit_are_refused(sides: Sides) -> None:
    p = sides.parameters
    for templates in (np.zeros((p.templates + 1, p.features)), np.zeros(p.features)):
        with pytest.raises(MatchingError, match="up to"):
            sides.sealer.seal_block(templates)
    with pytest.raises(MatchingError, match="has 16 numbers"):
        sides.sealer.seal_block(np.zeros((1, p.features - 1)))
    with pytest.raises(MatchingError, match="has 16 numbers"):
        sides.sealer.seal_probe(np.zeros(p.features + 1))
    block = sides.matcher.load(sides.sealer.seal_block(np.zeros((0, p.features))))
    constants = sides.matcher.expand(sides.sealer.seal_probe(np.zeros(p.features)))
    wrong: list[list[Any]] = [
        [],
        sides.masks(2),
        [np.ones(p.templates - 1, np.bool_)],
        [np.ones(p.templates)],
    ]
    for masks in wrong:
        with pytest.raises(MatchingError, match="masks"):
            sides.matcher.search(constants, [block], masks)
    with pytest.raises(MatchingError, match="at least one block"):
        sides.matcher.answer(constants, [])


def test_the_largest_score_does_not_wrap(sides: Sides) -> None:
    p = sides.parameters
    vector = tiny.unit_vectors(1, p.features)[0] * MAX_NORM
    probe = sides.sealer.seal_probe(vector)
    block = sides.sealer.seal_block(np.stack([vector, -vector]))
    answer = sides.answer(probe, [block], ["0a" * 32])
    (found,) = sides.sealer.open_scores(answer, probe, ["0a" * 32], sides.masks(1))
    assert found[:2] == pytest.approx([MAX_NORM**2, -(MAX_NORM**2)], abs=TOLERANCE)


# --- keys and parameters --------------------------------------------------------------------------


def test_what_belongs_to_others_is_refused(sides: Sides) -> None:
    p = sides.parameters
    other = make_sides(p)
    vector = tiny.unit_vectors(1, p.features)[0]
    with pytest.raises(KeyMismatch, match="the probe: belongs to key"):
        sides.matcher.expand(other.sealer.seal_probe(vector))
    with pytest.raises(KeyMismatch, match="the sealed block: belongs to key"):
        sides.matcher.load(other.sealer.seal_block(vector[None]))
    with pytest.raises(KeyMismatch):
        sides.sealer.open_block(other.sealer.seal_block(vector[None]))
    wider = make_sides(tiny.gallery(6, 32, 2))
    long = tiny.unit_vectors(1, 32)[0]
    with pytest.raises(ParameterMismatch, match="was made with parameters"):
        sides.matcher.expand(wider.sealer.seal_probe(long))
    with pytest.raises(ParameterMismatch):
        sides.matcher.load(wider.sealer.seal_block(long[None]))
    short = SecretKey.generate(tiny.load("insecure-short"))
    with pytest.raises(ParameterMismatch, match="insecure-short"):
        Sealer(short, p)
    with pytest.raises(ParameterMismatch, match="insecure-short"):
        Matcher(p, tiny.make_keys(short, []), 1)
    one_missing = {name: key for name, key in sides.keys.keys.items() if name != KeyName(0, 0)}
    with pytest.raises(MissingKeyError, match="relinearisation"):
        Matcher(p, EvaluationKeys(p.parameters, sides.keys.key_id, one_missing), 1)


def test_residues_and_shapes_of_what_came_in_are_checked(sides: Sides) -> None:
    p = sides.parameters
    block = sides.sealer.seal_block(np.zeros((0, p.features)))
    probe = sides.sealer.seal_probe(np.zeros(p.features))
    for position, place in ((0, 0), (p.features - 1, p.templates - 1)):
        bodies = block.bodies.copy()
        bodies[position, 6 * place : 6 * place + 6] = 255
        with pytest.raises(Corrupt, match="not below its modulus"):
            sides.matcher.load(SealedBlock(p, block.key_id, block.seed, bodies))
        with pytest.raises(Corrupt, match="not below its modulus"):
            sides.sealer.open_block(SealedBlock(p, block.key_id, block.seed, bodies))
    bodies = probe.bodies.copy()
    bodies[1, :6] = 255
    with pytest.raises(Corrupt, match="not below its modulus"):
        sides.matcher.expand(Probe(p, probe.key_id, probe.seed, bodies, probe.token))
    wrong: list[Any] = [
        block.bodies[1:],
        block.bodies[:, 6:],
        block.bodies.astype(np.uint64),
    ]
    for bodies in wrong:
        with pytest.raises(Corrupt, match="does not hold 16 ciphertexts"):
            sides.matcher.load(SealedBlock(p, block.key_id, block.seed, bodies))
    with pytest.raises(Corrupt, match="no seed"):
        sides.matcher.load(SealedBlock(p, block.key_id, b"", block.bodies))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"roots": 3}, "power of two"),
        ({"roots": 0}, "power of two"),
        ({"features": 128, "roots": 1}, "no room"),
        ({"features": 2, "roots": 2}, "no room"),
        ({"result_bits": 20}, "8, 16 or 24"),
        ({"result_bits": 32}, "8, 16 or 24"),
        ({"template_scale": 0.5}, "below 1"),
        ({"probe_scale": 7.0}, "below 1"),
        ({"probe_scale": 2.0**30}, "does not fit"),
    ],
)
def test_parameters_that_do_not_fit_together(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(MatchingError, match=text):
        replace(tiny.gallery(), **changes)


def test_rings_that_do_not_fit() -> None:
    for limbs, bits in (((48, 48), 50), ((50,), 50)):
        tier = Tier(len(limbs), 1, 1)
        ring = build(Specification("insecure-other", 6, limbs, (bits,), (tier,)))
        with pytest.raises(MatchingError):
            MatchParameters(ring, 16, 2, 2.0**17, 9.0e8, 24)


# --- plan -----------------------------------------------------------------------------------------


def test_the_plan_of_a_gallery() -> None:
    """Counts and sizes: what would grow if the search became more expensive."""
    p = gallery_parameters()
    plan = MatchPlan(p)
    assert [level.power for level in plan.levels] == [128, 256, 512, 1024, 2048, 4096]
    assert [level.element for level in plan.levels] == [65, 33, 17, 9, 5, 16383]
    for level in plan.levels:  # s(X^d) = -X^d
        assert level.power * level.element % (2 * p.templates) == level.power + p.templates
    assert plan.expansion.key_switches == 252
    assert plan.expansion.ntts == 1512
    assert plan.search.key_switches == 1
    assert plan.search.ntts == 8
    assert plan.search.products == 772
    assert len(plan.keys()) == 7
    assert plan.key_bytes == 917_536
    assert plan.key_memory_bytes == 1_835_008
    assert plan.block_bytes == 1536 * p.templates + 32
    assert plan.block_memory_bytes == 3072 * p.templates
    assert plan.probe_bytes == 196_640
    assert plan.constants_bytes == 33_554_432
    assert plan.result_bytes == 6 * p.templates


def test_sizes_are_those_of_the_plan(sides: Sides) -> None:
    p = sides.parameters
    plan = MatchPlan(p)
    block = sides.sealer.seal_block(np.zeros((0, p.features)))
    probe = sides.sealer.seal_probe(np.zeros(p.features))
    assert block.bodies.nbytes + len(block.seed) == plan.block_bytes
    assert probe.bodies.nbytes + len(probe.seed) == plan.probe_bytes
    assert sides.matcher.load(block).memory.bytes == plan.block_memory_bytes
    assert sides.answer(probe, [block], ["0a" * 32]).words.nbytes == plan.result_bytes
    assert sides.keys.memory_bytes == plan.key_memory_bytes


def test_a_gallery_is_secure() -> None:
    ring = gallery_parameters().parameters
    assert ring.describe()["security_bits"] == 128
    assert 97 < ring.log2_qp < 98
    assert ring.log2_qp_bound == 214


def test_the_digest_covers_everything() -> None:
    p = tiny.gallery()
    others = [
        tiny.gallery(7),
        tiny.gallery(features=32),
        tiny.gallery(roots=4),
        MatchParameters(p.parameters, 16, 2, 2.0**16, 9.0e8, 24),
        MatchParameters(p.parameters, 16, 2, 2.0**17, 8.0e8, 24),
        MatchParameters(p.parameters, 16, 2, 2.0**17, 9.0e8, 16),
    ]
    assert len({q.digest for q in (p, *others)}) == 1 + len(others)


def test_the_clear_matcher_refuses_what_the_other_refuses() -> None:
    clear = CleartextMatcher(tiny.gallery())
    with pytest.raises(MatchingError):
        clear.load(np.zeros((65, 16)))
    with pytest.raises(MatchingError):
        clear.expand(np.zeros(15))
    with pytest.raises(MatchingError):
        clear.search(np.zeros((16, 64)), [], [])
