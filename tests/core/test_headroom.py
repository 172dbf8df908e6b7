"""Results that a batch shares: never accepted where they could have wrapped around."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.divergence.wrapping import wrapped
from fhe_core import _native, encoding
from fhe_core.ciphertext import Ciphertext
from fhe_core.compiler.layouts import powers_of_two
from fhe_core.normalisation import Normalisation
from fhe_core.secret.key import SecretKey
from fhe_face.client.headroom import embeddings_fit, largest_coefficient, room, scores_fit
from fhe_face.client.health import check_score, expected_norm
from tests.core import tiny

ROOT = Normalisation.from_powers((1.057367e-08, -4.753845e-05, 7.176193e-02), (100.0, 3000.0))
SLOTS, BLOCK, LENGTH = 1024, 128, 32
#: Of a score with 'safe': Q / (2 scale).
ROOM = 64.0

Slots = NDArray[np.float64]


def window_sums(values: Slots) -> Slots:
    """Slot j: the sum of LENGTH slots from j on, as the server adds them up."""
    for amount in powers_of_two(LENGTH):
        values = values + np.roll(values, -amount)
    return values


@dataclass(frozen=True)
class Half:
    """Embeddings of SLOTS / BLOCK faces, twice each; what is left of a block is anything."""

    slots: Slots

    @property
    def norms(self) -> Slots:
        return window_sums(self.slots**2)

    @property
    def normalised(self) -> Slots:
        return np.asarray(self.slots * ROOT.evaluate(self.norms))


def half(generator: np.random.Generator, sizes: Slots, spread: float = 1.0) -> Half:
    """Faces with embeddings of these norms, and rests of blocks of ``spread`` times them."""
    blocks = generator.normal(size=(SLOTS // BLOCK, BLOCK))
    blocks[:, LENGTH : 2 * LENGTH] = blocks[:, :LENGTH]
    blocks *= (sizes / np.linalg.norm(blocks[:, :LENGTH], axis=1))[:, None]
    blocks[:, 2 * LENGTH :] *= spread
    return Half(blocks.ravel())


def scores(left: Half, right: Half) -> Slots:
    return window_sums(left.normalised * right.normalised)


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.floats(0, 8), min_size=8, max_size=8),
    st.floats(0, 5),
    st.floats(1.0, 2.0**55),
)
def test_what_fits_does_not_wrap(
    seed: int, exponents: list[float], spread: float, limit: float
) -> None:
    generator = np.random.default_rng(seed)
    left = half(generator, 10.0 ** np.array(exponents), spread)
    right = half(generator, np.full(8, 20.0))
    for values, fit in (
        (left.normalised, embeddings_fit(left.norms, ROOT, limit)),
        (scores(left, right), scores_fit(left.norms, right.norms, ROOT, LENGTH, limit)),
    ):
        if fit:
            largest = np.max(np.abs(encoding.coefficients(values, SLOTS)))
            assert largest < limit / 2 * (1 + 1e-9)


def test_healthy_batches_fit() -> None:
    generator = np.random.default_rng(0)
    left, right = (half(generator, generator.uniform(12, 50, 8)) for _ in range(2))
    assert scores_fit(left.norms, right.norms, ROOT, LENGTH, ROOM)
    assert embeddings_fit(left.norms, ROOT, ROOM)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_does_not_fit(bad: float) -> None:
    norms = np.full(SLOTS, 400.0)
    strange = norms.copy()
    strange[3] = bad
    assert embeddings_fit(norms, ROOT, ROOM)
    assert not embeddings_fit(strange, ROOT, 2.0**60)
    assert not scores_fit(strange, norms, ROOT, LENGTH, 2.0**60)
    assert not scores_fit(norms, strange, ROOT, LENGTH, 2.0**60)


def test_a_diverging_face_makes_others_scores_of_noise() -> None:
    """What the bound is for: every other check passes a share of wrapped scores."""
    generator = np.random.default_rng(1)
    wrong, count = 0, 1000
    right = half(generator, np.full(8, 20.0))
    for _ in range(count):
        sizes = np.full(8, 20.0)
        sizes[0] = 10.0 ** generator.uniform(5, 5.8)  # beyond, doubles have no remainder
        left = half(generator, sizes)
        true = scores(left, right)
        found = wrapped(true, ROOM)
        assert not scores_fit(left.norms, right.norms, ROOT, LENGTH, ROOM)
        for start in range(BLOCK, SLOTS, BLOCK):
            if abs(found[start]) > 2:
                continue  # that is refused anyway
            norms = [h.norms[start : start + LENGTH] for h in (left, right)]
            _, report = check_score(found[start : start + 1], norms, ROOT)
            wrong += report.healthy and abs(found[start] - true[start]) > 0.1
    # Slots are Gaussian: of deviation 2 ROOM sqrt(N / 6) where all coefficients are uniform.
    limit = expected_norm(ROOT, 400.0) ** 2 * 1.05
    likely = math.erf(limit / (2 * ROOM * math.sqrt(SLOTS / 6)) / math.sqrt(2))
    assert 0.2 < wrong / (7 * count * likely) < 5


def test_the_bound_is_reached() -> None:
    """Where all slots agree, their mean is the coefficient."""
    slots = np.full(SLOTS, 3.0)
    found = encoding.coefficients(slots, SLOTS)
    assert np.max(np.abs(found)) == pytest.approx(largest_coefficient(np.abs(slots)))


def test_room() -> None:
    parameters = tiny.load(tiny.SHORT.name)
    residues = np.zeros((2, 2, parameters.ring_dimension), dtype=np.uint64)
    limit = room(Ciphertext(residues, 2.0**43, 1), parameters)
    assert limit == pytest.approx(math.prod(parameters.moduli[:2]) / 2.0**44)


def test_the_room_is_that_of_the_limbs_that_decryption_looks_at() -> None:
    """A coefficient beyond it decrypts to something else, however many limbs there are."""
    parameters = tiny.chain(8, 6)
    key = SecretKey.generate(parameters)
    n, limbs = parameters.ring_dimension, 5
    message = np.zeros((2, limbs, n), dtype=np.uint64)  # of no noise: c1 is zero
    for value, right in ((2.0**80, True), (math.prod(map(float, parameters.moduli[:3])), False)):
        message[0, :, :] = 0
        residues = [[int(value) % q] + [0] * (n - 1) for q in parameters.moduli[:limbs]]
        message[0] = _native.Context(n, list(parameters.moduli), 1, ring="real").ntt_forward(
            np.array(residues, dtype=np.uint64), list(range(limbs))
        )
        ciphertext = Ciphertext(message.copy(), 1.0, limbs - 1)
        assert np.allclose(key.decrypt(ciphertext), value, rtol=1e-6) is right
        assert (value < room(ciphertext, parameters)) is right
