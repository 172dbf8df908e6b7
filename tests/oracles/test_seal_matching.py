"""SEAL searches a sealed block in the same steps on a gallery's own ring, as exactly as it can."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core.matching import MatchParameters, MatchPlan, gallery_parameters
from fhe_core.matching.precision import constant_variance, predict
from fhe_core.oracles.seal_library import SealLibrary
from fhe_core.parameters import ERROR_ETA
from tests.core import tiny

Float = NDArray[np.float64]


pytestmark = pytest.mark.usefixtures("seal")


def odd_powers(n: int) -> NDArray[np.int64]:
    """(5^j - 1) / 2: slot j of the standard ring lies at that odd power of zeta = exp(i pi / n)."""
    return np.array([(pow(5, j, 2 * n) - 1) // 2 for j in range(n // 2)])


def slots_of(polynomial: Float) -> NDArray[np.complex128]:
    """Values [n / 2] of coefficients [n] modulo X^n + 1."""
    n = polynomial.size
    twist = np.exp(1j * np.pi * np.arange(n) / n)
    return np.asarray(np.fft.ifft(polynomial * twist)[odd_powers(n)] * n)


def coefficients_of(slots: NDArray[np.complex128]) -> Float:
    """Inverse of `slots_of`."""
    n = 2 * slots.size
    values = np.zeros(n, dtype=np.complex128)
    values[odd_powers(n)] = slots
    values[n - 1 - odd_powers(n)] = np.conj(slots)
    twist = np.exp(-1j * np.pi * np.arange(n) / n)
    return np.asarray(np.real(np.fft.fft(values) * twist) / n)


def expanded(library: SealLibrary, p: MatchParameters, vector: Float) -> list[Any]:
    """Encrypted constants, from encrypted roots."""
    roots = np.zeros((p.roots, p.templates))
    roots[:, :: p.stride] = vector.reshape(p.roots, p.leaves)
    constants = []
    for root in roots:
        nodes = [library.encrypt(slots_of(root), p.root_scale)]
        for level in MatchPlan(p).levels:
            inverse = np.zeros(p.templates)
            inverse[p.templates - level.power] = -1  # X^-d
            even, odd = [], []
            for c in nodes:
                turned = library.rotate(c, level.rotation)
                even.append(library.add(c, turned))
                minus = library.multiply_plain(turned, np.array([-1.0]), 1.0)
                odd.append(library.multiply_plain(library.add(c, minus), slots_of(inverse), 1.0))
            nodes = even + odd
        constants += nodes
    return constants


def test_seal_finds_the_same_scores() -> None:
    p = gallery_parameters()
    rotations = [level.rotation for level in MatchPlan(p).levels]
    library = SealLibrary(p.parameters, rotations, multiplies=True)
    templates = tiny.unit_vectors(p.templates, p.features)
    vector = tiny.unit_vectors(1, p.features, 2)[0]
    total = None
    for constant, column in zip(expanded(library, p, vector), templates.T, strict=True):
        term = library.multiply(constant, library.encrypt(slots_of(column), p.template_scale))
        total = term if total is None else library.add(total, term)
    found = library.decrypt(total, p.score_scale)
    scores = coefficients_of(found)
    error = scores - templates @ vector
    # Ours but for digits that are not centred: their squares are four times as large, and their
    # mean meets the same few keys again and again, so that it spreads. SEAL does not switch to 24
    # bits, and relinearises every term, which is far below the rest.
    share = p.modulus / p.parameters.specials[0]
    more = 3 * p.templates * ERROR_ETA / 2 * share**2 / 12
    constant = constant_variance(p) + (p.leaves - 1) * more
    probe = np.sqrt(p.templates * constant) / p.probe_scale
    assert np.std(error) == pytest.approx(np.hypot(predict(p).templates, probe), rel=0.25)
    assert np.max(np.abs(error)) < 3e-4
