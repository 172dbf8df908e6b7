"""Scores that answer something else are refused unopened; and what an answer is worth.

The attacks come first: they work on whoever lets scores or decisions reach the server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core.container import ContainerError, KeyMismatch, ParameterMismatch
from fhe_core.matching import (
    AnswerMismatch,
    MatchingError,
    Probe,
    Scores,
    StaleAnswer,
    gallery_parameters,
    masks_digest,
)
from fhe_core.matching.answers import ANSWER_LIMIT, answers_of, bits_left
from fhe_core.secret.key import SecretKey
from tests.core import tiny
from tests.core.matching_kit import Sides, make_sides

NAMES = ("0a" * 32, "0b" * 32)


@pytest.fixture(scope="module")
def sides() -> Sides:
    return make_sides(tiny.gallery())


@pytest.fixture(scope="module")
def probe(sides: Sides) -> Probe:
    return sides.sealer.seal_probe(tiny.unit_vectors(1, sides.parameters.features)[0])


@pytest.fixture(scope="module")
def honest(sides: Sides, probe: Probe) -> Scores:
    p = sides.parameters
    block = sides.sealer.seal_block(tiny.unit_vectors(p.templates, p.features))
    return sides.answer(probe, [block, block], list(NAMES))


# --- what answers give away -----------------------------------------------------------------------


def crafted(sides: Sides, probe: Probe, factor: int, constant: int = 0) -> Scores:
    """Scores of one block that open to constant + factor times the secret, in result units."""
    p = sides.parameters
    words = np.zeros((1, 2, p.templates, 4), np.uint8)
    words.view("<u4")[0, 0, :, 0] = constant
    words.view("<u4")[0, 1, 0, 0] = factor
    masks, short = masks_digest(sides.masks(1)), words[..., :3].copy()
    return Scores(p, sides.sealer.key.key_id, probe.token, NAMES[:1], masks, short)


def test_raw_scores_are_the_key(sides: Sides, probe: Probe) -> None:
    """One crafted block, if its scores ever reached the server: every coefficient of the secret."""
    scores = crafted(sides, probe, 1 << 20)
    (found,) = sides.sealer.open_scores(scores, probe, NAMES[:1], sides.masks(1))
    guess = np.rint(found * sides.parameters.result_scale / (1 << 20)).astype(np.int8)
    assert np.array_equal(guess, sides.sealer.key.secret_coefficients())


def test_an_answer_with_three_outcomes_is_a_coefficient(sides: Sides, probe: Probe) -> None:
    """Match, uncertain, unknown by two thresholds: one coefficient for each answer, no more."""
    p = sides.parameters
    unit = p.result_scale
    scores = crafted(sides, probe, round(0.3 * unit), round(0.5 * unit))
    (found,) = sides.sealer.open_scores(scores, probe, NAMES[:1], sides.masks(1))
    answers = np.digitize(found, [0.35, 0.65])
    assert np.array_equal(answers - 1, sides.sealer.key.secret_coefficients())


def test_the_limit_of_answers_leaves_128_bits() -> None:
    p = gallery_parameters()
    assert bits_left(p, 0) > 300
    assert bits_left(p, ANSWER_LIMIT) > 138
    assert bits_left(p, ANSWER_LIMIT + 512) < 128  # so it is not far from where it must be
    left = [bits_left(p, answers) for answers in (0, 1024, 2048, 4096, 6144)]
    assert left == sorted(left, reverse=True)


@pytest.mark.parametrize(
    ("outcomes", "worth"), [(1, 1), (2, 1), (3, 1), (4, 2), (9, 2), (10, 3), (2_000_001, 14)]
)
def test_what_an_answer_is_worth(outcomes: int, worth: int) -> None:
    assert answers_of(outcomes) == worth


def test_no_outcome_is_no_answer() -> None:
    with pytest.raises(ValueError, match="at least one"):
        answers_of(0)


# --- one field at a time --------------------------------------------------------------------------


def test_the_honest_answer_is_opened(sides: Sides, probe: Probe, honest: Scores) -> None:
    found = sides.sealer.open_scores(honest, probe, NAMES, sides.masks(2))
    assert np.array_equal(found[0], found[1])


CHANGES: dict[str, tuple[Callable[[Scores], Scores], type[ContainerError]]] = {
    "token": (lambda s: replace(s, token=bytes(32)), AnswerMismatch),
    "short token": (lambda s: replace(s, token=s.token[:31]), AnswerMismatch),
    "key": (lambda s: replace(s, key_id="00" * 16), KeyMismatch),
    "parameters": (lambda s: replace(s, parameters=tiny.gallery(roots=4)), ParameterMismatch),
    "scales": (
        lambda s: replace(s, parameters=replace(s.parameters, probe_scale=8.0e8)),
        ParameterMismatch,
    ),
    "order of blocks": (lambda s: replace(s, blocks=NAMES[::-1]), AnswerMismatch),
    "a block twice": (lambda s: replace(s, blocks=(NAMES[0],) * 2), AnswerMismatch),
    "fewer blocks": (
        lambda s: replace(s, blocks=NAMES[:1], words=s.words[:1]),
        AnswerMismatch,
    ),
    "more blocks": (
        lambda s: replace(s, blocks=(*NAMES, "0c" * 32), words=np.repeat(s.words, 2, 0)[:3]),
        AnswerMismatch,
    ),
    "no blocks": (lambda s: replace(s, blocks=(), words=s.words[:0]), AnswerMismatch),
    "masks": (lambda s: replace(s, masks="00" * 32), StaleAnswer),
    "fewer words": (lambda s: replace(s, words=s.words[:1]), AnswerMismatch),
    "more words": (lambda s: replace(s, words=np.repeat(s.words, 2, 0)), AnswerMismatch),
    "one polynomial": (lambda s: replace(s, words=s.words[:, :1]), AnswerMismatch),
    "shorter": (lambda s: replace(s, words=s.words[:, :, :-1]), AnswerMismatch),
    "longer": (lambda s: replace(s, words=np.repeat(s.words, 2, 2)), AnswerMismatch),
    "fewer bits": (lambda s: replace(s, words=s.words[..., :2]), AnswerMismatch),
    "more bits": (lambda s: replace(s, words=np.repeat(s.words, 2, 3)), AnswerMismatch),
    "other numbers": (lambda s: replace(s, words=wider(s.words)), AnswerMismatch),
}


def wider(words: NDArray[Any]) -> Any:
    return words.astype(np.uint64)


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_answer_is_refused_before_it_is_opened(
    sides: Sides, probe: Probe, honest: Scores, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SecretKey, "times_secret", lambda *_: pytest.fail("it was opened"))
    change, error = CHANGES[name]
    with pytest.raises(error) as caught:
        sides.sealer.open_scores(change(honest), probe, NAMES, sides.masks(2))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_an_older_answer_is_refused(sides: Sides, probe: Probe, honest: Scores) -> None:
    """A replay: the same face, asked for again, has another token."""
    again = sides.sealer.seal_probe(tiny.unit_vectors(1, sides.parameters.features)[0])
    with pytest.raises(AnswerMismatch, match="another probe"):
        sides.sealer.open_scores(honest, again, NAMES, sides.masks(2))
    crossed = replace(honest, token=again.token)
    with pytest.raises(AnswerMismatch, match="another probe"):
        sides.sealer.open_scores(crossed, probe, NAMES, sides.masks(2))


def test_another_key_does_not_open_it(sides: Sides, probe: Probe, honest: Scores) -> None:
    other = make_sides(sides.parameters)
    with pytest.raises(KeyMismatch):
        other.sealer.open_scores(honest, probe, NAMES, sides.masks(2))


def test_masks_are_the_clients_own(sides: Sides, probe: Probe, honest: Scores) -> None:
    """A server that is behind would give random scores for templates that are live here."""
    live = [np.arange(sides.parameters.templates) == 5, sides.masks(1)[0]]
    with pytest.raises(StaleAnswer, match="ask again"):
        sides.sealer.open_scores(honest, probe, NAMES, live)
    claimed = replace(honest, masks=masks_digest(live))
    found = sides.sealer.open_scores(claimed, probe, NAMES, live)
    assert np.flatnonzero(~np.isnan(found[0])).tolist() == [5]
    assert not np.any(np.isnan(found[1]))
    for masks in ([], live[:1], [*live, live[0]], [live[0][:-1], live[1]]):
        with pytest.raises(MatchingError, match="masks"):
            sides.sealer.open_scores(honest, probe, NAMES, masks)


def test_every_position_counts_in_the_digest_of_masks(sides: Sides) -> None:
    seen = {masks_digest(sides.masks(2)), masks_digest(sides.masks(1))}
    for block in range(2):
        for position in range(sides.parameters.templates):
            live = sides.masks(2)
            live[block][position] = False
            seen.add(masks_digest(live))
    assert len(seen) == 2 + 2 * sides.parameters.templates


@pytest.mark.parametrize("extreme", [0, 255])
def test_any_words_open_to_finite_scores(sides: Sides, probe: Probe, extreme: int) -> None:
    p = sides.parameters
    shape = (2, 2, p.templates, 3)
    draw = np.random.default_rng(extreme)
    for words in (np.full(shape, extreme, np.uint8), draw.integers(0, 256, shape, np.uint8)):
        masks = masks_digest(sides.masks(2))
        scores = Scores(p, sides.sealer.key.key_id, probe.token, NAMES, masks, words)
        found = sides.sealer.open_scores(scores, probe, NAMES, sides.masks(2))
        assert np.all(np.abs(found) <= (1 << 23) / p.result_scale)
