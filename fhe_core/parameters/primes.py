"""NTT-friendly primes: q = 1 mod 2N, below and closest to a power of two."""

from __future__ import annotations

from collections.abc import Iterator

# Deterministic Miller-Rabin bases for every n < 3.3e24 (Sorenson and Webster 2015).
_BASES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)


def is_prime(n: int) -> bool:
    """Primality for 0 <= n < 2**64, without error."""
    if n < 2:
        return False
    for p in _BASES:
        if n % p == 0:
            return n == p
    d, s = n - 1, 0
    while d % 2 == 0:
        d, s = d // 2, s + 1
    for base in _BASES:
        x = pow(base, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(s - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def ntt_primes(bits: int, ring_dimension: int) -> Iterator[int]:
    """Primes q = 1 mod 2N just below 2**bits, in descending order, all above 2**(bits - 1)."""
    step = 2 * ring_dimension
    candidate = (1 << bits) - step + 1
    while candidate > 1 << (bits - 1):
        if is_prime(candidate):
            yield candidate
        candidate -= step
