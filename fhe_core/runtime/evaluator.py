"""CKKS operations on ciphertexts with the native kernels. Public material only.

Every key switch is decompose, key inner product, mod-down (hybrid key switching, Han-Ki 2020);
mod-down and rescale are one exact division by the special primes and the dropped limbs together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.ciphertext import Ciphertext, Words
from fhe_core.keys.evaluation import EvaluationKey, EvaluationKeys
from fhe_core.parameters import Parameters, Tier


class Evaluator:
    """Operations for one client's evaluation keys; holds no secret and cannot decrypt."""

    def __init__(self, parameters: Parameters, keys: EvaluationKeys, threads: int) -> None:
        self.parameters = parameters
        self.keys = keys
        moduli = [*parameters.moduli, *parameters.specials]
        self.context = _native.Context(parameters.ring_dimension, moduli, threads)
        self._permutations: dict[int, NDArray[np.uint32]] = {}

    def tier(self, limbs: int) -> Tier:
        return self.parameters.tiers[self.parameters.tier_index(limbs)]

    def rows(self, limbs: int) -> list[int]:
        """Modulus indices of the basis QP at that many limbs."""
        return [*range(limbs), *self.specials(limbs)]

    def specials(self, limbs: int) -> list[int]:
        return self.parameters.special_rows(self.tier(limbs))

    def p_mod_q(self, limbs: int) -> list[int]:
        """Product of the special primes modulo every limb."""
        p = math.prod(self.parameters.specials[: self.tier(limbs).special_limbs])
        return [p % q for q in self.parameters.moduli[:limbs]]

    def permutation(self, rotation: int) -> NDArray[np.uint32]:
        element = self.parameters.galois_element(rotation)
        if element not in self._permutations:
            self._permutations[element] = _native.galois_permutation(
                self.parameters.ring_dimension, element
            )
        return self._permutations[element]

    def add(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        rows = list(range(a.limbs))
        return Ciphertext(
            np.stack([self.context.add(a.residues[i], b.residues[i], rows) for i in range(2)]),
            a.scale,
        )

    def add_plain(self, a: Ciphertext, coefficients: NDArray[np.int64]) -> Ciphertext:
        """Add a plaintext given by its signed coefficients [N] at the ciphertext's scale."""
        rows = list(range(a.limbs))
        plain = self.context.embed_signed(coefficients, rows)
        return Ciphertext(
            np.stack([self.context.add(a.residues[0], plain, rows), a.residues[1]]), a.scale
        )

    def multiply_plain(self, a: Ciphertext, plain: Words, scale: float, drop: int) -> Ciphertext:
        """Multiply by a plaintext in NTT form [limbs, N] at ``scale``, then rescale."""
        rows = list(range(a.limbs))
        product = np.stack(
            [self.context.multiply(a.residues[i], plain, rows) for i in range(2)]
        )
        return self.rescale(Ciphertext(product, a.scale * scale), drop)

    def rescale(self, a: Ciphertext, drop: int) -> Ciphertext:
        """Divide by the last ``drop`` primes, with rounding."""
        if not drop:
            return a
        rows = list(range(a.limbs))
        divisor = math.prod(float(q) for q in self.parameters.moduli[a.limbs - drop : a.limbs])
        residues = np.stack(
            [self.context.divide_and_round(a.residues[i], rows, drop) for i in range(2)]
        )
        return Ciphertext(residues, a.scale / divisor)

    def decompose(self, polynomial: Words) -> Words:
        """Digits [digits, limbs + specials, N] of a polynomial [limbs, N]."""
        limbs = polynomial.shape[0]
        return self.context.decompose(
            polynomial, self.tier(limbs).digit_limbs, self.specials(limbs)
        )

    def inner_product(self, digits: Words, key: EvaluationKey, limbs: int) -> Words:
        """[2, limbs + specials, N] in the basis QP."""
        return self.context.key_inner_product(digits, key.data, key.limbs, self.specials(limbs))

    def mod_down(self, extended: Words, limbs: int, drop: int = 0) -> Words:
        """From QP [2, limbs + specials, N] to Q, dividing by P and the last ``drop`` limbs."""
        rows = self.rows(limbs)
        count = len(rows) - limbs + drop
        return np.stack(
            [self.context.divide_and_round(extended[i], rows, count) for i in range(2)]
        )

    def rotate_many(self, a: Ciphertext, rotations: Sequence[int]) -> list[Ciphertext]:
        """Rotations of one ciphertext; the decomposition is shared (hoisting)."""
        digits = self.decompose(a.residues[1])
        rows = list(range(a.limbs))
        results = []
        for rotation in rotations:
            key = self.keys.get(rotation, a.limbs)
            switched = self.mod_down(self.inner_product(digits, key, a.limbs), a.limbs)
            switched[0] = self.context.add(switched[0], a.residues[0], rows)
            index = self.permutation(rotation)
            results.append(
                Ciphertext(np.stack([self.context.permute(p, index) for p in switched]), a.scale)
            )
        return results

    def rotate_extended(self, a: Words, rotation: int) -> Words:
        """P times the rotation of a ciphertext [2, limbs, N], left in the basis QP."""
        limbs = a.shape[1]
        key = self.keys.get(rotation, limbs)
        extended = self.inner_product(self.decompose(a[1]), key, limbs)
        self._add_p_times(extended[0], a[0])
        index = self.permutation(rotation)
        return np.stack([self.context.permute(p, index) for p in extended])

    def multiply(self, a: Ciphertext, b: Ciphertext, drop: int) -> Ciphertext:
        """Product with relinearisation; rescaled in the same division as the mod-down."""
        context, limbs = self.context, a.limbs
        rows = list(range(limbs))
        (a0, a1), (b0, b1) = a.residues, b.residues
        cross = context.multiply(a0, b1, rows)
        other = cross if a is b else context.multiply(a1, b0, rows)
        key = self.keys.get(0, limbs)
        digits = self.decompose(context.multiply(a1, b1, rows))
        extended = self.inner_product(digits, key, limbs)
        self._add_p_times(extended[0], context.multiply(a0, b0, rows))
        self._add_p_times(extended[1], context.add(cross, other, rows))
        divisor = math.prod(float(q) for q in self.parameters.moduli[limbs - drop : limbs])
        return Ciphertext(self.mod_down(extended, limbs, drop), a.scale * b.scale / divisor)

    def _add_p_times(self, extended: Words, polynomial: Words) -> None:
        """extended[:limbs] += P * polynomial, in place; P vanishes modulo the special primes."""
        limbs = polynomial.shape[0]
        rows = list(range(limbs))
        scaled = self.context.multiply_scalars(polynomial, self.p_mod_q(limbs), rows)
        extended[:limbs] = self.context.add(extended[:limbs], scaled, rows)
