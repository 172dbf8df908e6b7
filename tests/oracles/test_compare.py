"""Differences: what agrees, and what does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fhe_core.analysis.precision import MODEL_FACTOR, ErrorModel
from fhe_core.oracles.chain import chain_of
from fhe_core.oracles.compare import OracleMismatch, difference, require_agreement
from fhe_core.oracles.errors import OpenFheErrors, SameEncodings, openfhe_errors, openfhe_specials
from fhe_core.parameters import presets
from tests.core import tiny

ZERO = np.zeros(64)


def test_what_four_deviations_allow() -> None:
    rest = ZERO - 3e-6
    found = difference("x", rest, ZERO, (3e-7, 4e-7))
    assert found.rms == pytest.approx(3e-6)
    assert found.predicted == pytest.approx(5e-7)
    assert found.bound == pytest.approx(MODEL_FACTOR * 5e-7)
    assert not found.agrees
    assert difference("x", rest, ZERO, (3e-6, 4e-6)).agrees


def test_one_wrong_slot_is_enough() -> None:
    wrong = ZERO.copy()
    wrong[5] = 1e-3
    found = difference("x", wrong, ZERO, (1e-6, 1e-6))
    assert found.worst == 1e-3
    assert not found.agrees


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_never_agrees(bad: float) -> None:
    assert not difference("x", ZERO + bad, ZERO, (1.0, 1.0)).agrees


def test_the_worst_value_is_named() -> None:
    found = {
        name: difference(name, ZERO + size, ZERO, (1e-6, 1e-6))
        for name, size in (("good", 1e-7), ("bad", 1e-3), ("worse", 1.0))
    }
    with pytest.raises(OracleMismatch, match="2 of 3 values differ; the worst is 'worse', by 1 "):
        require_agreement(found)
    require_agreement({"good": found["good"]})


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        difference("x", ZERO, ZERO[1:], (1.0, 1.0))


def test_models_of_other_libraries() -> None:
    parameters = presets.load("safe")
    chain = chain_of(parameters)
    assert openfhe_specials(chain) == 8  # 437 bits in a digit, 60 in a prime
    native, theirs = ErrorModel(parameters), openfhe_errors(parameters, chain)
    assert isinstance(theirs, OpenFheErrors)
    assert theirs.switching(28, 1.0) > 100 * native.rounding(28, 1.0) > native.switching(28, 1.0)
    same = SameEncodings(parameters)
    assert same.encoding(8, 1.0) == 0 < native.encoding(8, 1.0)
    assert same.fresh(1.0) < native.fresh(1.0)


def test_a_chain_is_never_smaller() -> None:
    """Of a set with a small base and a sprout, which other libraries do not have."""
    lean = presets.load("lean")
    chain = chain_of(lean)
    assert chain.limbs == lean.levels[lean.top].limbs
    assert chain.base_bits >= chain.limb_bits
    assert chain.base_bits + (chain.limbs - 1) * chain.limb_bits >= lean.log2_q


def test_chains() -> None:
    safe = chain_of(presets.load("safe"))
    assert (safe.limbs, safe.base_bits, safe.limb_bits, safe.digits) == (29, 50, 43, 3)
    assert safe.secure
    assert safe.digit_limbs == 10
    assert not chain_of(tiny.load(tiny.TINY.name)).secure
