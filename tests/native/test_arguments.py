"""Random and hostile arguments to the extension: an error, never a crash (`make sanitize`)."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhe_core import _native
from fhe_core.parameters.primes import ntt_primes

N = 64
THREADS = 2
#: What the extension may answer to arguments that make no sense.
REFUSALS = (ValueError, TypeError, IndexError, OverflowError, MemoryError)
SIZES = (0, 1, 2, 3, 4, 5, 63, 64, 65, 128)
NUMBERS = (0, 1, 2, 3, 5, -1, 63, 64, 2**31, 2**32, 2**63, 2**64 - 1, 2**64, -(2**63))


@pytest.fixture(scope="module", params=["standard", "real"])
def context(request):
    primes = ntt_primes(30, 2 * N)
    return _native.Context(N, [next(primes) for _ in range(4)], THREADS, ring=request.param)


def array(draw):
    """Often what a function wants: a few rows of N residues; else any shape, type or order."""
    shape = [draw.choice((1, 2, 2, 3, 4, 5)) for _ in range(draw.choice((0, 1, 1, 2, 3)))]
    shape.append(draw.choice((N, N, N, N, draw.choice(SIZES))))
    kind = draw.choice((np.uint64,) * 8 + (np.int64, np.uint32, np.float64, np.int8))
    made = np.random.default_rng(draw.randrange(99)).integers(0, 1 << 20, shape).astype(kind)
    return draw.choice((made, made, made, made[..., ::-1], made.T, made[:0]))


def number(draw):
    return draw.choice((*range(5), draw.choice(NUMBERS)))


def rows(draw):
    return [draw.choice((0, 1, 2, 3, 3, draw.choice(NUMBERS))) for _ in range(draw.randrange(5))]


def anything(draw):
    kinds = (array, array, array, number, rows, lambda d: [array(d) for _ in range(d.randrange(3))])
    if draw.random() < 0.05:
        return draw.choice((None, "", 0.5, [], (), {}))
    return draw.choice(kinds)(draw)


def pairs(draw):
    return [(number(draw), number(draw)) for _ in range(draw.randrange(4))]


def transform(draw):
    """A transform, or what random arguments for one come to: the text of a refusal."""
    arguments = (
        [array(draw) for _ in range(draw.randrange(3))],
        pairs(draw),
        [array(draw).astype(np.uint32) for _ in range(draw.randrange(3))],
        array(draw),
    )
    kept = []
    if draw.random() < 0.5:  # random ones hardly ever fit each other
        masks = [np.ones(N, dtype=np.int64)] * draw.randrange(2)
        babies = draw.choice((0, 0, 1, number(draw)))
        terms, entries = [(babies, len(masks) - 1)], [np.zeros((1, 2), np.uint32)]
        kept = [_native.Kept(mask[: draw.choice((N, N // 2, 0))]) for mask in masks]
        arguments = (masks, terms, entries, WEIGHTS)
    try:
        return _native.Transform(*arguments, kept)
    except REFUSALS as error:
        return str(error)


WEIGHTS = np.ones((1, 8), dtype=np.int64)
#: Arguments of the right kind, for functions that random ones would hardly reach.
MOULDS = {
    "ntt_forward": (array, rows),
    "ntt_inverse": (array, rows),
    "add": (array, array, rows),
    "subtract": (array, array, rows),
    "multiply": (array, array, rows),
    "multiply_scalars": (array, rows, rows),
    "embed_signed": (array, rows),
    "permute": (array, array),
    "decompose": (array, rows, number, number, rows),
    "extend": (array, rows, number, number, rows),
    "tensor": (array, array, rows),
    "halves": (array, rows),
    "of_degree": (number,),
    "divide_and_round": (array, rows, rows, rows),
    "switch_key": (array, rows, rows, array, rows, array, rows, array, array),
    "accumulate": (
        transform,
        lambda d: [(array(d), array(d)) for _ in range(d.randrange(3))],
        lambda d: [
            (number(d), d.choice((None, array(d))), d.choice((None, array(d))), rows(d))
            for _ in range(d.randrange(3))
        ],
        rows,
        rows,
        rows,
    ),
}


def small(draw):
    """A context of two moduli, often of the same ring."""
    primes = ntt_primes(48, draw.choice((N, N, N, 2 * N, 32)))
    moduli = [next(primes) for _ in range(draw.choice((1, 2, 2, 2)))]
    ring = "real" if draw.random() < 0.1 and moduli[0] % (4 * N) == 1 else "standard"
    return _native.Context(N, moduli, THREADS, ring=ring)


def residues(*shapes):
    """Makes arrays of one of these shapes."""
    return lambda d: np.full(d.choice(shapes), d.randrange(1 << 20), dtype=np.uint64)


def galois(draw):
    return draw.choice((_native.galois_permutation(N, 5), array(draw).astype(np.uint32)))


def probe(draw):
    return _native.ProbeTiles(residues((3, 2, N), (2, 2, N), (3, 2, 32))(draw))


def block(draw):
    made = _native.BlockMemory(draw.choice((3, 3, 2)), draw.choice((N, N, 32)))
    for k in range(draw.choice((made.features, made.features, 1))):
        made.set(k, np.zeros(6 * made.n, np.uint8), np.ones(made.n, np.uint64))
    return made


def several(make):
    return lambda d: [make(d) for _ in range(d.randrange(3))]


KEY = residues((1, 2, 2, N), (1, 2, 2, N), (1, 2, 1, N), (2, 2, N))
EXPANSION = (small, residues((2, 2, N), (1, 2, N)), several(KEY), several(galois), rows)
#: The same for functions.
FUNCTION_MOULDS = {
    "expand_constants": EXPANSION,
    "expand_probe": EXPANSION,
    "expand_mirrored": EXPANSION,
    "search": (small, probe, several(block)),
    "switch_to_bits": (small, residues((1, 3, N), (2, 3, N), (2, 2, N)), KEY, number),
}


def answer(function, *arguments):
    """What it says: the text of a refusal, or something else."""
    try:
        function(*arguments)
    except REFUSALS as error:
        return str(error)
    return "done"


def methods():
    return sorted(n for n in dir(_native.Context) if not n.startswith("_"))


def test_moulds_are_methods():
    assert set(MOULDS) <= set(methods())


@settings(max_examples=60, database=None)
@given(seed=st.integers(0, 2**40))
def test_methods(context, seed):
    draw = random.Random(seed)
    for name in methods():
        method = getattr(context, name)
        if not callable(method):
            continue
        mould = MOULDS.get(name)
        if mould and draw.random() < 0.8:
            arguments = [make(draw) for make in mould]
        else:
            arguments = [anything(draw) for _ in range(draw.randrange(9))]
        assert answer(method, *arguments), name


@settings(max_examples=40, database=None)
@given(seed=st.integers(0, 2**40))
def test_functions(seed):
    draw = random.Random(seed)
    names = sorted(n for n in dir(_native) if not n.startswith("_") and n != "Context")
    for name in names:
        function = getattr(_native, name)
        if not callable(function):
            continue
        mould = FUNCTION_MOULDS.get(name)
        if mould and draw.random() < 0.8:
            arguments = [make(draw) for make in mould]
        else:
            arguments = [anything(draw) for _ in range(draw.randrange(7))]
        assert answer(function, *arguments), name


@settings(max_examples=40, database=None)
@given(n=st.sampled_from(SIZES + NUMBERS), count=st.integers(0, 3), seed=st.integers(0, 99))
def test_contexts(n, count, seed):
    draw = random.Random(seed)
    moduli = [draw.choice((*NUMBERS, 257, 65537, 3, 4)) for _ in range(count)]
    assert answer(_native.Context, n if n < 2**20 else -1, moduli, draw.choice((1, 2, 0, -1)))
