"""The server's side of `switch_plan`: no secret, nothing that could decrypt."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.ciphertext import Ciphertext, Words
from fhe_core.container import ParameterMismatch
from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.matching.matcher import Constants
from fhe_core.matching.switch_plan import Form, SwitchPlan

Signed = NDArray[np.int64]
#: Rows of the gallery's ring: the limb, and the special prime beside it.
_LIMB, _BOTH = [0], [0, 1]


@dataclass(frozen=True, eq=False)
class SwitchKey:
    """What leads from one engine's key to one gallery's.

    Attributes:
        parts: [k, 2, 2, n], polynomial by row: encryptions of P s_j under the gallery's secret.
        keys: for the levels of the expansion that a gallery's own keys lack.
    """

    plan: SwitchPlan
    engine_key: str
    gallery_key: str
    parts: Words
    keys: EvaluationKeys


class Switcher:
    """Brings faces of one engine's key into one gallery's ring."""

    def __init__(self, key: SwitchKey, keys: EvaluationKeys, threads: int) -> None:
        """keys: the gallery's own evaluation keys.

        Raises:
            ParameterMismatch, MissingKeyError: they are another gallery's, or one is missing.
        """
        if keys.key_id != key.gallery_key:
            raise ParameterMismatch("the switching key leads to another gallery")
        self.plan, self.key = key.plan, key
        ring = key.plan.gallery.parameters
        self._threads = threads
        self._context = _native.Context(
            ring.ring_dimension, [*ring.moduli, *ring.specials], threads
        )
        self._engines: dict[int, _native.Context] = {}
        added = {one.name.rotation for one in key.plan.added_keys()}
        self._levels = [
            (key.keys if level.rotation in added else keys).residues(level.rotation, 0)
            for level in key.plan.levels
        ]
        self._permutations = [
            _native.galois_permutation(ring.ring_dimension, level.element)
            for level in key.plan.levels
        ]
        self._powers = [level.power for level in key.plan.levels]
        self._relinearisation = keys.residues(0, 0)

    def embedding(self, ciphertext: Ciphertext) -> Words:
        """A face's embedding [2, n], in NTT form, at the plan's `embedding_scale`.

        Raises:
            ParameterMismatch: its level or scale is another one than the plan's.
        """
        return self._switched(ciphertext, self.plan.embedding, self.plan.embedding_multiple)

    def norm(self, ciphertext: Ciphertext) -> Words:
        """A face's squared norm [2, n], at the plan's `norm_scale`; errors as `embedding`."""
        return self._switched(ciphertext, self.plan.norm, self.plan.norm_multiple)

    def constants(self, embedding: Words, token: bytes) -> Constants:
        """What a search wants of a probe: a constant for each of its numbers."""
        tiles = _native.expand_mirrored(
            self._context, embedding[None], self._levels, self._permutations, self._powers
        )
        return Constants(tiles, token)

    def products(self, embedding: Words, others: list[Words]) -> NDArray[np.uint32]:
        """Inner products with other faces: c0's first coefficient, then c1, [faces, 1 + n], modulo
        2^result_bits at the plan's `product_scale`. Nothing else of a product leaves."""
        tensors = [
            self._context.tensor(embedding[:, None], other[:, None], _LIMB)[:, 0]
            for other in others
        ]
        bits = self.plan.gallery.result_bits
        words = _native.switch_to_bits(
            self._context, np.stack(tensors), self._relinearisation, bits
        )
        return np.concatenate([words[:, 0, :1], words[:, 1]], axis=1)

    # --- from ring to ring ------------------------------------------------------------------------

    def _switched(self, ciphertext: Ciphertext, form: Form, multiple: int) -> Words:
        if not form.fits(ciphertext.level, ciphertext.scale):
            raise ParameterMismatch(
                f"a ciphertext at level {ciphertext.level} with scale {ciphertext.scale:g} is none "
                "of a face that was computed alone"
            )
        first, second = (
            self._rounded(polynomial, ciphertext.level, multiple)
            for polynomial in ciphertext.residues
        )
        total: Words | None = None
        for part, key in zip(self._parts(second), self.key.parts, strict=True):
            digit = self._context.embed_signed(part, _BOTH)
            product = np.stack([self._context.multiply(digit, half, _BOTH) for half in key])
            if total is not None:
                product = np.stack(
                    [self._context.add(a, b, _BOTH) for a, b in zip(total, product, strict=True)]
                )
            total = product
        assert total is not None
        switched = self._context.divide_and_round(total, _BOTH, _LIMB)[:, 0]
        own = self._context.embed_signed(self._wide(first[:: self.plan.parts]), _LIMB)
        switched[0] = self._context.add(switched[:1], own, _LIMB)[0]
        return switched

    def _rounded(self, polynomial: Words, level: int, multiple: int) -> Signed:
        """A polynomial [limbs, N] times an integer, rounded to the gallery's modulus: [N].

        Sums of fractions t_i / q_i, t_i the residues times the inverse of Q / q_i, are the value
        over Q up to an integer. Floats are off by 2^-4 at most, so a result by one at most.
        """
        moduli, q = self.plan.engine.moduli_at(level), self.plan.gallery.modulus
        whole, rows = math.prod(moduli), list(range(len(moduli)))
        factors = [multiple * pow(whole // p, -1, p) % p for p in moduli]
        context = self._engine(level)
        scaled = context.ntt_inverse(context.multiply_scalars(polynomial, factors, rows), rows)
        total = np.zeros(polynomial.shape[-1])
        for row, p in zip(scaled, moduli, strict=True):
            total += row.astype(np.float64) * (q / p)
        rounded: Signed = np.rint(total).astype(np.int64) % q
        return rounded

    def _parts(self, polynomial: Signed) -> list[Signed]:
        """Of (X^j + X^-j) c1 for every j: the real part of the gallery's ring, as signed [n]."""
        step = self.plan.parts
        places = step * np.arange(self.plan.half)
        parts = [polynomial[places]]
        parts += [polynomial[abs(places - j)] + polynomial[places + j] for j in range(1, step)]
        return [self._wide(part) for part in parts]

    def _wide(self, part: Signed) -> Signed:
        """Of R', [n / 2], as an element of the gallery's ring, [n], centred."""
        q = self.plan.gallery.modulus
        return wide((part + q // 2) % q - q // 2)

    def _engine(self, level: int) -> _native.Context:
        """The arithmetic of results at that level."""
        if level not in self._engines:
            engine = self.plan.engine
            self._engines[level] = _native.Context(
                engine.ring_dimension, engine.moduli_at(level), self._threads, ring="real"
            )
        return self._engines[level]


def wide(part: Signed) -> Signed:
    """Coefficients of 1, V^m + V^-m as those of powers of V: V^-m is -V^(n-m)."""
    return np.concatenate([part, np.zeros(1, np.int64), -part[:0:-1]])
