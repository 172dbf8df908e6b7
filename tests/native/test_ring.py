"""Every primitive of the extension's Context against Python integers, at small sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.parameters.primes import ntt_primes
from tests.helpers import (
    Integers,
    Words,
    adversarial,
    ambiguous,
    bit_reversed,
    centred,
    crt,
    distinct_primes,
    doubled,
    integers,
    key_in_memory,
    negacyclic,
    real_product,
    real_substituted,
    reduced,
    substituted,
)

# Six limbs and three special primes of mixed sizes; the largest are just below the bound 2^50.
BITS = (50, 43, 43, 30, 43, 22, 50, 50, 49)
LIMBS, SPECIALS = list(range(6)), [6, 7, 8]
SIZES = [16, 32, 256, 1024]
KINDS = ["standard", "real"]

Index = NDArray[np.uint32]
Signed = NDArray[np.int64]


@dataclass(frozen=True)
class Ring:
    """A context and its moduli."""

    n: int
    threads: int = 1
    bits: Sequence[int] = BITS
    kind: str = "standard"
    moduli: list[int] = field(init=False)
    context: _native.Context = field(init=False)

    def __post_init__(self) -> None:
        moduli = distinct_primes(self.bits, self.order // 2)
        context = _native.Context(self.n, moduli, self.threads, ring=self.kind)
        object.__setattr__(self, "moduli", moduli)
        object.__setattr__(self, "context", context)

    @property
    def order(self) -> int:
        """Of the roots of unity."""
        return 4 * self.n if self.kind == "real" else 2 * self.n

    def product(self, a: Integers, b: Integers, q: int) -> Integers:
        return (real_product if self.kind == "real" else negacyclic)(a, b, q)

    def permutation(self, element: int) -> Index:
        return _native.galois_permutation(self.n, element, self.kind)

    def of(self, rows: Sequence[int]) -> list[int]:
        return [self.moduli[r] for r in rows]

    def random(self, seed: int, rows: Sequence[int], *shape: int) -> Words:
        """[*shape, rows, n]"""
        column = np.array(self.of(rows), dtype=np.uint64)[:, None]
        size = (*shape, len(rows), self.n)
        return np.random.default_rng(seed).integers(0, column, size, dtype=np.uint64)

    def column(self, rows: Sequence[int]) -> Integers:
        return integers(np.array(self.of(rows), dtype=np.uint64))[:, None]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SIZES)
def ring(request: pytest.FixtureRequest, kind: str) -> Ring:
    return Ring(request.param, kind=kind)


def equal(actual: Words, expected: Integers) -> bool:
    return actual.dtype == np.uint64 and np.array_equal(integers(actual), expected)


# --- transforms and pointwise operations ----------------------------------------------------------


@pytest.mark.parametrize("n", [16, 64])
def test_ntt_evaluates_at_odd_powers_in_bit_reversed_order(n: int) -> None:
    ring, rows = Ring(n), [2, 0, 5, 2]
    values = ring.random(1, rows)
    for got, row, q in zip(
        ring.context.ntt_forward(values, rows), values, ring.of(rows), strict=True
    ):
        psi = _native.kernels.Kernels("scalar", n, q).psi
        points = [pow(psi, 2 * bit_reversed(i, n) + 1, q) for i in range(n)]
        expected = [sum(int(c) * pow(x, j, q) for j, c in enumerate(row)) % q for x in points]
        assert got.tolist() == expected


@pytest.mark.parametrize("n", [16, 64])
def test_the_real_ring_is_evaluated_at_powers_that_are_one_modulo_four(n: int) -> None:
    ring, rows = Ring(n, kind="real"), [2, 0, 5, 2]
    values = ring.random(1, rows)
    for got, row, q in zip(
        ring.context.ntt_forward(values, rows), values, ring.of(rows), strict=True
    ):
        psi = _native.kernels.Kernels("scalar", 2 * n, q).psi
        points = [pow(psi, 4 * bit_reversed(i, n) + 1, q) for i in range(n)]
        pairs = [[pow(x, j, q) + pow(x, -j, q) if j else 1 for j in range(n)] for x in points]
        expected = integers(np.array(pairs, dtype=object)) @ integers(row) % q
        assert got.tolist() == expected.tolist()


def test_the_kind_of_ring_is_named() -> None:
    for call in (
        lambda: _native.Context(16, distinct_primes([30], 32), 1, ring="Real"),
        lambda: _native.galois_permutation(16, 5, "complex"),
    ):
        with pytest.raises(ValueError, match='"standard" or "real"'):
            call()
    q = next(q for q in ntt_primes(30, 32) if q % 128 != 1)
    with pytest.raises(ValueError, match="is not 1 mod 128"):
        _native.Context(32, [q], 1, ring="real")


def test_products_are_those_of_the_ring_and_transforms_invert(ring: Ring) -> None:
    rows = [3, 0, 8, 5]
    for seed, special in enumerate((0, 1)):
        a, b = ring.random(seed, rows), ring.random(seed + 10, rows)
        if special:
            a[:] = np.array(ring.of(rows), dtype=np.uint64)[:, None] - np.uint64(1)
        context = ring.context
        left, right = context.ntt_forward(a, rows), context.ntt_forward(b, rows)
        assert np.array_equal(context.ntt_inverse(left, rows), a)
        product = context.ntt_inverse(context.multiply(left, right, rows), rows)
        for i, q in enumerate(ring.of(rows)):
            assert equal(product[i], ring.product(integers(a[i]), integers(b[i]), q))


def test_pointwise_operations(ring: Ring) -> None:
    rows = [8, 1, 5]
    q = ring.column(rows)
    for a in adversarial(np.random.default_rng(2), ring.of(rows), ring.n):
        b = ring.random(3, rows)
        b[:, 0], b[:, 1] = a[:, 0], 0
        for name, operation in (
            ("add", lambda x, y: x + y),
            ("subtract", lambda x, y: x - y),
            ("multiply", lambda x, y: x * y),
        ):
            got = getattr(ring.context, name)(a, b, rows)
            assert equal(got, operation(integers(a), integers(b)) % q), name


def test_multiply_scalars_reduces_factors_and_takes_residues_of_other_moduli(ring: Ring) -> None:
    rows = [5, 0, 3, 6]
    for factors in ([0, 1, 2**64 - 1, 2**50], [q - 1 for q in ring.of(rows)], [3, 5, 7, 11]):
        for a in adversarial(np.random.default_rng(1), [ring.moduli[0]] * 4, ring.n):
            expected = integers(a) * integers(np.array(factors, np.uint64))[:, None]
            got = ring.context.multiply_scalars(a, factors, rows)
            assert equal(got, expected % ring.column(rows))


def test_embed_signed_takes_every_int64(ring: Ring) -> None:
    values = np.random.default_rng(4).integers(-(2**63), 2**63 - 1, ring.n, dtype=np.int64)
    edges = [-(2**63), 2**63 - 1, -1, 0, 1, -(2**62), 2**62, -ring.moduli[0], ring.moduli[0]]
    values[: len(edges)] = edges
    rows = [5, 0, 8, 3]
    residues = ring.context.ntt_inverse(ring.context.embed_signed(values, rows), rows)
    assert equal(residues, integers(reduced(integers(values), ring.of(rows))))


def test_plaintexts_join_ciphertexts(ring: Ring) -> None:
    rows = LIMBS[:3]
    q, values = ring.column(rows), np.random.default_rng(5).integers(-(2**50), 2**50, ring.n)
    for a in adversarial(np.random.default_rng(6), ring.of(rows), ring.n):
        both = np.stack([a, ring.random(7, rows)])
        plain = integers(ring.context.embed_signed(values, rows))
        total = np.stack([(integers(both[0]) + plain) % q, integers(both[1])])
        assert equal(ring.context.add_plain(both, values, rows), total)
        assert equal(ring.context.multiply_plain(both, values, rows), integers(both) * plain % q)


@pytest.mark.parametrize("kind", ["standard", "real"])
@pytest.mark.parametrize("n", [16, 64, 4096])
def test_short_plaintexts_are_added_as_their_spread_out_ones(kind: str, n: int) -> None:
    moduli = [q for q, _ in zip(ntt_primes(50, 2 * n), range(2), strict=False)]
    context = _native.Context(n, moduli, 2, ring=kind)
    random = np.random.default_rng(n)
    a = np.stack([random.integers(0, q, (2, n), dtype=np.uint64) for q in moduli], axis=1)
    size = 1
    while size <= n:
        values = random.integers(-(2**62), 2**62, size)
        whole = np.zeros(n, dtype=np.int64)
        whole[:: n // size] = values
        expected = a.copy()
        expected[0] = context.add(a[0], context.embed_signed(whole, [0, 1]), [0, 1])
        assert np.array_equal(context.add_plain(a, values, [0, 1]), expected), size
        size *= 2


# --- automorphisms --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [16, 128, 1024])
def test_permutation_is_substitution(n: int) -> None:
    ring, rows = Ring(n), [0, 3, 3]
    a = ring.random(5, rows)
    values = ring.context.ntt_forward(a, rows)
    exponents = range(1, 2 * n, 2) if n == 16 else (1, 3, 5, pow(5, 7, 2 * n), n + 1, 2 * n - 1)
    for exponent in exponents:
        index = _native.galois_permutation(n, exponent)
        assert sorted(index.tolist()) == list(range(n))
        moved = ring.context.ntt_inverse(ring.context.permute(values, index), rows)
        for i, q in enumerate(ring.of(rows)):
            assert equal(moved[i], substituted(integers(a[i]), exponent, q))


@pytest.mark.parametrize("n", [16, 128, 1024])
def test_permutation_of_the_real_ring_is_substitution(n: int) -> None:
    ring, rows = Ring(n, kind="real"), [0, 3, 3]
    a = ring.random(5, rows)
    values = ring.context.ntt_forward(a, rows)
    powers = range(n) if n == 16 else (0, 1, 2, 7, n // 2, n - 1)
    assert len({pow(5, r, 4 * n) for r in range(n)}) == n
    for exponent in (pow(5, r, 4 * n) for r in powers):
        index = ring.permutation(exponent)
        assert sorted(index.tolist()) == list(range(n))
        assert np.array_equal(index, _native.galois_permutation(2 * n, exponent)[:n])
        moved = ring.context.ntt_inverse(ring.context.permute(values, index), rows)
        for i, q in enumerate(ring.of(rows)):
            assert equal(moved[i], real_substituted(integers(a[i]), exponent, q))


@pytest.mark.parametrize("element", [0, 2, 3, 4 * 16 - 1, 4 * 16 + 1])
def test_elements_that_are_not_one_modulo_four_are_refused_in_the_real_ring(element: int) -> None:
    with pytest.raises(ValueError, match="1 mod 4"):
        _native.galois_permutation(16, element, "real")


def test_permutations_compose() -> None:
    n = 64
    first, second = _native.galois_permutation(n, 5), _native.galois_permutation(n, 77)
    assert np.array_equal(first[second], _native.galois_permutation(n, 5 * 77 % (2 * n)))


# --- basis changes --------------------------------------------------------------------------------


def rounding_cases(ring: Ring, rows: Sequence[int], dropped: int) -> list[Words]:
    """Coefficients [rows, n], and among them values whose remainder is 0, 1, -1 or half of D."""
    moduli = ring.of(rows)
    generator = np.random.default_rng(len(rows))
    cases = adversarial(generator, moduli, ring.n)
    divisor, rest = math.prod(moduli[-dropped:]), math.prod(moduli[:-dropped])
    half = divisor // 2
    tails = [0, 1, divisor - 1, half - 1, half, half + 1, half + 2, half - (half >> 30)]
    quotients = [0, 1, rest - 1, rest // 2, rest // 2 + 1]
    values = [k * divisor + t for k in quotients for t in tails]
    cases.append(reduced(np.resize(np.array(values, dtype=object), ring.n), moduli))
    return cases


@pytest.mark.parametrize("n", [16, 256])
@pytest.mark.parametrize("rows", [[0, 1], [0, 1, 2, 3], [*LIMBS, *SPECIALS], [4, 8, 5, 7, 0]])
def test_divide_and_round_is_exact(n: int, rows: list[int], kind: str) -> None:
    ring = Ring(n, kind=kind)
    for dropped in range(1, len(rows)):
        moduli = ring.of(rows)
        divisor, kept = math.prod(moduli[-dropped:]), moduli[:-dropped]
        cases = np.stack(rounding_cases(ring, rows, dropped))
        values = np.stack([ring.context.ntt_forward(c, rows) for c in cases])
        divided = ring.context.divide_and_round(values, rows, rows[:-dropped])
        assert divided.shape == (len(cases), len(rows) - dropped, n)
        for case, result in zip(cases, divided, strict=True):
            whole = crt(case, moduli)
            remainder = centred(whole % divisor, divisor)
            expected = (whole - remainder) // divisor
            got = centred(
                crt(ring.context.ntt_inverse(result, rows[:-dropped]), kept) - expected,
                math.prod(kept),
            )
            either = ambiguous(remainder, divisor)  # there the other neighbour is as good
            other = np.where([int(r) > 0 for r in remainder], 1, -1)
            assert np.all((got == 0) | (either & (got == other)))


#: Rows of x and of the result: some go and others come, in any order.
CHANGES = [
    ([0, 1, 2], [0, 1, 5]),  # a row is exchanged
    ([0, 1, 2, 4], [0, 3]),
    ([0, 1, 5, *SPECIALS], [0, 4]),
    ([0, 1, 5, *SPECIALS], [0, 5]),  # what stays need not come first
    ([0, 1, 5], [5, 4, 3, 0]),  # to a larger modulus
    ([0], [1]),
]


@pytest.mark.parametrize("multiple", [1, 2**61 + 1, 3 * 2**150])
@pytest.mark.parametrize(("rows", "wanted"), CHANGES)
def test_division_to_other_rows_is_exact(
    rows: list[int], wanted: list[int], multiple: int, kind: str
) -> None:
    """round(k x Q' / Q) modulo Q', whatever primes the two have."""
    ring = Ring(64, kind=kind)
    moduli, kept = ring.of(rows), ring.of(wanted)
    added = math.prod(ring.of([row for row in wanted if row not in rows]))
    divisor = math.prod(ring.of([row for row in rows if row not in wanted]))
    factors = [multiple % q for q in moduli] if multiple > 1 else []
    for case in rounding_cases(ring, rows, 1):
        values = ring.context.ntt_forward(case, rows)[None]
        (result,) = ring.context.divide_and_round(values, rows, wanted, factors)
        whole = crt(case, moduli) * (added * multiple)
        remainder = centred(whole % divisor, divisor)
        expected = (whole - remainder) // divisor
        got = centred(
            crt(ring.context.ntt_inverse(result, wanted), kept) - expected, math.prod(kept)
        )
        either = ambiguous(remainder, divisor)
        other = np.where([int(r) > 0 for r in remainder], 1, -1)
        assert np.all((got == 0) | (either & (got == other)))


@pytest.mark.parametrize(
    ("limbs", "digit_limbs", "specials"),
    [(1, 1, [6]), (2, 3, [6, 7]), (6, 2, [6]), (6, 4, SPECIALS), (5, 5, SPECIALS), (3, 1, [8, 6])],
)
@pytest.mark.parametrize("n", [16, 512])
def test_digits_are_extended_by_their_centred_value(
    n: int, limbs: int, digit_limbs: int, specials: list[int], kind: str
) -> None:
    ring = Ring(n, kind=kind)
    own, rows = list(range(limbs)), [*range(limbs), *specials]
    cases = adversarial(np.random.default_rng(n), ring.of(own), n)
    for first in range(0, limbs, digit_limbs):  # values next to half of each digit
        part = own[first : first + digit_limbs]
        half = math.prod(ring.of(part)) // 2
        case = cases[0].copy()
        near = [0, 1, half - 1, half, half + 1, half + 2, half - (half >> 30)]
        case[part] = reduced(np.resize(np.array(near, dtype=object), n), ring.of(part))
        cases.append(case)
    for case in cases:
        digits = ring.context.decompose(
            ring.context.ntt_forward(case, own),
            own,
            digit_limbs,
            -(-limbs // digit_limbs),
            specials,
        )
        assert digits.shape == (-(-limbs // digit_limbs), len(rows), n)
        for number, digit in enumerate(digits):
            part = own[number * digit_limbs : (number + 1) * digit_limbs]
            product = math.prod(ring.of(part))
            value = centred(crt(case[part], ring.of(part)), product)
            flipped = np.where([int(v) > 0 for v in value], value - product, value + product)
            either = ambiguous(value, product)
            residues = ring.context.ntt_inverse(digit, rows)
            right = np.all(residues == reduced(value, ring.of(rows)), axis=0)
            also = np.all(residues == reduced(flipped, ring.of(rows)), axis=0)
            assert np.all(right | (either & also))


def spoilt(digits: Words, limbs: int, digit_limbs: int) -> Words:
    """With ones where a digit covers a limb itself."""
    result = digits.copy()
    for row in range(limbs):
        result[min(row // digit_limbs, len(digits) - 1), row] = 1
    return result


@pytest.mark.parametrize(
    ("digit_limbs", "digits"), [(1, 5), (2, 3), (2, 2), (4, 1), (5, 1), (7, 1)]
)
def test_rows_that_a_digit_covers_are_read_from_their_source(digit_limbs: int, digits: int) -> None:
    ring, own, rows = Ring(64), list(range(5)), [*range(5), *SPECIALS]
    context, how = ring.context, (digit_limbs, digits, SPECIALS)
    ciphertext, key = ring.random(1, own, 2), ring.random(2, rows, digits, 2)
    whole = context.decompose(ciphertext[1], own, *how)
    part = context.extend(ciphertext[1], own, *how)
    assert np.array_equal(spoilt(part, 5, digit_limbs), spoilt(whole, 5, digit_limbs))
    part = spoilt(part, 5, digit_limbs)
    index, p = _native.galois_permutation(64, 5), [3] * 5
    rest = (own, SPECIALS, key_in_memory(key, ring.of(rows)), rows, ciphertext[:1], p, index, None)
    switched = context.switch_key(part, *rest, source=ciphertext[1], digit_limbs=digit_limbs)
    assert np.array_equal(switched, context.switch_key(whole, *rest))
    transform = _native.Transform(
        [], [(0, -1)], [np.array([(0, 0)], dtype=np.uint32)], np.ones((1, 8), dtype=np.int64)
    )
    babies = [(0, index, rest[2], rows)]
    found, expected = (
        context.accumulate(transform, [(ciphertext, d)], babies, own, SPECIALS, p, limbs)
        for d, limbs in ((part, digit_limbs), (whole, 0))
    )
    assert np.array_equal(found, expected)


# --- key switching --------------------------------------------------------------------------------


def stored(rows: Sequence[int], key_rows: Sequence[int]) -> list[int]:
    """Where a key with those rows has the ones of a ciphertext."""
    return [key_rows.index(row) for row in rows]


def inner_product(digits: Words, key: Words, chosen: list[int]) -> Integers:
    """[2, rows, n], not reduced; key [digits, 2, rows, n]."""
    part = integers(key[: digits.shape[0]][:, :, chosen])
    total: Integers = (integers(digits)[:, None] * part).sum(axis=0)
    return total


def test_tensor(ring: Ring) -> None:
    rows = LIMBS[:4]
    q = ring.column(rows)
    for a in adversarial(np.random.default_rng(0), ring.of(rows), ring.n):
        left, right = np.stack([a, ring.random(1, rows)]), ring.random(2, rows, 2)
        (a0, a1), (b0, b1) = integers(left), integers(right)
        expected = np.stack([a0 * b0, a0 * b1 + a1 * b0, a1 * b1]) % q
        assert equal(ring.context.tensor(left, right, rows), expected)


@pytest.mark.parametrize("digits", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("polys", [0, 1, 2])
@pytest.mark.parametrize("galois", [0, 5, 2 * 64 - 1])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("extended", [False, True])
def test_switch_key(digits: int, polys: int, galois: int, adds: bool, extended: bool) -> None:
    """Of a ciphertext whose limbs are not the first ones, with a key that has them elsewhere."""
    ring, limbs, own = Ring(64), 3, [0, 1, 4]
    rows, key_rows = [*own, *SPECIALS], [*SPECIALS, 4, 3, 0, 1]
    d, addend = (
        ring.random(1, rows, digits),
        ring.random(2, rows if extended else own, polys),
    )
    key, p = ring.random(3, key_rows, digits + 1, 2), [7, 2**42, ring.moduli[4] - 1]
    expected = inner_product(d, key, stored(rows, key_rows))
    if extended:
        expected[:polys] += integers(addend)
    else:
        expected[:polys, :limbs] += integers(addend) * np.array(p, dtype=object)[:, None]
    index = _native.galois_permutation(64, galois) if galois else None
    if index is not None:
        expected = expected[..., index]
    base = ring.random(4, rows, 2) if adds else None
    if base is not None:
        expected = expected + integers(base)
    stored_key = key_in_memory(key, ring.of(key_rows))
    got = ring.context.switch_key(d, own, SPECIALS, stored_key, key_rows, addend, p, index, base)
    assert equal(got, expected % ring.column(rows))
    assert base is None or np.shares_memory(base, got)


# --- the fused linear transform -------------------------------------------------------------------


@dataclass(frozen=True)
class Transform:
    """Arguments of Context.accumulate, and the slow way to the same sums."""

    ring: Ring
    limbs: int
    specials: list[int]
    inputs: list[tuple[Words, Words]]
    #: (input, permutation, key [digits, 2, rows, n], rows of the key)
    babies: list[tuple[int, Index | None, Words | None, list[int]]]
    masks: list[Signed]
    terms: list[tuple[int, int]]
    outputs: list[Index]
    weights: Signed
    keys: dict[int, Words] = field(default_factory=dict)
    kept: list[_native.Kept] = field(default_factory=list)

    @property
    def rows(self) -> list[int]:
        return [*range(self.limbs), *self.specials]

    @property
    def p_mod_q(self) -> list[int]:
        product = math.prod(self.ring.of(self.specials))
        return [product % q for q in self.ring.moduli[: self.limbs]]

    def run(self) -> Words:
        sums = self.ring.context.accumulate(
            _native.Transform(self.masks, self.terms, self.outputs, self.weights, self.kept),
            self.inputs,
            [(i, index, self.stored(key, rows), rows) for i, index, key, rows in self.babies],
            self.rows[: self.limbs],
            self.specials,
            self.p_mod_q,
        )
        return np.stack(sums)

    def stored(self, key: Words | None, key_rows: list[int]) -> Words | None:
        if key is None:
            return None
        if id(key) not in self.keys:  # a key that several babies share is shared in memory
            self.keys[id(key)] = key_in_memory(key, self.ring.of(key_rows))
        return self.keys[id(key)]

    def expected(self) -> Integers:
        q = self.ring.column(self.rows)
        p = np.array(self.p_mod_q, dtype=object)[:, None]
        babies = []
        for number, index, key, key_rows in self.babies:
            ciphertext, digits = self.inputs[number]
            if index is None or key is None:
                baby = integers(np.zeros((2, len(self.rows), self.ring.n), dtype=np.int64))
                baby[:, : self.limbs] = integers(ciphertext) * p
            else:
                baby = inner_product(digits, key, stored(self.rows, key_rows))
                baby[0, : self.limbs] += integers(ciphertext[0]) * p
                baby = baby[..., index]
            babies.append(baby % q)
        masks = [integers(self.ring.context.embed_signed(m, self.rows)) for m in self.masks]
        terms = [babies[b] * masks[m] % q if m >= 0 else babies[b] for b, m in self.terms]
        spread = np.zeros((len(self.weights), self.ring.n), dtype=np.int64)
        spread[:, :: self.ring.n // self.weights.shape[1]] = self.weights
        weights = [integers(self.ring.context.embed_signed(w, self.rows)) for w in spread]
        out = integers(np.zeros((len(self.outputs), 2, len(self.rows), self.ring.n), np.int64))
        for o, entries in enumerate(self.outputs):
            for term, weight in entries.tolist():
                out[o] = (out[o] + terms[term] * weights[weight]) % q
        return out


def transform(ring: Ring, period: int, *, limbs: int = 3, log_weight: int = 62) -> Transform:
    """Two inputs (one without digits), plain and rotated babies, masks, empty and full outputs."""
    n = ring.n
    specials, rows = SPECIALS[:2], [*range(limbs), *SPECIALS[:2]]
    key_rows = [*range(limbs + 1), *specials]
    digits = ring.random(1, rows, 2)
    ciphertexts = ring.random(2, list(range(limbs)), 2, 2)
    babies: list[tuple[int, Index | None, Words | None, list[int]]] = [
        (0, None, None, []),
        (1, None, None, []),
        *(
            (
                0,
                ring.permutation(pow(5, r, ring.order)),
                ring.random(r, key_rows, 2, 2),
                key_rows,
            )
            for r in (1, 3, n // 4)
        ),
    ]
    generator = np.random.default_rng(n + period)
    masks = [generator.integers(-(2**50), 2**50, n, dtype=np.int64) for _ in range(2)]
    masks[1][:4] = [-(2**50), 2**50 - 1, 0, -1]
    terms = [(b, -1) for b in range(5)] + [(0, 0), (2, 0), (4, 1)]
    largest = 2**log_weight
    weights = generator.integers(-largest, largest, (7, period), dtype=np.int64)
    weights[:2, :4] = [[largest - 1, -largest, 0, -1], [0, 0, 0, 0]]
    outputs = [
        np.array([(t, w) for t in range(8) for w in (t % 7, 6)], dtype=np.uint32),
        np.empty((0, 2), dtype=np.uint32),
        np.array([(0, 1)], dtype=np.uint32),  # an identity alone: no residue modulo the specials
        np.array([(7, 0), (7, 0), (3, 2)], dtype=np.uint32),
        # Consecutive weights; modulo the specials the identity in their middle is left out.
        np.array([(2, 1), (3, 2), (0, 3), (4, 4), (6, 5), (7, 6)], dtype=np.uint32),
        np.array([(2, 6), (3, 0)], dtype=np.uint32),
    ]
    inputs = [(ciphertexts[0], digits), (ciphertexts[1], np.empty(0, dtype=np.uint64))]
    return Transform(ring, limbs, specials, inputs, babies, masks, terms, outputs, weights)


@pytest.mark.parametrize(
    ("n", "period"),
    [(16, 8), (16, 16), (64, 8), (64, 64), (256, 32), (1024, 8), (1024, 256), (4096, 16)],
)
@pytest.mark.parametrize("log_weight", [20, 50, 51, 63])
def test_accumulate_equals_the_slow_sum(n: int, period: int, log_weight: int, kind: str) -> None:
    job = transform(Ring(n, kind=kind), period, log_weight=log_weight)
    got = job.run()
    assert equal(got, job.expected())
    assert not got[1].any()
    assert not got[2, :, job.limbs :].any()


@pytest.mark.parametrize("limbs", [1, 2, 4])
def test_accumulate_at_lower_levels(limbs: int, kind: str) -> None:
    job = transform(Ring(32, kind=kind), 16, limbs=limbs)
    assert equal(job.run(), job.expected())


def test_accumulate_reads_part_of_a_ciphertext() -> None:
    job = transform(Ring(64), 16)
    larger = np.concatenate([job.inputs[0][0], job.ring.random(9, [0, 1], 2)], axis=1)
    part = larger[:, : job.limbs]
    assert not part.flags.c_contiguous
    assert np.array_equal(
        replace(job, inputs=[(part, job.inputs[0][1]), job.inputs[1]]).run(), job.run()
    )
    with pytest.raises(ValueError, match="contiguous"):
        replace(job, inputs=[(part[..., ::-1], job.inputs[0][1]), job.inputs[1]]).run()


def test_accumulate_with_small_tiles() -> None:
    """So many baby steps that a tile is shorter than the ring."""
    job = transform(Ring(256), 16)
    job = replace(job, babies=job.babies * 70, terms=[(i, -1) for i in range(350)])
    entries = np.array([(i, i % 7) for i in range(0, 350, 3)], dtype=np.uint32)
    job = replace(job, outputs=[entries, entries[::-1].copy(), entries[:1]])
    assert equal(job.run(), job.expected())


def test_accumulate_with_tiles_shorter_than_a_constant_weight() -> None:
    """900 baby steps leave room for tiles of 64, and weights are constant over 128 positions."""
    few = transform(Ring(1024), 8)
    entries = np.array([(i, i % 7) for i in range(0, 900, 7)], dtype=np.uint32)
    many = replace(few, babies=few.babies * 180, terms=[(i, -1) for i in range(900)])
    same = np.stack([entries[:, 0] % 5, entries[:, 1]], axis=1).astype(np.uint32)
    few = replace(few, terms=[(i, -1) for i in range(5)])
    for count in (1, 4, 5):  # of sums: one at a time, and four at once
        got = replace(many, outputs=[entries[o:] for o in range(count)]).run()
        expected = replace(few, outputs=[same[o:] for o in range(count)]).run()
        assert np.array_equal(got, expected)


@pytest.mark.parametrize("chosen", [[0], [1], [0, 1]])
def test_accumulate_with_residues_that_are_kept(chosen: list[int]) -> None:
    """From level to level, from context to context, and for several steps."""
    masks = transform(Ring(64), 16).masks
    kept = [_native.Kept(masks[i]) for i in chosen]
    needed = 0
    for limbs in (2, 4, 3, 2):
        job = replace(transform(Ring(64), 16, limbs=limbs), masks=masks, kept=kept)
        assert equal(job.run(), job.expected())
        needed = max(needed, limbs)
        assert [one.nbytes for one in kept] == [(needed + 2) * 64 * 8] * len(kept)
        assert equal(job.run(), job.expected())


def test_masks_are_kept_by_identity() -> None:
    """An array that is no mask of a transform, though it looks like one, is of no use to it."""
    job = transform(Ring(64), 16)
    other = _native.Kept(job.masks[0].copy())
    assert equal(replace(job, kept=[other]).run(), job.expected())
    assert other.nbytes == 0


@pytest.mark.parametrize("size", [0, 32])
def test_the_start_of_a_mask_is_another_array(size: int) -> None:
    """Where the mask begins as well, but with room for fewer residues."""
    job = transform(Ring(64), 16)
    start = _native.Kept(job.masks[0][:size])
    assert equal(replace(job, kept=[start]).run(), job.expected())
    assert start.nbytes == 0


@pytest.mark.parametrize("sums", [1, 2, 4, 5])
def test_accumulate_masks_sums_or_terms(sums: int) -> None:
    """Mask 0 has eight terms and multiplies the sums, mask 1 has one term, which it multiplies."""
    job = transform(Ring(64), 16)
    terms = [(b, 0) for b in (0, 1, 2, 3, 4, 0, 1, 2)] + [(0, 1), (4, -1), (1, -1)]
    outputs = [
        np.array([(t, (t + o) % 7) for t in range(len(terms)) if (t + o) % 5], dtype=np.uint32)
        for o in range(sums)
    ]
    outputs[0] = np.concatenate([outputs[0], outputs[0][:4]])  # terms may come twice
    outputs[-1] = outputs[-1][outputs[-1][:, 0] < 8]  # nothing but what is masked later
    job = replace(job, terms=terms, outputs=outputs)
    assert equal(job.run(), job.expected())
    identities = [np.array([(0, 1), (1, 2), (5, 3)], dtype=np.uint32)] * sums
    job = replace(job, outputs=identities)  # these vanish modulo the specials
    assert equal(job.run(), job.expected())
    assert not job.run()[:, :, job.limbs :].any()


@pytest.mark.parametrize("sums", [1, 4, 5])
def test_accumulate_adds_up_terms_that_go_together(sums: int) -> None:
    """Terms that every sum takes with the same weights: with an identity, which vanishes modulo the
    specials, of one baby step twice, and with one that has other weights in the last sum."""
    job = transform(Ring(64), 16)
    terms = [(0, 0), (2, 1), (3, 0), (3, 1), (4, 0), (1, -1), (1, 0)]
    pairs = [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1), (5, 2), (6, 3), (0, 0), (1, 0)]
    outputs = [np.array([(t, (w + o) % 7) for t, w in pairs], dtype=np.uint32) for o in range(sums)]
    job = replace(job, terms=terms, outputs=outputs)
    assert equal(job.run(), job.expected())
    outputs[-1][4, 1] = 6  # term 4 parts from the others
    assert equal(job.run(), job.expected())
    identities = [np.array([(0, 1), (6, 1)], dtype=np.uint32)] * sums
    job = replace(job, outputs=identities)  # a group of nothing modulo the specials
    assert equal(job.run(), job.expected())
    assert not job.run()[:, :, job.limbs :].any()


def test_longest_sum() -> None:
    """4096 entries of the largest values, the most that are reduced once."""
    job = transform(Ring(16), 8)
    largest = job.inputs[0][0].copy()
    for i, q in enumerate(job.ring.moduli[: job.limbs]):
        largest[:, i] = q - 1
    entries = np.zeros((4096, 2), dtype=np.uint32)
    job = replace(job, inputs=[(largest, job.inputs[0][1]), job.inputs[1]], outputs=[entries])
    assert equal(job.run(), job.expected())
    with pytest.raises(ValueError, match="4096"):
        replace(job, outputs=[np.zeros((4097, 2), dtype=np.uint32)]).run()


# --- uniform residues -----------------------------------------------------------------------------


@pytest.mark.parametrize("q", [2, 3, 4, 65537, 2**49 + 1, 2**50 - 27, 2**63, 2**64 - 1])
def test_fill_uniform_rejects_and_counts(q: int) -> None:
    words = np.random.default_rng(q % 97).integers(0, 2**64 - 1, 500, dtype=np.uint64)
    words[:4] = [0, q - 1, q % 2**64, 2**64 - 1]
    mask = (1 << (q - 1).bit_length()) - 1
    expected = [w & mask for w in words.tolist() if w & mask < q]
    for wanted in (0, 1, 7, 500):
        out = np.full(wanted, 2**64 - 1, dtype=np.uint64)
        filled = _native.fill_uniform(out, words, q)
        assert filled == min(wanted, len(expected))
        assert out[:filled].tolist() == expected[:filled]


def test_fill_uniform_never_reaches_q() -> None:
    q = 2**20 + 7  # almost half of the words are rejected
    out = np.empty(1000, dtype=np.uint64)
    assert _native.fill_uniform(out, np.full(5000, q, dtype=np.uint64), q) == 0
    words = np.random.default_rng(0).integers(0, 2**64 - 1, 5000, dtype=np.uint64)
    assert _native.fill_uniform(out, words, q) == 1000
    assert out.max() < q
    assert abs(out.mean() / q - 0.5) < 0.05


# --- memory ---------------------------------------------------------------------------------------


def test_results_outlive_the_context_and_each_other() -> None:
    ring, rows = Ring(64), [0, 1]
    a = ring.random(1, rows)
    first = ring.context.add(a, a, rows)
    kept = first.copy()
    for seed in range(50):
        other = ring.context.ntt_forward(ring.random(seed, rows), rows)
        assert not np.shares_memory(first, other)
    del ring, other
    assert np.array_equal(first, kept)
    first += np.uint64(1)  # results may be written to


def operations(ring: Ring) -> dict[str, Callable[[], Words]]:
    """One call of every primitive."""
    context, rows = ring.context, [*LIMBS, *SPECIALS]
    a, b = ring.random(1, rows), ring.random(2, rows)
    p = [3] * len(LIMBS)
    index = ring.permutation(5)
    key, digits = ring.random(3, rows, 2, 2), ring.random(4, rows, 2)
    stored_key = key_in_memory(key, ring.of(rows))
    signed = a[0].astype(np.int64)
    job = transform(ring, 16)
    found: dict[str, Callable[[], Words]] = {}
    if ring.kind == "real":
        found["halves"] = lambda: context.halves(a, rows)
    return found | {
        "ntt_forward": lambda: context.ntt_forward(a, rows),
        "ntt_inverse": lambda: context.ntt_inverse(a, rows),
        "add": lambda: context.add(a, b, rows),
        "subtract": lambda: context.subtract(a, b, rows),
        "multiply": lambda: context.multiply(a, b, rows),
        "multiply_scalars": lambda: context.multiply_scalars(a, [5] * len(rows), rows),
        "embed_signed": lambda: context.embed_signed(signed, rows),
        "add_plain": lambda: context.add_plain(np.stack([a, b])[:, :6].copy(), signed, range(6)),
        "multiply_plain": lambda: context.multiply_plain(
            np.stack([a, b])[:, :6].copy(), signed, range(6)
        ),
        "permute": lambda: context.permute(a, index),
        "decompose": lambda: context.decompose(a[: len(LIMBS)], LIMBS, 3, 2, SPECIALS),
        "extend": lambda: spoilt(
            context.extend(a[: len(LIMBS)], LIMBS, 3, 2, SPECIALS), len(LIMBS), 3
        ),
        "divide_and_round": lambda: context.divide_and_round(np.stack([a, b]), rows, rows[:-4]),
        "tensor": lambda: context.tensor(
            digits[:, : len(LIMBS)].copy(), key[0][:, : len(LIMBS)].copy(), LIMBS
        ),
        "switch_key": lambda: context.switch_key(
            digits, LIMBS, SPECIALS, stored_key, rows, a[None, : len(LIMBS)], p, index, None
        ),
        "accumulate": job.run,
    }


def test_every_operation_is_compared() -> None:
    methods = {name for name in dir(_native.Context) if not name.startswith("_")}
    others = {"n", "threads", "kernels", "idle_bytes", "of_degree"}
    assert set(operations(Ring(32, kind="real"))) == methods - others


@pytest.mark.parametrize("target", _native.kernels.available())
@pytest.mark.parametrize("threads", [1, 2])
def test_results_do_not_depend_on_threads_or_kernels(
    target: str, threads: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = operations(Ring(8192, kind=kind))
    monkeypatch.setenv("FHE_FACE_KERNELS", target)
    ring = Ring(8192, threads, kind=kind)  # smaller rings stay on one thread
    assert (ring.context.kernels, ring.context.threads) == (target, threads)
    for name, run in operations(ring).items():
        assert np.array_equal(run(), expected[name]()), name


# --- memory ---------------------------------------------------------------------------------------


def test_as_much_memory_is_kept_as_was_used_at_a_time() -> None:
    n, rows = 8192, [0]
    context = _native.Context(n, [next(ntt_primes(30, n))], 1, idle_limit=16 * n)
    a = np.zeros((1, n), dtype=np.uint64)
    results = [context.add(a, a, rows) for _ in range(8)]
    assert context.idle_bytes == 0
    for count in range(1, 9):
        results.pop()
        assert context.idle_bytes == 8 * n * count
    again = [context.add(a, a, rows) for _ in range(6)]
    assert context.idle_bytes == 8 * n * 2
    # A block of three cannot take the place of one: the idle ones go, down to the limit.
    zeros = np.zeros((2, 1, n), dtype=np.uint64)
    context.tensor(zeros, zeros, rows)
    assert len(again) * 8 * n + context.idle_bytes <= 8 * n * (6 + 3 + 2)
    del again
    assert context.idle_bytes <= 8 * n * (6 + 3 + 2)


def left_behind(secret: bool) -> int:
    """How many of sixteen results can be read where they were when their context is gone."""
    n, mark = 4096, 0x5EC2E7
    context = _native.Context(n, [next(ntt_primes(30, n))], 1, secret=secret)
    a, zero = np.full((1, n), mark, dtype=np.uint64), np.zeros((1, n), dtype=np.uint64)
    results = [context.add(a, zero, [0]) for _ in range(16)]
    places = [result.ctypes.data for result in results]
    last = bytearray(1 << 16)  # so that the end of the heap stays
    del results, context
    found = 0
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        for place in places:
            with suppress(OSError):  # not ours any more
                memory.seek(place)
                found += mark.to_bytes(8, "little") * 16 in memory.read(8 * n)
    del last
    return found


def test_results_of_secrets_are_cleared_before_their_memory_is_given_back() -> None:
    assert left_behind(secret=True) == 0
    assert left_behind(secret=False) > 0  # or this test could not see them


# --- the real ring inside the standard one of twice the degree ------------------------------------


def inside(ring: Ring, residues: Words, rows: Sequence[int]) -> Words:
    """Coefficients [..., rows, n] of elements of the real ring, as polynomials [..., rows, 2n]."""
    q = np.array(ring.of(rows), dtype=np.uint64)[:, None]
    whole = np.zeros((*residues.shape[:-1], 2 * ring.n), dtype=np.uint64)
    whole[..., : ring.n] = residues
    whole[..., ring.n + 1 :] = (q - residues[..., :0:-1]) % q
    return whole


def transformed(ring: Ring, residues: Words, rows: Sequence[int]) -> tuple[Words, Words]:
    """The same elements in NTT form in both rings: the first half of the values, and all."""
    outer = _native.Context(2 * ring.n, ring.moduli, 1)
    flat = residues.reshape(-1, len(rows), ring.n)
    small = np.stack([ring.context.ntt_forward(a, rows) for a in flat])
    large = np.stack([outer.ntt_forward(inside(ring, a, rows), rows) for a in flat])
    shape = residues.shape[:-1]
    return small.reshape(*shape, ring.n), large.reshape(*shape, 2 * ring.n)


@pytest.mark.parametrize("n", [16, 256, 1024])
def test_operations_are_those_of_the_standard_ring_of_twice_the_degree(n: int) -> None:
    """Digits, key products, divisions and linear transforms, bit for bit."""
    ring = Ring(n, kind="real")
    outer = _native.Context(2 * n, ring.moduli, 1)
    limbs, rows = LIMBS, [*LIMBS, *SPECIALS]
    element = pow(5, n // 2 + 1, 4 * n)
    both = zip(
        (ring.context, outer),
        (ring.permutation(element), _native.galois_permutation(2 * n, element)),
        transformed(ring, ring.random(1, limbs, 2), limbs),
        transformed(ring, ring.random(2, rows, 2, 2), rows),
        (1, 2),
        strict=True,
    )
    p = [math.prod(ring.of(SPECIALS)) % q for q in ring.of(limbs)]
    masks = np.random.default_rng(3).integers(-(2**40), 2**40, n)
    weights = np.random.default_rng(4).integers(-(2**40), 2**40, (3, 8))
    found = []
    for context, index, ciphertext, key, factor in both:
        digits = context.decompose(ciphertext[1].copy(), limbs, 3, 2, SPECIALS)
        stored_key = key_in_memory(key, ring.of(rows))
        switched = context.switch_key(
            digits, limbs, SPECIALS, stored_key, rows, ciphertext[:1], p, index, None
        )
        mask, weight = (
            (masks, weights)
            if factor == 1
            else (doubled(masks), np.stack([doubled(w) for w in weights]))
        )
        transform = _native.Transform(
            [mask], [(0, 0), (1, -1)], [np.array([(0, 1), (1, 0), (1, 2)], np.uint32)], weight
        )
        inputs = [(ciphertext, digits)]
        babies = [(0, None, None, []), (0, index, stored_key, rows)]
        found.append(
            {
                "decompose": digits,
                "switch_key": switched,
                "divide_and_round": context.divide_and_round(switched, rows, rows[:-4]),
                "tensor": context.tensor(ciphertext, ciphertext[::-1].copy(), limbs),
                "multiply_plain": context.multiply_plain(ciphertext, mask, limbs),
                "accumulate": np.stack(
                    context.accumulate(transform, inputs, babies, limbs, SPECIALS, p)
                ),
            }
        )
    small, large = found
    for name, result in small.items():
        assert np.array_equal(result, large[name][..., :n]), name
