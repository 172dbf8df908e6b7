"""Could the results of a batch have wrapped around? Decided from the squared norms of all slots.

A ciphertext decrypts to the right numbers if no coefficient of its polynomial exceeds half the
modulus (docs/health.md). Every coefficient is a mean over all slots, so that one face that diverges
reaches the slots of all others. Their squared norms cannot tell: they lie in other ciphertexts,
with more room. But all slots of these together bound what the coefficients can be.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fhe_core.ciphertext import Ciphertext
from fhe_core.compiler.layouts import power_of_two, powers_of_two
from fhe_core.normalisation import AnyNormalisation
from fhe_core.parameters import Parameters
from fhe_core.secret.key import decrypted_rows

#: Squared norms are noisy: a bound that is computed from them must leave this much room.
MARGIN = 2.0

Slots = NDArray[np.float64]


def room(ciphertext: Ciphertext, parameters: Parameters) -> float:
    """The largest coefficient, divided by the scale, that decrypts to itself: Q / (2 scale).

    Q is the product of the limbs that decryption looks at.
    """
    rows = decrypted_rows(ciphertext, parameters)
    log_modulus = math.fsum(math.log2(parameters.primes[row]) for row in rows)
    return float(2.0 ** (log_modulus - 1 - math.log2(ciphertext.scale)))


def largest_coefficient(sizes: Slots) -> float:
    """A bound on all coefficients, divided by the scale, of slots [N] of at most these sizes.

    Coefficient k is the mean of z_j cos(k theta_j) over the N slots.
    """
    return float(np.mean(sizes))


def embeddings_fit(squared_norms: Slots, normalisation: AnyNormalisation, limit: float) -> bool:
    """Whether normalised embeddings can not have wrapped around.

    squared_norms: of all slots [N]: slot j holds the sum of squares of as many slots as a period
    has, from j on, so that it bounds what slot j of the embedding was. limit: see ``room``.
    """
    with np.errstate(all="ignore"):
        sizes = np.sqrt(np.maximum(squared_norms, 0.0)) * _factor(squared_norms, normalisation)
        return _fits(sizes, limit)


def scores_fit(
    left: Slots, right: Slots, normalisation: AnyNormalisation, length: int, limit: float
) -> bool:
    """Whether scores can not have wrapped around.

    left, right: squared norms of all slots [N]; length: of an embedding. A score is a sum over a
    period of products; by Cauchy and Schwarz it is at most the root of the two squared norms times
    the largest factors of normalisation in that period.
    """
    with np.errstate(all="ignore"):
        sizes = np.sqrt(np.maximum(left, 0.0)) * np.sqrt(np.maximum(right, 0.0))
        for squared_norms in (left, right):
            largest = _factor(squared_norms, normalisation)
            for amount in powers_of_two(power_of_two(length)):
                largest = np.maximum(largest, np.roll(largest, -amount))
            sizes = sizes * largest
        return _fits(sizes, limit)


def _factor(squared_norms: Slots, normalisation: AnyNormalisation) -> Slots:
    """|p(y)|, with which slots were multiplied."""
    return np.asarray(np.abs(normalisation.evaluate(squared_norms)), dtype=np.float64)


def _fits(sizes: Slots, limit: float) -> bool:
    return bool(largest_coefficient(sizes) * MARGIN < limit)  # NaN does not
