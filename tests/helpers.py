"""Big-integer arithmetic that shares no code with the extension, for tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.parameters.primes import ntt_primes

Words = NDArray[np.uint64]
#: Python integers in an array of dtype object.
Integers = NDArray[Any]
#: The conversion of a basis rounds in floating point: this close to one half both ways are right.
HALF_SLACK = 40  # bits


def distinct_primes(bits: Sequence[int], ring_dimension: int) -> list[int]:
    """One prime = 1 mod 2N just below each power of two."""
    pools = {b: ntt_primes(b, ring_dimension) for b in set(bits)}
    return [next(pools[b]) for b in bits]


def integers(values: Any) -> Integers:
    """Any array as Python integers, so that nothing overflows."""
    return np.asarray(values).astype(object)


def reduced(values: Integers, moduli: Sequence[int]) -> Words:
    """Residues [moduli, ...] of integers [...]."""
    return np.stack([(values % q).astype(np.uint64) for q in moduli])


def crt(residues: Words, moduli: Sequence[int]) -> Integers:
    """Integers [n] in [0, product) of residues [moduli, n]."""
    product = math.prod(moduli)
    total = integers(np.zeros(residues.shape[1:], dtype=np.int64))
    for row, q in zip(residues, moduli, strict=True):
        other = product // q
        total = total + integers(row) * (other * pow(other, -1, q))
    return total % product


def centred(values: Integers, modulus: int) -> Integers:
    """Representatives in (-modulus / 2, modulus / 2) of integers, for an odd modulus."""
    return (values + modulus // 2) % modulus - modulus // 2


def ambiguous(values: Integers, modulus: int) -> NDArray[np.bool_]:
    """Where a centred value is too close to half the modulus to have one right rounding."""
    distance = [abs(2 * abs(int(v)) - modulus) << HALF_SLACK for v in values]
    return np.array([d <= 2 * modulus for d in distance])


def negacyclic(a: Integers, b: Integers, q: int) -> Integers:
    """a * b modulo X^N + 1 and q."""
    n = a.size
    full = np.convolve(a, b)
    full = np.concatenate([full, integers(np.zeros(2 * n - full.size, dtype=np.int64))])
    result: Integers = (full[:n] - full[n:]) % q
    return result


def substituted(a: Integers, exponent: int, q: int) -> Integers:
    """a(X^exponent) modulo X^N + 1 and q, for an odd exponent."""
    n = a.size
    out = integers(np.zeros(n, dtype=np.int64))
    for i, value in enumerate(a):
        power = i * exponent % (2 * n)
        out[power % n] = value % q if power < n else -value % q
    return out


def doubled(a: Integers) -> Integers:
    """Coefficients [2N] modulo X^2N + 1 of an element [N] of the real ring."""
    return np.concatenate([a, a[:1] * 0, -a[:0:-1]])


def real_product(a: Integers, b: Integers, q: int) -> Integers:
    """a * b in the real ring, modulo q."""
    return negacyclic(doubled(a), doubled(b), q)[: a.size]


def real_substituted(a: Integers, exponent: int, q: int) -> Integers:
    """a(X^exponent) in the real ring, modulo q, for an odd exponent."""
    return substituted(doubled(a), exponent, q)[: a.size]


def bit_reversed(index: int, count: int) -> int:
    """index with its log2(count) bits in reverse."""
    bits = count.bit_length() - 1
    return int(f"{index:0{bits}b}"[::-1], 2) if bits else 0


def adversarial(generator: np.random.Generator, moduli: Sequence[int], n: int) -> list[Words]:
    """Residues [moduli, n]: random, all 0, all q - 1, near half of q, and a mixture."""
    column = np.array(moduli, dtype=np.uint64)[:, None]
    shape = (len(moduli), n)
    random = generator.integers(0, column, shape, dtype=np.uint64)
    half = column // np.uint64(2) + generator.integers(0, 3, shape, dtype=np.uint64)
    extremes = np.where(generator.random(shape) < 0.5, 0, column - np.uint64(1)).astype(np.uint64)
    mixed = np.where(generator.random(shape) < 0.5, half, extremes)
    zero = np.zeros(shape, dtype=np.uint64)
    return [random, zero, zero + (column - np.uint64(1)), half, mixed]


def key_in_memory(key: Words, moduli: Sequence[int]) -> Words:
    """A key [digits, 2, rows, n] as the kernels read it; moduli: of its rows."""
    digits, polys, rows, n = key.shape
    data = _native.key_memory(digits, rows, n)
    for digit, poly, row in product(range(digits), range(polys), range(rows)):
        _native.store_key_row(data, row, digit, poly, key[digit, poly, row], moduli[row])
    return data
