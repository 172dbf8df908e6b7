"""CKKS operations on ciphertexts with the native kernels. Public material only.

Every key switch is decompose, key inner product, mod-down (hybrid key switching, Han-Ki 2020);
mod-down and rescale are one exact division by the special primes and the last limbs together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.ciphertext import Ciphertext, Words
from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.parameters import Parameters, Tier


class Evaluator:
    """Operations for one client's evaluation keys; holds no secret and cannot decrypt."""

    def __init__(self, parameters: Parameters, keys: EvaluationKeys, threads: int) -> None:
        self.parameters = parameters
        self.keys = keys
        moduli = [*parameters.moduli, *parameters.specials]
        self.context = _native.Context(
            parameters.ring_dimension, moduli, threads, ring=parameters.ring.value
        )
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
                self.parameters.ring_dimension, element, self.parameters.ring.value
            )
        return self._permutations[element]

    def add(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """Sum of two ciphertexts of the same level and scale."""
        return self._pointwise(self.context.add, a, b)

    def subtract(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """Difference of two ciphertexts of the same level and scale."""
        return self._pointwise(self.context.subtract, a, b)

    def _pointwise(
        self, operation: Callable[[Words, Words, list[int]], Words], a: Ciphertext, b: Ciphertext
    ) -> Ciphertext:
        shape, flat = a.residues.shape, (2 * a.limbs, self.parameters.ring_dimension)
        rows = 2 * list(range(a.limbs))
        result = operation(a.residues.reshape(flat), b.residues.reshape(flat), rows)
        return Ciphertext(result.reshape(shape), a.scale)

    def add_plain(
        self, a: Ciphertext, coefficients: NDArray[np.int64], shift: int = 0
    ) -> Ciphertext:
        """Add a plaintext at the ciphertext's scale: signed coefficients [N] times 2**shift."""
        if not shift:
            return Ciphertext(self.context.add_plain(a.residues, coefficients), a.scale)
        rows = list(range(a.limbs))
        factors = [pow(2, shift, q) for q in self.parameters.moduli[: a.limbs]]
        plain = self.context.embed_signed(coefficients, rows)
        plain = self.context.multiply_scalars(plain, factors, rows)
        first = self.context.add(a.residues[0], plain, rows)
        return Ciphertext(np.stack([first, a.residues[1]]), a.scale)

    def multiply_plain(
        self, a: Ciphertext, coefficients: NDArray[np.int64], scale: float, rescale: int
    ) -> Ciphertext:
        """Multiply by a plaintext given by its signed coefficients [N] at ``scale``; rescale."""
        product = self.context.multiply_plain(a.residues, coefficients)
        return self.rescale(Ciphertext(product, a.scale * scale), rescale)

    def rescale(self, a: Ciphertext, rescale: int) -> Ciphertext:
        """Divide by the last ``rescale`` primes, with rounding."""
        if not rescale:
            return a
        residues = self.context.divide_and_round(a.residues, list(range(a.limbs)), rescale)
        return Ciphertext(residues, a.scale / self.rescale_factor(a.limbs, rescale))

    def rescale_factor(self, limbs: int, rescale: int) -> float:
        """Product of the primes that rescaling by ``rescale`` limbs divides by."""
        return math.prod(float(q) for q in self.parameters.moduli[limbs - rescale : limbs])

    def decompose(self, polynomial: Words) -> Words:
        """Digits [digits, limbs + specials, N] of a polynomial [limbs, N]."""
        limbs = polynomial.shape[0]
        return self.context.decompose(
            polynomial, self.tier(limbs).digit_limbs, self.specials(limbs)
        )

    def switch(
        self,
        digits: Words,
        limbs: int,
        rotation: int,
        addend: Words,
        base: Words | None = None,
    ) -> Words:
        """One key switch, left in the basis QP: [2, limbs + specials, N].

        P * addend [1 or 2, limbs, N], or an addend [1 or 2, limbs + specials, N] that is in QP
        already, joins the result before the rotation; ``base`` is added to, in place, when given.
        Rotation 0 is relinearisation.
        """
        key = self.keys.get(rotation, limbs)
        return self.context.switch_key(
            digits,
            key.data,
            key.limbs,
            self.specials(limbs),
            addend,
            self.p_mod_q(limbs),
            self.permutation(rotation) if rotation else None,
            base,
        )

    def mod_down(self, extended: Words, limbs: int, rescale: int = 0) -> Words:
        """From QP [1 or 2, limbs + specials, N] to Q, divided by P and the last limbs as well."""
        rows = self.rows(limbs)
        return self.context.divide_and_round(extended, rows, len(rows) - limbs + rescale)

    def rotate_many(self, a: Ciphertext, rotations: Sequence[int]) -> list[Ciphertext]:
        """Rotations of one ciphertext; the decomposition is shared (hoisting).

        Raises:
            ValueError: a rotation is by all slots, which is no rotation and has no key.
        """
        digits = self._digits(a, rotations)
        return [
            Ciphertext(
                self.mod_down(self.switch(digits, a.limbs, r, a.residues[:1]), a.limbs), a.scale
            )
            for r in rotations
        ]

    def rotated_sum(self, a: Ciphertext, rotations: Sequence[int]) -> Ciphertext:
        """The sum of rotations of one ciphertext: one decomposition and one mod-down for all.

        Raises:
            ValueError: a rotation is by all slots, which is no rotation and has no key; or there
                are no rotations.
        """
        digits = self._digits(a, rotations)
        total: Words | None = None
        for rotation in rotations:
            total = self.switch(digits, a.limbs, rotation, a.residues[:1], total)
        if total is None:
            raise ValueError("a sum of no rotations")
        return Ciphertext(self.mod_down(total, a.limbs), a.scale)

    def _digits(self, a: Ciphertext, rotations: Sequence[int]) -> Words:
        """For the rotations of one ciphertext."""
        if any(r % self.parameters.slots == 0 for r in rotations):
            raise ValueError("a rotation by a multiple of the slots has no key")
        return self.decompose(a.residues[1])

    def rotate_extended(
        self, a: Words, limbs: int, rotation: int, base: Words | None = None
    ) -> Words:
        """The rotation of a sum in the basis QP [2, limbs + specials, N], plus ``base``, in QP.

        Only the polynomial that meets the key needs to be in Q, to be decomposed; the other one is
        moved along as it is (Bossuat et al. 2021).
        """
        digits = self.decompose(self.mod_down(a[1:], limbs)[0])
        return self.switch(digits, limbs, rotation, a[:1], base)

    def multiply(self, a: Ciphertext, b: Ciphertext, rescale: int) -> Ciphertext:
        """Product with relinearisation; rescaled in the same division as the mod-down."""
        return self._relinearised(
            self.context.tensor(a.residues, b.residues), a.scale * b.scale, rescale
        )

    def _relinearised(self, product: Words, scale: float, rescale: int) -> Ciphertext:
        """From three polynomials [3, limbs, N] to a ciphertext; the mod-down rescales as well."""
        limbs = product.shape[1]
        extended = self.switch(self.decompose(product[2]), limbs, 0, product[:2])
        return Ciphertext(
            self.mod_down(extended, limbs, rescale), scale / self.rescale_factor(limbs, rescale)
        )
