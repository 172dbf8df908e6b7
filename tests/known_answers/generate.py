"""Known answers from definitions, with Python's integers only. It imports nothing of ours.

    python tests/known_answers/generate.py > tests/known_answers/vectors.json

A test runs it again and compares. Polynomials are lists of coefficients, residues lie in [0, q).
"""

from __future__ import annotations

import json
import math
import random
import sys
from typing import Any

Polynomial = list[int]

N = 16
#: Sizes of the limbs and, after them, of the special primes.
LIMB_BITS, SPECIAL_BITS = (50, 43, 43, 43), (50, 50)
DIGIT_LIMBS = 2
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


def chain() -> list[int]:
    """Limbs, then special primes, each size taken in descending order."""
    sizes = LIMB_BITS + SPECIAL_BITS
    pools = {bits: iter(primes_below(bits, N, len(sizes))) for bits in set(sizes)}
    return [next(pools[bits]) for bits in sizes]


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


def encoded(slots: list[tuple[int, int]], point: int, log_scale: int) -> Polynomial:
    """Rounded coefficients of the real polynomial with these values at zeta^(5^j).

    slots: real and imaginary parts over 2^point.
    """
    n = 2 * len(slots)
    out = []
    for k in range(n):
        total = 0
        for j, (real, imaginary) in enumerate(slots):
            cosine, sine = unit(pow(5, j, 2 * n) * k, n)
            total += real * cosine + imaginary * sine  # Re(z conj(zeta^..))
        shift = POINT + point - log_scale
        number, divisor = 2 * total, n << shift
        rounded = (2 * number + divisor) // (2 * divisor)
        distance = abs(2 * (number - rounded * divisor))
        if (divisor - distance) * 2**12 < divisor:
            raise ValueError("too close to one half for floating point: draw another seed")
        out.append(rounded)
    return out


def decoded(a: Polynomial, point: int) -> list[tuple[int, int]]:
    """Values at zeta^(5^j) over 2^point, rounded down."""
    n, out = len(a), []
    for j in range(n // 2):
        units = [unit(pow(5, j, 2 * n) * k, n) for k in range(n)]
        parts = [sum(x * u[i] for x, u in zip(a, units, strict=True)) for i in range(2)]
        out.append((parts[0] >> (POINT - point), parts[1] >> (POINT - point)))
    return out


# --- vectors -------------------------------------------------------------------------------------


def drawn(draw: random.Random, bound: int) -> Polynomial:
    """Uniform below the bound, and the extremes."""
    return [0, 1, bound - 1, *(draw.getrandbits(80) % bound for _ in range(N - 3))]


def arithmetic(draw: random.Random, q: int) -> dict[str, Any]:
    a, b = drawn(draw, q), drawn(draw, q)[::-1]
    return {
        "q": q,
        "a": a,
        "b": b,
        "sum": [(x + y) % q for x, y in zip(a, b, strict=True)],
        "difference": [(x - y) % q for x, y in zip(a, b, strict=True)],
        "product": [x * y % q for x, y in zip(a, b, strict=True)],
    }


def transform(draw: random.Random, q: int) -> dict[str, Any]:
    a, b = drawn(draw, q), drawn(draw, q)
    return {
        "q": q,
        "root": smallest_root(q, N),
        "coefficients": a,
        "values": evaluations(a, q),
        "other": b,
        "product": [x % q for x in product(a, b)],
        "turned": {str(g): [x % q for x in substituted(a, g)] for g in (5, 25, 2 * N - 1)},
    }


def digits_of(a: list[Polynomial], moduli: list[int]) -> list[Polynomial]:
    """Centred digits, as integers, of a polynomial given by its residues."""
    found = []
    for first in range(0, len(moduli), DIGIT_LIMBS):
        part = moduli[first : first + DIGIT_LIMBS]
        whole = math.prod(part)
        found.append([centred(x, whole) for x in lifted(a[first : first + DIGIT_LIMBS], part)])
    return found


def extension(draw: random.Random, moduli: list[int], limbs: int) -> dict[str, Any]:
    own, rows = moduli[:limbs], [*moduli[:limbs], *moduli[len(LIMB_BITS) :]]
    a = [[*drawn(draw, q)[3:], 0, 1, q - 1] for q in own]
    return {
        "limbs": limbs,
        "digit_limbs": DIGIT_LIMBS,
        "coefficients": a,
        "digits": [residues(digit, rows) for digit in digits_of(a, own)],
    }


def division(draw: random.Random, moduli: list[int], rows: list[int], dropped: int) -> Any:
    chosen = [moduli[row] for row in rows]
    whole = drawn(draw, math.prod(chosen))
    kept, divisor = chosen[:-dropped], math.prod(chosen[-dropped:])
    return {
        "rows": rows,
        "dropped": dropped,
        "coefficients": residues(whole, chosen),
        "result": residues(divided(whole, divisor), kept),
    }


def switching(draw: random.Random, moduli: list[int], limbs: int, galois: int) -> dict[str, Any]:
    """A whole key switch, from s(X^galois) (or s^2) to s, as the evaluator does it.

    The key belongs to s(X^(1/galois)), and the result is turned at the end.
    """
    own, specials = moduli[:limbs], moduli[len(LIMB_BITS) :]
    rows, special = [*own, *specials], math.prod(specials)
    whole, everything = math.prod(own), math.prod(own) * special
    secret = [draw.getrandbits(8) % 3 - 1 for _ in range(N)]
    if galois:
        target, source = substituted(secret, pow(galois, -1, 2 * N)), secret
    else:
        target, source = secret, product(secret, secret)
    c = [draw.getrandbits(400) % whole for _ in range(N)]
    addend = [draw.getrandbits(400) % whole for _ in range(N)]
    digits = digits_of(residues(c, own), own)
    key = []
    for number in range(len(digits)):
        part = own[number * DIGIT_LIMBS : (number + 1) * DIGIT_LIMBS]
        rest = whole // math.prod(part)
        gadget = special * rest * pow(rest, -1, math.prod(part))  # P modulo the part, else 0
        uniform = [draw.getrandbits(600) % everything for _ in range(N)]
        error = [draw.getrandbits(8) % 43 - 21 for _ in range(N)]
        body = plus(error, times(gadget, source), times(-1, product(uniform, target)))
        key.append([body, uniform])
    halves = []
    for half in range(2):
        total = times(special, addend) if half == 0 else [0] * N
        for digit, pair in zip(digits, key, strict=True):
            total = plus(total, product(digit, pair[half]))
        if galois:
            total = substituted(total, galois)
        halves.append(divided([x % everything for x in total], special))
    wanted = plus(addend, product(c, source))
    if galois:
        wanted = substituted(wanted, galois)
    phase = plus(halves[0], product(halves[1], secret))
    noise = [centred(x - y, whole) for x, y in zip(phase, wanted, strict=True)]
    if max(map(abs, noise)) > 2**20:
        raise ValueError("this is not a key switch")
    return {
        "limbs": limbs,
        "galois": galois,
        "coefficients": residues(c, own),
        "addend": residues(addend, own),
        "key": [[residues(half, rows) for half in pair] for pair in key],
        "result": [residues(half, own) for half in halves],
    }


def encoding(draw: random.Random) -> dict[str, Any]:
    point, log_scale = 20, 40
    slots = [(draw.getrandbits(22) - 2**21, draw.getrandbits(22) - 2**21) for _ in range(N // 2)]
    coefficients = encoded(slots, point, log_scale)
    return {
        "point": point,
        "log_scale": log_scale,
        "slots": slots,
        "coefficients": coefficients,
        "decoded_point": 60,
        "decoded": decoded(coefficients, 60),
    }


def vectors() -> dict[str, Any]:
    draw, moduli = random.Random(2024), chain()
    return {
        "n": N,
        "moduli": moduli,
        "limbs": len(LIMB_BITS),
        "primes": [
            {"bits": bits, "n": n, "primes": primes_below(bits, n, 8)}
            for bits, n in ((43, 65536), (50, 65536), (30, 4096), (43, 16))
        ],
        "arithmetic": [arithmetic(draw, q) for q in (moduli[0], moduli[1], 786433)],
        "transforms": [transform(draw, q) for q in (moduli[0], moduli[1], 786433)],
        "extension": [extension(draw, moduli, limbs) for limbs in (4, 3)],
        "division": [
            division(draw, moduli, rows, dropped)
            for rows, dropped in (([0, 1, 2, 3], 1), ([0, 1, 2, 3, 4, 5], 2), ([0, 1, 4, 5], 3))
        ],
        "switching": [switching(draw, moduli, limbs, g) for limbs, g in ((4, 0), (4, 5), (3, 31))],
        "encoding": encoding(draw),
    }


def text() -> str:
    """The file's content: one line for each innermost list."""
    return json.dumps(vectors(), separators=(",", ":")).replace("],", "],\n") + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
