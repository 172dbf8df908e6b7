"""The same search on numbers: the plan's levels, without encryption and without noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fhe_core.matching.errors import MatchingError
from fhe_core.matching.matcher import require_masks
from fhe_core.matching.parameters import MatchParameters
from fhe_core.matching.plan import Level, MatchPlan
from fhe_core.matching.values import Mask

Float = NDArray[np.float64]


class CleartextMatcher:
    """As `Matcher`: templates [m <= N, features] are its blocks, a vector [features] its probe."""

    def __init__(self, parameters: MatchParameters) -> None:
        self.parameters = parameters

    def load(self, templates: Float) -> Float:
        """Ciphertext k as a polynomial: [features, N].

        Raises:
            MatchingError: there are too many templates, or they have another length.
        """
        p = self.parameters
        if templates.ndim != 2 or templates.shape[1] != p.features or len(templates) > p.templates:
            raise MatchingError(f"a block holds up to {p.templates} templates of {p.features}")
        block = np.zeros((p.features, p.templates))
        block[:, : len(templates)] = templates.T
        return block

    def expand(self, probe: Float) -> Float:
        """Constants [features, N]: polynomials of which only the first coefficient is not zero.

        Raises:
            MatchingError: the vector has another length.
        """
        p = self.parameters
        if probe.shape != (p.features,):
            raise MatchingError(f"a probe has {p.features} numbers")
        roots = np.zeros((p.roots, p.templates))
        roots[:, :: p.stride] = probe.reshape(p.roots, p.leaves) / p.leaves
        nodes = roots[:, None]
        for level in MatchPlan(p).levels:
            turned = substitute(nodes, level)
            # Leaves whose number has this level's bit follow those without.
            odd = times_power(nodes - turned, -level.power)
            nodes = np.concatenate([nodes + turned, odd], axis=1)
        return nodes.reshape(p.features, p.templates)

    def search(self, constants: Float, blocks: Sequence[Float], live: Sequence[Mask]) -> Float:
        """Scores [blocks, N]; nan at dead positions. Errors as `Matcher.search`."""
        require_masks(live, len(blocks), self.parameters.templates)
        scores = np.stack([constants[:, 0] @ block for block in blocks])
        return np.where(np.stack(live), scores, np.nan)


def substitute(polynomials: Float, level: Level) -> Float:
    """a(X^g) of polynomials [..., N] modulo X^N + 1, with the level's Galois element g."""
    return _moved(polynomials, np.arange(polynomials.shape[-1]) * level.element)


def times_power(polynomials: Float, power: int) -> Float:
    """Polynomials [..., N] times X^power modulo X^N + 1."""
    return _moved(polynomials, np.arange(polynomials.shape[-1]) + power)


def _moved(polynomials: Float, exponents: NDArray[np.int64]) -> Float:
    """Coefficient i becomes that of X^exponents[i], where X^N = -1."""
    n = polynomials.shape[-1]
    exponents = exponents % (2 * n)
    result = np.empty_like(polynomials)
    result[..., exponents % n] = np.where(exponents < n, polynomials, -polynomials)
    return result
