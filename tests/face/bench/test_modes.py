"""The modes compute the same embedding, and say how fast."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_face.bench import modes
from fhe_face.bench.modes import Mode
from fhe_face.bench.subject import Subject

TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def found(subject: Subject) -> list[Mode]:
    return modes.measure(subject, threads=2)


def test_all_modes_agree(found: list[Mode], subject: Subject) -> None:
    assert [(mode.mode, mode.threads) for mode in found] == [
        ("sequential", 1),
        ("parallel", 2),
        ("packed", 1),
        ("packed", 2),
    ]
    expected = subject.expected[0]
    for mode in found:
        assert mode.embedding.shape == expected.shape
        error = np.linalg.norm(mode.embedding - expected) / np.linalg.norm(expected)
        assert error < TOLERANCE
        assert mode.accuracy["relative_l2_error"] == pytest.approx(error)
        assert mode.accuracy["cosine_to_cleartext"] > 1 - TOLERANCE
        assert mode.ciphertext.base is None  # it keeps nothing else alive
    sequential, parallel, packed, threaded = found
    assert np.array_equal(sequential.ciphertext, parallel.ciphertext)
    assert np.array_equal(packed.ciphertext, threaded.ciphertext)
    agreement = modes.agreement(found)
    assert agreement["sequential_is_parallel"] is True
    assert agreement["largest_difference"] < TOLERANCE * np.linalg.norm(expected)


def test_speed_ups_are_those_of_the_times(found: list[Mode]) -> None:
    assert found[0].speedup == 1
    for mode in found:
        row = mode.to_json()
        assert row["seconds"] > 0
        assert row["speedup"] == pytest.approx(found[0].seconds[0] / row["seconds"])


def test_a_wrong_answer_shows(found: list[Mode]) -> None:
    spoiled = found[1].ciphertext.copy()
    spoiled[0, 0, 0] ^= np.uint64(1)
    wrong = Mode("parallel", 2, [1.0], 1.0, found[1].embedding + 1, spoiled, {})
    agreement = modes.agreement([found[0], wrong])
    assert agreement["sequential_is_parallel"] is False
    assert agreement["largest_difference"] == pytest.approx(1)


def test_one_thread_has_no_second_packed_row(subject: Subject) -> None:
    rows = [(mode.mode, mode.threads) for mode in modes.measure(subject, threads=1)]
    assert rows == [("sequential", 1), ("parallel", 1), ("packed", 1)]
