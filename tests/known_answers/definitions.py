"""Arithmetic of the scheme from its definitions, with Python's integers only.

Polynomials are lists of coefficients modulo X^N + 1. An element of the real ring of degree N, a_0 +
sum of a_i (X^i + X^-i) modulo X^2N + 1, is a list of N coefficients as well, and ``doubled`` makes
the polynomial of it, in which everything is computed. It imports nothing of ours.
"""

from __future__ import annotations

import math
import random

Polynomial = list[int]

#: Bits after the point of all real numbers here.
POINT = 256


# --- primes and roots ----------------------------------------------------------------------------


def is_prime(n: int) -> bool:
    """By 40 rounds of Miller-Rabin with drawn bases: wrong with probability below 2^-80."""
    if n < 4 or n % 2 == 0:
        return n in (2, 3)
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    draw = random.Random(n)
    for _ in range(40):
        x = pow(2 + draw.getrandbits(64) % (n - 3), odd, n)
        seen = [x]
        for _ in range(twos - 1):
            seen.append(seen[-1] ** 2 % n)
        if x != 1 and n - 1 not in seen:
            return False
    return True


def primes_below(bits: int, n: int, count: int) -> list[int]:
    """The largest primes below 2^bits that are 1 modulo 2n."""
    found: list[int] = []
    candidate = 2**bits - 2**bits % (2 * n) + 1
    while len(found) < count:
        candidate -= 2 * n
        if is_prime(candidate):
            found.append(candidate)
    return found


def smallest_root(q: int, n: int) -> int:
    """The smallest primitive 2n-th root of unity modulo q."""
    base = 2
    while pow(base, (q - 1) // 2, q) == 1:  # 2n is a power of two: a non-residue will do
        base += 1
    root = pow(base, (q - 1) // (2 * n), q)
    return min(pow(root, odd, q) for odd in range(1, 2 * n, 2))


def reversed_bits(index: int, count: int) -> int:
    result = 0
    while count > 1:
        result, index, count = 2 * result + index % 2, index // 2, count // 2
    return result


# --- polynomials modulo X^N + 1 ------------------------------------------------------------------


def evaluations(c: Polynomial, q: int) -> Polynomial:
    """c at the odd powers of the smallest root, in bit-reversed order."""
    n, root = len(c), smallest_root(q, len(c))
    points = [pow(root, 2 * reversed_bits(i, n) + 1, q) for i in range(n)]
    return [sum(ck * pow(x, k, q) for k, ck in enumerate(c)) % q for x in points]


def product(a: Polynomial, b: Polynomial) -> Polynomial:
    """Over the integers, modulo X^N + 1."""
    out = [0] * len(a)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            place, sign = (i + j) % len(a), 1 if i + j < len(a) else -1
            out[place] += sign * x * y
    return out


def plus(*polynomials: Polynomial) -> Polynomial:
    return [sum(column) for column in zip(*polynomials, strict=True)]


def times(factor: int, a: Polynomial) -> Polynomial:
    return [factor * x for x in a]


def doubled(a: Polynomial) -> Polynomial:
    """All 2N coefficients of an element of the real ring: X^-i is -X^(2N - i)."""
    return [*a, 0, *(-x for x in reversed(a[1:]))]


def halved(a: Polynomial) -> Polynomial:
    """The element of the real ring with these 2N coefficients."""
    half = a[: len(a) // 2]
    if doubled(half) != a:
        raise ValueError("not an element of the real ring")
    return half


def substituted(a: Polynomial, exponent: int) -> Polynomial:
    """a(X^exponent)."""
    out = [0] * len(a)
    for i, x in enumerate(a):
        power = i * exponent % (2 * len(a))
        out[power % len(a)] = x if power < len(a) else -x
    return out


def residues(a: Polynomial, moduli: list[int]) -> list[Polynomial]:
    return [[x % q for x in a] for q in moduli]


def lifted(rows: list[Polynomial], moduli: list[int]) -> Polynomial:
    """The integers in [0, product) with these residues."""
    whole = math.prod(moduli)
    out = []
    for column in zip(*rows, strict=True):
        terms = (
            r * (whole // q) * pow(whole // q, -1, q) for r, q in zip(column, moduli, strict=True)
        )
        out.append(sum(terms) % whole)
    return out


def centred(x: int, modulus: int) -> int:
    """In (-modulus / 2, modulus / 2); the modulus is odd."""
    x %= modulus
    if abs(2 * x - modulus) * 2**30 < modulus:
        raise ValueError("too close to one half for a floating-point kernel: draw another seed")
    return x - modulus if 2 * x > modulus else x


def divided(a: Polynomial, divisor: int) -> Polynomial:
    """Rounded to nearest."""
    return [(x - centred(x, divisor)) // divisor for x in a]


# --- real numbers as integers over 2^POINT -------------------------------------------------------


def pi() -> int:
    """Machin's formula."""

    def arctan_of_inverse(x: int) -> int:
        one = 1 << (POINT + 32)
        term, total, k = one // x, 0, 0
        while term:
            total += (-1) ** k * term // (2 * k + 1)
            term, k = term // (x * x), k + 1
        return total

    return (4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))) >> 32


def cosine_and_sine(angle: int) -> tuple[int, int]:
    """Taylor series; the angle, in [0, 8), and both results over 2^POINT."""
    sums, term, k = [0, 0, 0, 0], 1 << POINT, 0
    while term:
        sums[k % 4] += term
        k += 1
        term = term * angle // (k << POINT)
    return sums[0] - sums[2], sums[1] - sums[3]


def unit(power: int, n: int) -> tuple[int, int]:
    """zeta^power, zeta = exp(i pi / n)."""
    return cosine_and_sine(pi() * (power % (2 * n)) // n)


def encoded(slots: list[int], point: int, log_scale: int) -> Polynomial:
    """Rounded coefficients of the element of the real ring with these values at zeta^(5^j).

    slots: over 2^point; zeta = exp(i pi / 2N). The mean of each value times the cosine of X^k.
    """
    n = len(slots)
    out = []
    for k in range(n):
        cosines = [unit(pow(5, j, 4 * n) * k, 2 * n)[0] for j in range(n)]
        number = sum(value * cosine for value, cosine in zip(slots, cosines, strict=True))
        divisor = n << (POINT + point - log_scale)
        rounded = (2 * number + divisor) // (2 * divisor)
        distance = abs(2 * (number - rounded * divisor))
        if (divisor - distance) * 2**12 < divisor:
            raise ValueError("too close to one half for floating point: draw another seed")
        out.append(rounded)
    return out


def decoded(a: Polynomial, point: int) -> list[int]:
    """Values at zeta^(5^j) over 2^point, rounded down; they are real."""
    n, out, whole = len(a), [], doubled(a)
    for j in range(n):
        units = [unit(pow(5, j, 4 * n) * k, 2 * n) for k in range(2 * n)]
        real, imaginary = (sum(x * u[i] for x, u in zip(whole, units, strict=True)) for i in (0, 1))
        if abs(imaginary) >> (POINT // 2):
            raise ValueError("a value of the real ring is not real")
        out.append(real >> (POINT - point))
    return out
