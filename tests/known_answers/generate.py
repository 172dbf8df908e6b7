"""Known answers from definitions, with Python's integers only. It imports nothing of ours.

    python -m tests.known_answers.generate > tests/known_answers/vectors.json

A test runs it again and compares. Residues lie in [0, q).
"""

from __future__ import annotations

import json
import math
import random
import sys
from typing import Any

from tests.known_answers.definitions import (
    Polynomial,
    centred,
    decoded,
    divided,
    doubled,
    encoded,
    evaluations,
    halved,
    lifted,
    plus,
    primes_below,
    product,
    residues,
    smallest_root,
    substituted,
    times,
)

N = 16
#: Sizes of the limbs and, after them, of the special primes.
LIMB_BITS, SPECIAL_BITS = (50, 43, 43, 43), (50, 50)
DIGIT_LIMBS = 2


def chain() -> list[int]:
    """Limbs, then special primes, each size taken in descending order; all are 1 modulo 4N."""
    sizes = LIMB_BITS + SPECIAL_BITS
    pools = {bits: iter(primes_below(bits, 2 * N, len(sizes))) for bits in set(sizes)}
    return [next(pools[bits]) for bits in sizes]


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


def real_transform(draw: random.Random, q: int) -> dict[str, Any]:
    """As `transform`, in the real ring: the values at inverse roots are the same."""
    a, b = drawn(draw, q), drawn(draw, q)
    values = evaluations(doubled(a), q)
    if sorted(values[N:]) != sorted(values[:N]):
        raise ValueError("not the values of an element of the real ring")
    return {
        "q": q,
        "root": smallest_root(q, 2 * N),
        "coefficients": a,
        "values": values[:N],
        "other": b,
        "product": [x % q for x in halved(product(doubled(a), doubled(b)))],
        "turned": {
            str(g): [x % q for x in halved(substituted(doubled(a), g))]
            for g in (5, 25, pow(5, N - 1, 4 * N))
        },
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
    """A whole key switch in the real ring, from s(X^galois) (or s^2) to s, as the evaluator does
    it: the key belongs to s(X^(1/galois)), and the result is turned at the end.
    """

    def real_product(a: Polynomial, b: Polynomial) -> Polynomial:
        return halved(product(doubled(a), doubled(b)))

    def turned(a: Polynomial, exponent: int) -> Polynomial:
        return halved(substituted(doubled(a), exponent))

    own, specials = moduli[:limbs], moduli[len(LIMB_BITS) :]
    rows, special = [*own, *specials], math.prod(specials)
    whole, everything = math.prod(own), math.prod(own) * special
    secret = [draw.getrandbits(8) % 3 - 1 for _ in range(N)]
    if galois:
        target, source = turned(secret, pow(galois, -1, 4 * N)), secret
    else:
        target, source = secret, real_product(secret, secret)
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
        body = plus(error, times(gadget, source), times(-1, real_product(uniform, target)))
        key.append([body, uniform])
    halves = []
    for half in range(2):
        total = times(special, addend) if half == 0 else [0] * N
        for digit, pair in zip(digits, key, strict=True):
            total = plus(total, real_product(digit, pair[half]))
        if galois:
            total = turned(total, galois)
        halves.append(divided([x % everything for x in total], special))
    wanted = plus(addend, real_product(c, source))
    if galois:
        wanted = turned(wanted, galois)
    phase = plus(halves[0], real_product(halves[1], secret))
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
    slots = [draw.getrandbits(22) - 2**21 for _ in range(N)]
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
        "real transforms": [real_transform(draw, q) for q in (moduli[0], moduli[1], 786433)],
        "extension": [extension(draw, moduli, limbs) for limbs in (4, 3)],
        "division": [
            division(draw, moduli, rows, dropped)
            for rows, dropped in (([0, 1, 2, 3], 1), ([0, 1, 2, 3, 4, 5], 2), ([0, 1, 4, 5], 3))
        ],
        "switching": [switching(draw, moduli, limbs, g) for limbs, g in ((4, 0), (4, 5), (3, 61))],
        "encoding": encoding(draw),
    }


def text() -> str:
    """The file's content: one line for each innermost list."""
    return json.dumps(vectors(), separators=(",", ":")).replace("],", "],\n") + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
