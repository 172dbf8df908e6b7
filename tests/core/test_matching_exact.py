"""Every intermediate phase of a search against Python's integers, on a tiny ring.

What the client seals is opened with the secret, what the server computes is computed again from the
definitions, and what leaves is opened modulo 2^24.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.matching import MatchPlan
from tests.core import tiny
from tests.core.matching_kit import Sides, make_sides
from tests.known_answers.definitions import (
    Polynomial,
    centred,
    divided,
    lifted,
    plus,
    product,
    substituted,
    times,
)

#: Of one sealed coefficient: the largest error, and rounding.
FRESH = 22


class Integers:
    """The server's arithmetic, from definitions, with polynomials of integers."""

    def __init__(self, sides: Sides) -> None:
        p = sides.parameters
        self.p, self.sides = p, sides
        self.q, self.special = p.modulus, p.parameters.specials[0]
        self.context = _native.Context(p.templates, [self.q, self.special], 1)
        self.secret: Polynomial = sides.sealer.key.secret_coefficients().tolist()

    def coefficients(self, residues: NDArray[Any]) -> Polynomial:
        """Of a row [N] in NTT form modulo q."""
        values: Polynomial = self.context.ntt_inverse(residues[None], [0])[0].tolist()
        return values

    def phase(self, c0: Polynomial, c1: Polynomial) -> Polynomial:
        """c0 + c1 s, centred."""
        total = plus(c0, product(c1, self.secret))
        return [centred(x, self.q) for x in total]

    def switched(self, c1: Polynomial, addend: list[Polynomial], key: Any, element: int) -> Any:
        """A key switch of c1, which joins the addends; then X -> X^element, and division by P."""
        digit = [centred(x, self.q) for x in c1]
        halves = []
        for half in range(2):
            rows = self.context.ntt_inverse(np.ascontiguousarray(key[0, half]), [0, 1]).tolist()
            total = product(digit, lifted(rows, [self.q, self.special]))
            if half < len(addend):
                total = plus(total, times(self.special, addend[half]))
            whole = [x % (self.q * self.special) for x in substituted(total, element)]
            halves.append([x % self.q for x in divided(whole, self.special)])
        return halves

    def expanded(self, roots: list[list[Polynomial]]) -> list[list[Polynomial]]:
        """All constants, in the order of their numbers."""
        constants = []
        for root in roots:
            nodes = [root]
            for level in MatchPlan(self.p).levels:
                key = self.sides.keys.residues(level.rotation, 0)
                even, odd = [], []
                for c0, c1 in nodes:
                    turned = self.switched(c1, [c0], key, level.element)
                    even.append([plus(a, b) for a, b in zip((c0, c1), turned, strict=True)])
                    lower = [plus(a, times(-1, b)) for a, b in zip((c0, c1), turned, strict=True)]
                    odd.append([self.divided_by_power(a, level.power) for a in lower])
                nodes = [[[x % self.q for x in half] for half in node] for node in (*even, *odd)]
            constants += nodes
        return constants

    def divided_by_power(self, a: Polynomial, power: int) -> Polynomial:
        monomial = [0] * len(a)
        monomial[-power] = -1
        return product(a, monomial)

    def scores(self, constants: Any, block: Any) -> list[Polynomial]:
        """Both polynomials of one block modulo 2^bits."""
        zero = [0] * self.p.templates
        sums = [zero, zero, zero]
        for (p0, p1), (t0, t1) in zip(constants, block, strict=True):
            terms = (product(p0, t0), plus(product(p0, t1), product(p1, t0)), product(p1, t1))
            sums = [plus(a, b) for a, b in zip(sums, terms, strict=True)]
        d0, d1, d2 = ([x % self.q for x in a] for a in sums)
        low = self.switched(d2, [d0, d1], self.sides.keys.residues(0, 0), 1)
        size = 1 << self.p.result_bits
        return [[(2 * x * size + self.q) // (2 * self.q) % size for x in half] for half in low]


@pytest.fixture(scope="module")
def sides() -> Sides:
    return make_sides(tiny.gallery(5, 8, 2))


def sealed(exact: Integers, ciphertexts: Any) -> Iterator[list[Polynomial]]:
    for k in range(len(ciphertexts.bodies)):
        yield [exact.coefficients(ciphertexts.body(k)), exact.coefficients(ciphertexts.uniform(k))]


def test_every_phase_of_a_search(sides: Sides) -> None:
    p, exact = sides.parameters, Integers(sides)
    n = p.templates
    templates = tiny.unit_vectors(n, p.features)
    vector = tiny.unit_vectors(1, p.features, 2)[0]
    block, probe = sides.sealer.seal_block(templates), sides.sealer.seal_probe(vector)

    # Sealed: a small error beside the message, in every ciphertext.
    blocks = list(sealed(exact, block))
    for k, (c0, c1) in enumerate(blocks):
        message = templates[:, k] * p.template_scale
        assert max(abs(a - b) for a, b in zip(exact.phase(c0, c1), message, strict=True)) < FRESH
    roots = list(sealed(exact, probe))
    for r, (c0, c1) in enumerate(roots):
        message = np.zeros(n)
        message[:: p.stride] = vector[r * p.leaves : (r + 1) * p.leaves] * p.root_scale
        assert max(abs(a - b) for a, b in zip(exact.phase(c0, c1), message, strict=True)) < FRESH

    # Expanded: bit for bit, and a constant beside its noise.
    constants = exact.expanded(roots)
    stacked = np.stack([[probe.body(r), probe.uniform(r)] for r in range(p.roots)])
    levels = MatchPlan(p).levels
    native = _native.expand_constants(
        exact.context,
        stacked,
        [sides.keys.residues(level.rotation, 0) for level in levels],
        [_native.galois_permutation(n, level.element) for level in levels],
        [level.power for level in levels],
    )
    for k, (c0, c1) in enumerate(constants):
        assert exact.coefficients(native[k, 0]) == c0
        assert exact.coefficients(native[k, 1]) == c1
        phase = exact.phase(c0, c1)
        assert abs(phase[0] - vector[k] * p.probe_scale) < 4**p.levels * 2 * FRESH
        assert max(map(abs, phase[1:])) < 4**p.levels * 2 * FRESH

    # Searched and switched: bit for bit.
    answer = sides.answer(probe, [block], ["0a" * 32])
    words = exact.scores(constants, blocks)
    padded = np.zeros((2, n, 4), np.uint8)
    padded[..., :3] = answer.words[0]
    assert padded.view("<u4")[..., 0].tolist() == words

    # Opened: exactly what integers give, and close to the inner products.
    size = 1 << p.result_bits
    phase = plus(words[0], product(words[1], exact.secret))
    signed = [(x + size // 2) % size - size // 2 for x in phase]
    (found,) = sides.sealer.open_scores(answer, probe, ["0a" * 32], sides.masks(1))
    assert found.tolist() == [x / p.result_scale for x in signed]
    assert np.max(np.abs(found - templates @ vector)) < 5e-4
