"""Numbers of a template as coefficients of the real ring, where the server finds them.

An embedding leaves the engine in slots, and its polynomial has other numbers: the coefficients
a_0, ..., a_(F-1) in the basis 1, Z^i + Z^-i. Their inner product is that of the slots up to
weights, as the basis is orthogonal: sum of e_j t_j = F a_0 b_0 + 2 F (a_1 b_1 + ... ). A server
that has a face's ciphertext alone gets a_i from it, each at the same scale; so templates carry the
weights. Both maps are linear and exact; scores do not change.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fhe_core import encoding

Float = NDArray[np.float64]


def probe_coordinates(vectors: Float) -> Float:
    """sqrt(2F) a_i of vectors [..., F]: as long as the vector, but that a_0 weighs twice."""
    features = vectors.shape[-1]
    return encoding.coefficients(vectors, features) * math.sqrt(2 * features)


def template_coordinates(vectors: Float) -> Float:
    """As `probe_coordinates`, with half of the first number: no longer than the vector."""
    found = probe_coordinates(vectors)
    found[..., 0] /= 2
    return found


def from_template_coordinates(coordinates: Float) -> Float:
    """The vectors [n, F] that `template_coordinates` makes these numbers of."""
    features = coordinates.shape[-1]
    # Rows of the map are vectors of a basis of which every one but the first has length one.
    basis = template_coordinates(np.eye(features)).T
    weights = np.ones(features)
    weights[0] = 2
    result: Float = (coordinates * weights) @ basis
    return result
