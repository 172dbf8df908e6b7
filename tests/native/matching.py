"""Blocks and key switching as Python integers, for the tests of cpp/matching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fhe_core import _native
from tests.helpers import (
    Integers,
    Words,
    centred,
    crt,
    distinct_primes,
    integers,
    negacyclic,
    substituted,
)


def block_of(ciphertexts: Words) -> _native.BlockMemory:
    """Of [features, 2, n], set from the last to the first."""
    features, _, n = ciphertexts.shape
    block = _native.BlockMemory(features, n)
    for k in reversed(range(features)):
        block.set(k, _native.pack48(ciphertexts[k, 0]), ciphertexts[k, 1])
    return block


def context_of(n: int, threads: int = 1, bits: Sequence[int] = (48, 50)) -> _native.Context:
    return _native.Context(n, distinct_primes(bits, n), threads)


@dataclass(frozen=True)
class Model:
    """A ring with one limb q and one special prime p, and what it should compute."""

    n: int
    bits: Sequence[int] = (48, 50)
    threads: int = 1
    moduli: list[int] = field(init=False)
    context: _native.Context = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "moduli", distinct_primes(self.bits, self.n))
        object.__setattr__(self, "context", _native.Context(self.n, self.moduli, self.threads))

    def ntt(self, coefficients: Integers, row: int = 0) -> Words:
        """Rows [..., n] of any integers, each modulo the same modulus."""
        flat = (integers(coefficients) % self.moduli[row]).astype(np.uint64).reshape(-1, self.n)
        return self.context.ntt_forward(flat, [row] * len(flat)).reshape(coefficients.shape)

    def coefficients(self, values: Words, row: int = 0) -> Integers:
        flat = np.ascontiguousarray(values).reshape(-1, self.n)
        return integers(self.context.ntt_inverse(flat, [row] * len(flat))).reshape(values.shape)

    def random_key(self, generator: np.random.Generator) -> Words:
        column = np.array(self.moduli, dtype=np.uint64)[:, None]
        return generator.integers(0, column, (1, 2, 2, self.n), dtype=np.uint64)

    def key(self, generator: np.random.Generator, hidden: Integers, under: Integers) -> Words:
        """An encryption of P * hidden under another secret, with a little noise."""
        rows = np.empty((1, 2, 2, self.n), dtype=np.uint64)
        noise = integers(generator.integers(-3, 4, self.n))
        whole = self.moduli[0] * self.moduli[1]
        uniform = crt(self.random_key(generator)[0, 0], self.moduli)
        body = (noise + self.moduli[1] * hidden - negacyclic(uniform, under, whole)) % whole
        for row in (0, 1):
            rows[0, 0, row], rows[0, 1, row] = self.ntt(body, row), self.ntt(uniform, row)
        return rows

    def switched(self, c: Integers, key: Words) -> Integers:
        """round(c * key / p) of coefficients: [2, n]."""
        q, p = self.moduli
        digit, out = centred(c, q), []
        for poly in key[0]:
            rows = [
                negacyclic(digit, self.coefficients(poly[r], r), m) for r, m in ((0, q), (1, p))
            ]
            whole = crt(np.stack([r.astype(np.uint64) for r in rows]), self.moduli)
            out.append((whole - centred(whole % p, p)) // p % q)
        return np.stack(out)

    def split(self, node: Integers, key: Words, element: int, power: int) -> list[Integers]:
        """Both nodes that a level makes of one."""
        q = self.moduli[0]
        switched = self.switched(node[1], key)
        switched[0] += node[0]
        moved = np.stack([substituted(poly, element, q) for poly in switched])
        monomial = integers(np.zeros(self.n, dtype=np.int64))
        monomial[-power % self.n] = -1 if power else 1
        other = np.stack([negacyclic(poly, monomial, q) for poly in (node - moved) % q])
        return [(node + moved) % q, other]


MODELS = [(32, (48, 50)), (64, (48, 50)), (64, (50, 48)), (64, (20, 17)), (32, (49, 50))]
