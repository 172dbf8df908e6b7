"""How much of a gallery's key its answers may give away, where they reach whoever chose the scores.

Scores are opened as c0 + c1 s. Whoever chooses c0 and c1 can move one coefficient of s into the
score of one template, where *match*, *uncertain* and *unknown* tell its three values apart. So an
answer with three outcomes is worth at most one coefficient; with more outcomes, as many as their
logarithm to the base 3. A secret of which h coefficients are known is a problem in dimension N - h
at the same modulus. docs/security.md has the table.
"""

from __future__ import annotations

import math

from fhe_core.matching.parameters import MatchParameters
from fhe_core.parameters import ERROR_ETA, Parameters, attacks

#: Three-way answers of one key in its life: 140 bits are left then. Sealing the gallery again
#: under a new key starts anew.
ANSWER_LIMIT = 4096


def answers_of(outcomes: int) -> int:
    """How many three-way answers one with so many possible outcomes is worth, at least one.

    Of a name out of m, or *uncertain* with a name, or *unknown*: 2 m + 1 outcomes. Of the raw
    scores of a block: all of the key.
    """
    if outcomes < 1:
        raise ValueError("an answer has at least one outcome")
    worth = 1
    while 3**worth < outcomes:
        worth += 1
    return worth


def bits_left(parameters: MatchParameters, answers: int) -> float:
    """log2 of the cheapest attack's cost, model matzov, once so many coefficients are known."""
    return ring_bits_left(parameters.parameters, answers)


def ring_bits_left(ring: Parameters, known: int) -> float:
    """As `bits_left`, of any ring, with so many coefficients of its secret known."""
    deviation = math.sqrt(ERROR_ETA / 2)
    instance = attacks.Instance(ring.ring_dimension - known, ring.log2_qp, deviation)
    return min(attack(instance, attacks.MATZOV).bits for attack in attacks.ATTACKS)
