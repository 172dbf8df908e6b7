"""CKKS operations on ciphertexts with the native kernels. Public material only.

Every key switch is decompose, key inner product, mod-down (hybrid key switching, Han-Ki 2020);
mod-down and rescale are one exact division, by the special primes and the last limbs together.
Levels are indices of ``Parameters.levels``, which says what limbs a ciphertext has there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.ciphertext import Ciphertext, Words
from fhe_core.keys.evaluation import DeviceKey, EvaluationKey, EvaluationKeys
from fhe_core.parameters import Parameters, Tier, root_order


@dataclass(frozen=True, eq=False)
class Digits:
    """A decomposed polynomial.

    Attributes:
        extended: [digits, limbs + specials, N]; what stands in the limbs that a digit covers says
            nothing.
        source: the polynomial [limbs, N], which is the digits there.
    """

    extended: Words
    source: Words


class Evaluator:
    """Operations for one client's evaluation keys; holds no secret and cannot decrypt."""

    def __init__(self, parameters: Parameters, keys: EvaluationKeys, threads: int) -> None:
        self.parameters = parameters
        self.keys = keys
        ring, n = parameters.ring.value, parameters.ring_dimension
        self.context = _native.Context(n, parameters.primes, threads, ring=ring)
        others = {one.ring_dimension for one in parameters.levels} - {n}
        self._smaller = {n: self.context.of_degree(n) for n in others}
        self._permutations: dict[tuple[int, int], NDArray[np.uint32]] = {}

    def at(self, level: int) -> _native.Context:
        """The arithmetic of the ring of that level."""
        return self._smaller.get(self.parameters.levels[level].ring_dimension, self.context)

    def tier(self, level: int) -> Tier:
        return self.parameters.tiers[self.parameters.levels[level].tier]

    def rows(self, level: int) -> tuple[int, ...]:
        """Of a ciphertext at that level."""
        return self.parameters.levels[level].rows

    def specials(self, level: int) -> list[int]:
        """Rows of the special primes: those of the basis QP beside the ciphertext's."""
        return self.parameters.special_rows(self.tier(level))

    def p_mod_q(self, level: int) -> list[int]:
        """Product of the special primes modulo every limb."""
        p = math.prod(self.parameters.specials[: self.tier(level).special_limbs])
        return [p % q for q in self.parameters.moduli_at(level)]

    def permutation(self, rotation: int, level: int) -> NDArray[np.uint32]:
        """How a rotation moves the values of a polynomial at that level."""
        n = self.parameters.levels[level].ring_dimension
        order = root_order(self.parameters.ring, n)
        element = self.parameters.galois_element(rotation) % order
        if (n, element) not in self._permutations:
            self._permutations[n, element] = _native.galois_permutation(
                n, element, self.parameters.ring.value
            )
        return self._permutations[n, element]

    def add(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """Sum of two ciphertexts of the same level and scale."""
        return self._pointwise(self.at(a.level).add, a, b)

    def subtract(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """Difference of two ciphertexts of the same level and scale."""
        return self._pointwise(self.at(a.level).subtract, a, b)

    def _pointwise(
        self, operation: Callable[[Words, Words, list[int]], Words], a: Ciphertext, b: Ciphertext
    ) -> Ciphertext:
        shape, flat = a.residues.shape, (2 * a.limbs, a.residues.shape[-1])
        rows = 2 * list(self.rows(a.level))
        result = operation(a.residues.reshape(flat), b.residues.reshape(flat), rows)
        return replace(a, residues=result.reshape(shape))

    def add_plain(
        self, a: Ciphertext, coefficients: NDArray[np.int64], shift: int = 0
    ) -> Ciphertext:
        """Add a plaintext at the ciphertext's scale: signed coefficients [size] in X^(N / size),
        times 2**shift. Without a shift their transform is as short as they are few."""
        rows, context = self.rows(a.level), self.at(a.level)
        if not shift:
            return replace(a, residues=context.add_plain(a.residues, coefficients, rows))
        factors = [pow(2, shift, q) for q in self.parameters.moduli_at(a.level)]
        spread = np.zeros(context.n, dtype=np.int64)
        spread[:: context.n // coefficients.size] = coefficients
        plain = context.multiply_scalars(context.embed_signed(spread, rows), factors, rows)
        first = context.add(a.residues[0], plain, rows)
        return replace(a, residues=np.stack([first, a.residues[1]]))

    def multiply_plain(
        self, a: Ciphertext, coefficients: NDArray[np.int64], scale: float, rescale: int
    ) -> Ciphertext:
        """Multiply by a plaintext given by its signed coefficients [N] at ``scale``; rescale."""
        product = self.at(a.level).multiply_plain(a.residues, coefficients, self.rows(a.level))
        return self.rescale(Ciphertext(product, a.scale * scale, a.level), rescale)

    def rescale(self, a: Ciphertext, rescale: int) -> Ciphertext:
        """Divide by what takes the modulus down by ``rescale`` levels, with rounding."""
        if not rescale:
            return a
        lower = a.level - rescale
        residues = self._divide(a.residues, self.rows(a.level), lower)
        return Ciphertext(residues, a.scale / self.rescale_factor(a.level, rescale), lower)

    def rescale_factor(self, level: int, rescale: int) -> float:
        """What rescaling by so many levels divides by."""
        return self.parameters.rescale_factor(level, level - rescale)

    def drop_to(self, a: Ciphertext, level: int) -> Ciphertext:
        """The same message at a lower level. Where that has sprouts of its own, a multiple is
        rescaled, so that the scale stays up to the factor ``Parameters.drop_factor``.

        Raises:
            ValueError: the level is not lower.
        """
        rows, wanted = self.rows(a.level), self.rows(level)
        if level == a.level or wanted == rows[: len(wanted)]:
            return a.drop_to(level, self.parameters)
        if level > a.level:
            raise ValueError(f"cannot drop from level {a.level} to {level}")
        multiple = self.parameters.drop_multiple(a.level, level)
        if multiple == 1:
            residues = np.ascontiguousarray(a.residues[:, [rows.index(row) for row in wanted]])
        else:
            factors = [multiple % q for q in self.parameters.moduli_at(a.level)]
            residues = self.at(level).divide_and_round(a.residues, rows, wanted, factors)
        return Ciphertext(residues, a.scale * self.parameters.drop_factor(a.level, level), level)

    def _divide(self, polynomials: Words, rows: Sequence[int], lower: int) -> Words:
        """From those rows [polynomials, rows, N] to those of a level, divided by all others."""
        return self.at(lower).divide_and_round(polynomials, rows, self.rows(lower))

    def decompose(self, polynomial: Words, level: int) -> Digits:
        """The digits of a polynomial [limbs, N], for any number of key switches."""
        extended = self.at(level).extend(
            polynomial,
            self.rows(level),
            self.tier(level).digit_limbs,
            self.parameters.digits(level),
            self.specials(level),
        )
        return Digits(extended, polynomial)

    def switch(
        self,
        digits: Digits,
        level: int,
        rotation: int,
        addend: Words,
        base: Words | None = None,
    ) -> Words:
        """One key switch, left in the basis QP: [2, limbs + specials, N].

        P * addend [1 or 2, limbs, N], or an addend [1 or 2, limbs + specials, N] that is in QP
        already, joins the result before the rotation; ``base`` is added to, in place, when given.
        rotation: the key's name: an amount below the slots, 0 for relinearisation, or one of
        ``Parameters.ring_switch`` and ``ring_lift``.
        """
        key = self.keys.get(rotation, level)
        moves = 0 < rotation < self.parameters.slots_at(level)
        permutation = self.permutation(rotation, level) if moves else None
        return self._product(key, digits, level, addend, permutation, base)

    def _product(
        self,
        key: EvaluationKey,
        digits: Digits,
        level: int,
        addend: Words,
        permutation: NDArray[np.uint32] | None = None,
        base: Words | None = None,
    ) -> Words:
        """Digits times a key, see `switch`."""
        return self.at(level).switch_key(
            digits.extended,
            self.rows(level),
            self.specials(level),
            key.data,
            key.rows,
            addend,
            self.p_mod_q(level),
            permutation,
            base,
            digits.source,
            self.tier(level).digit_limbs,
        )

    def from_device(self, a: Ciphertext, key: DeviceKey) -> Ciphertext:
        """A fresh ciphertext of a device, under its owner's key.

        Raises:
            ValueError: it is not fresh, or the key has other parameters.
        """
        top = self.parameters.top
        if a.level != top or key.parameters.digest != self.parameters.digest:
            raise ValueError("only fresh ciphertexts are switched from a device, with its own key")
        digits = self.decompose(a.residues[1], top)
        total = self._product(key.key, digits, top, a.residues[:1])
        return replace(a, residues=self.mod_down(total, top))

    def mod_down(self, extended: Words, level: int, rescale: int = 0) -> Words:
        """From QP [1 or 2, limbs + specials, N] to Q, divided by P and, to rescale, by what takes
        Q down by so many levels as well."""
        rows = (*self.rows(level), *self.specials(level))
        return self._divide(extended, rows, level - rescale)

    def rotate_many(self, a: Ciphertext, rotations: Sequence[int]) -> list[Ciphertext]:
        """Rotations of one ciphertext; the decomposition is shared (hoisting).

        Raises:
            ValueError: a rotation is by all slots, which is no rotation and has no key.
        """
        digits = self._digits(a, rotations)
        return [
            replace(a, residues=self.mod_down(self._turned(digits, a, r, None), a.level))
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
            total = self._turned(digits, a, rotation, total)
        if total is None:
            raise ValueError("a sum of no rotations")
        return replace(a, residues=self.mod_down(total, a.level))

    def _turned(self, digits: Digits, a: Ciphertext, rotation: int, base: Words | None) -> Words:
        """A rotation by any number of slots, in QP; see `switch`."""
        rotation %= self.parameters.slots_at(a.level)
        return self.switch(digits, a.level, rotation, a.residues[:1], base)

    def _digits(self, a: Ciphertext, rotations: Sequence[int]) -> Digits:
        """For the rotations of one ciphertext."""
        if any(r % self.parameters.slots_at(a.level) == 0 for r in rotations):
            raise ValueError("a rotation by a multiple of the slots has no key")
        return self.decompose(a.residues[1], a.level)

    def rotate_extended(
        self, a: Words, level: int, rotation: int, base: Words | None = None
    ) -> Words:
        """The rotation of a sum in the basis QP [2, limbs + specials, N], plus ``base``, in QP.

        Only the polynomial that meets the key needs to be in Q, to be decomposed; the other one is
        moved along as it is (Bossuat et al. 2021).
        """
        digits = self.decompose(self.mod_down(a[1:], level)[0], level)
        return self.switch(digits, level, rotation, a[:1], base)

    def switch_ring(self, a: Ciphertext, level: int) -> Ciphertext:
        """To the level of the same primes in the ring of half the degree: slot j is the sum of the
        slots j and j + N/2, at half the scale.

        Both halves of c1 are switched there, each with a key of its own (ring/halves.hpp).

        Raises:
            ValueError: the level is not one of the ring of half the degree, or has other primes.
        """
        self._require_rings(a.level, level)
        addend, *halves = self._halves(a, level)
        total = None
        for name, half in zip(self.parameters.ring_switch(level), halves, strict=True):
            total = self.switch(self.decompose(half, level), level, name, addend, total)
            addend = addend[:0]
        assert total is not None
        return Ciphertext(self.mod_down(total, level), a.scale / 2, level)

    def lift_ring(self, a: Ciphertext, level: int) -> Ciphertext:
        """To the level of the same primes in the ring of twice the degree, which contains its own:
        slots j and j + N/2 are slot j, N those of the larger ring.

        Raises:
            ValueError: the level is not one of the larger ring, or has other primes.
        """
        self._require_rings(level, a.level)
        rows, small, large = self.rows(level), self.at(a.level), self.at(level)
        lifted = []
        for polynomial in a.residues:
            wide = np.zeros((len(rows), large.n), dtype=np.uint64)
            wide[:, ::2] = small.ntt_inverse(np.ascontiguousarray(polynomial), rows)
            lifted.append(large.ntt_forward(wide, rows))
        digits = self.decompose(lifted[1], level)
        total = self.switch(digits, level, self.parameters.ring_lift(level), lifted[0][None])
        return Ciphertext(self.mod_down(total, level), a.scale, level)

    def _require_rings(self, large: int, small: int) -> None:
        levels = self.parameters.levels
        twice = levels[large].ring_dimension == 2 * levels[small].ring_dimension
        if not twice or levels[large].rows != levels[small].rows:
            raise ValueError(f"no ciphertext changes its ring between levels {large} and {small}")

    def _halves(self, a: Ciphertext, level: int) -> tuple[Words, Words, Words]:
        """The even part of c0 [1, limbs, N/2], and both parts of c1, in the smaller ring."""
        rows, small = self.rows(level), self.at(level)
        parts = [self.at(a.level).halves(half, rows) for half in a.residues]
        even0, even1, odd1 = (small.ntt_forward(p, rows) for p in (parts[0][0], *parts[1]))
        return even0[None], even1, odd1

    def multiply(self, a: Ciphertext, b: Ciphertext, rescale: int) -> Ciphertext:
        """Product with relinearisation; rescaled in the same division as the mod-down."""
        level = a.level
        product = self.at(level).tensor(a.residues, b.residues, self.rows(level))
        extended = self.switch(self.decompose(product[2], level), level, 0, product[:2])
        return Ciphertext(
            self.mod_down(extended, level, rescale),
            a.scale * b.scale / self.rescale_factor(level, rescale),
            level - rescale,
        )
