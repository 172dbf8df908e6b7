"""Native contexts with one thing wrong each: what an oracle must find."""

from __future__ import annotations

from typing import Any

import numpy as np

from fhe_core import _native

Words = Any
#: Which butterfly, limb or digit is wrong: any will do.
LIMB, PAIR = 1, 6


class Faulty:
    """All of a context's operations, some replaced."""

    def __init__(self, context: _native.Context) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class OneWrongTwiddle(Faulty):
    """The last stage of the transforms of digits has one wrong root modulo the last special prime.

    The butterfly gives u + wv and u - wv; with a root w' it gives u +- (w'/w) wv.
    """

    def extend(self, c: Words, *how: Any) -> Words:
        digits = self._context.extend(c, *how).copy()
        q = self._modulus(how[-1][-1])
        a, b = (int(digits[0, -1, PAIR + i]) for i in range(2))
        half = pow(2, -1, q)
        u, wv = (a + b) * half % q, (a - b) * half % q
        digits[0, -1, PAIR] = (u + 3 * wv) % q
        digits[0, -1, PAIR + 1] = (u - 3 * wv) % q
        return digits

    def _modulus(self, limb: int) -> int:
        """-1 as a residue, plus one."""
        minus = np.zeros(self._context.n, dtype=np.int64)
        minus[0] = -1
        return int(self._context.embed_signed(minus, [limb])[0, 0]) + 1


class SwappedHalves(Faulty):
    """Even and odd part of an element change places on the way to the smaller ring."""

    def halves(self, a: Words, rows: Any) -> Words:
        return np.ascontiguousarray(self._context.halves(a, rows)[::-1])


class FlippedConstant(Faulty):
    """One bit of P mod q is wrong."""

    def switch_key(
        self,
        digits: Words,
        rows: Any,
        specials: Any,
        key: Words,
        key_rows: Any,
        addend: Words,
        p_mod_q: list[int],
        *rest: Any,
    ) -> Words:
        wrong = [p ^ (i == LIMB) for i, p in enumerate(p_mod_q)]
        return self._context.switch_key(digits, rows, specials, key, key_rows, addend, wrong, *rest)


class WrongInverse(Faulty):
    """The rescale's factor 1 / D is off by one in one limb."""

    def divide_and_round(self, x: Words, rows: Any, *how: Any) -> Words:
        result = self._context.divide_and_round(x, rows, *how).copy()
        for own, source in zip(result, x, strict=True):
            own[:1] = self._context.add(own[:1], source[:1], [rows[0]])
        return result


class LostDigit(Faulty):
    """A key switch leaves out its last digit."""

    def extend(self, c: Words, *how: Any) -> Words:
        digits = self._context.extend(c, *how).copy()
        digits[-1] = 0
        return digits


class SwappedProduct(Faulty):
    """A product's cross term counts a0 b1 only."""

    def tensor(self, a: Words, b: Words, rows: Any) -> Words:
        product = self._context.tensor(a, b, rows)
        product[1] = self._context.multiply(a[0], b[1], rows)
        return product


class WrongWeight(Faulty):
    """One weight of a linear step has another sign."""

    def accumulate(self, *arguments: Any) -> list[Words]:
        right, *rest = arguments
        wrong = right.weights.copy()
        wrong[0, 0] = -wrong[0, 0]
        transform = _native.Transform(right.masks, right.terms, right.outputs, wrong)
        return self._context.accumulate(transform, *rest)


FAULTS = (
    OneWrongTwiddle,
    FlippedConstant,
    WrongInverse,
    LostDigit,
    SwappedProduct,
    WrongWeight,
)
