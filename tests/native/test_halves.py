"""Both halves of an element of the real ring, against Python integers."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_core import _native
from tests.helpers import Integers, Words, adversarial, distinct_primes, integers, real_product

BITS = (50, 43, 22, 50)
ROWS = [2, 0, 3, 2]


def context_of(n: int, threads: int = 1) -> tuple[_native.Context, list[int]]:
    moduli = distinct_primes(BITS, 2 * n)
    return _native.Context(n, moduli, threads, ring="real"), [moduli[row] for row in ROWS]


def cases(n: int) -> list[Words]:
    """Coefficients [rows, n]."""
    _, moduli = context_of(n)
    return adversarial(np.random.default_rng(n), moduli, n)


def spread(half: Integers) -> Integers:
    """An element in Y = X^2, in X."""
    wide = integers(np.zeros(2 * half.size, dtype=np.int64))
    wide[::2] = half
    return wide


def line(n: int) -> Integers:
    """X + 1/X."""
    found = integers(np.zeros(n, dtype=np.int64))
    found[1] = 1
    return found


@pytest.mark.parametrize("n", [16, 64, 512])
def test_the_halves_make_the_whole(n: int) -> None:
    context, moduli = context_of(n)
    for values in cases(n):
        even, odd = context.halves(context.ntt_forward(values, ROWS), ROWS)
        assert even.shape == odd.shape == (len(ROWS), n // 2)
        for a, b, whole, q in zip(even, odd, values, moduli, strict=True):
            assert max(a.max(), b.max()) < q
            product = real_product(line(n), spread(integers(b)), q)
            assert ((spread(integers(a)) + product - integers(whole)) % q == 0).all()


@pytest.mark.parametrize("n", [16, 64])
def test_the_even_part_of_a_product(n: int) -> None:
    """What two key switches in the smaller ring come to: see ring/halves.hpp."""
    context, moduli = context_of(n)
    secret = integers(np.random.default_rng(1).integers(-1, 2, n))
    odd_terms = integers(np.zeros(n, dtype=np.int64))
    odd_terms[1::2] = secret[1::2]
    for values in cases(n):
        halves = context.halves(context.ntt_forward(values, ROWS), ROWS)
        for row, q in enumerate(moduli):
            beside = real_product(line(n), odd_terms, q)
            assert not beside[1::2].any()
            even = real_product(integers(halves[0, row]), secret[::2], q)
            odd = real_product(integers(halves[1, row]), beside[::2], q)
            whole = real_product(integers(values[row]), secret, q)
            assert ((even + odd - whole[::2]) % q == 0).all()


def test_threads_change_nothing() -> None:
    n = 8192  # smaller rings have one thread
    values = cases(n)[0]
    one, three = (
        context.halves(context.ntt_forward(values, ROWS), ROWS)
        for context, _ in (context_of(n), context_of(n, 3))
    )
    assert np.array_equal(one, three)


def test_the_standard_ring_has_no_such_halves() -> None:
    context = _native.Context(16, distinct_primes(BITS, 16), 1)
    with pytest.raises(ValueError, match="only the real ring has halves"):
        context.halves(np.zeros((1, 16), dtype=np.uint64), [0])


@pytest.mark.parametrize(("shape", "rows"), [((1, 8), [0]), ((2, 16), [0]), ((1, 16), [9])])
def test_other_shapes_are_refused(shape: tuple[int, int], rows: list[int]) -> None:
    context, _ = context_of(16)
    with pytest.raises(ValueError, match=r"shape|row"):
        context.halves(np.zeros(shape, dtype=np.uint64), rows)


def test_another_degree_has_the_same_moduli() -> None:
    context, moduli = context_of(64)
    small = context.of_degree(32)
    own = _native.Context(32, distinct_primes(BITS, 2 * 64), 1, ring="real")
    assert (small.n, small.threads, small.kernels) == (32, context.threads, context.kernels)
    values = np.random.default_rng(0).integers(0, min(moduli), (4, 32), dtype=np.uint64)
    assert np.array_equal(small.ntt_forward(values, ROWS), own.ntt_forward(values, ROWS))
    for n in (0, 8, 48, 1 << 18):
        with pytest.raises(ValueError, match="ring dimension"):
            context.of_degree(n)
    with pytest.raises(ValueError, match=r"prime|1 mod"):
        context.of_degree(1 << 17)
