"""Arguments of the matching functions that are refused, each with what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fhe_core import _native
from tests.helpers import distinct_primes
from tests.native.matching import block_of, context_of

N = 64
CONTEXT = context_of(N)
KEY = np.zeros((1, 2, 2, N), dtype=np.uint64)
MOVE = _native.galois_permutation(N, 5)
ROOTS = np.zeros((1, 2, N), dtype=np.uint64)
PRODUCTS = np.zeros((1, 3, N), dtype=np.uint64)
ROW = np.zeros(N, dtype=np.uint64)
PACKED: Any = np.zeros(6 * N, dtype=np.uint8)
LARGE = np.uint64(2**48)
NOTHING: Any = None
BEYOND = np.uint64(distinct_primes((48, 50), N)[0])


def expand(function: Any = _native.expand_constants, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "context": CONTEXT,
        "roots": ROOTS,
        "keys": [KEY],
        "permutations": [MOVE],
        "powers": [0],
    }
    return function(**{**arguments, **changes})


def switch(**changes: Any) -> Any:
    arguments: dict[str, Any] = {"context": CONTEXT, "products": PRODUCTS, "key": KEY, "bits": 24}
    return _native.switch_to_bits(**{**arguments, **changes})


def found(features: int = 2, n: int = N, blocks: Any = None, context: Any = CONTEXT) -> Any:
    probe = _native.ProbeTiles(np.zeros((features, 2, n), dtype=np.uint64))
    zeros = np.zeros((2, 2, N), dtype=np.uint64)
    return _native.search(context, probe, [block_of(zeros)] if blocks is None else blocks)


def test_the_calls_that_are_spoilt_below_work() -> None:
    assert expand().shape == (2, 2, N)
    assert switch().shape == (1, 2, N)
    assert found().shape == (1, 3, N)


REAL = _native.Context(N, distinct_primes((48, 50), 2 * N), 1, ring="real")

BAD: list[tuple[str, Callable[[], Any]]] = [
    ("standard ring", lambda: expand(context=REAL)),
    ("standard ring", lambda: expand(_native.expand_probe, context=REAL)),
    ("standard ring", lambda: switch(context=REAL)),
    ("standard ring", lambda: found(context=REAL)),
    ("words", lambda: _native.pack48(np.array(5, dtype=np.uint64))),
    ("words", lambda: _native.pack48(np.full((2, 3), LARGE))),
    ("six bytes", lambda: _native.unpack48(np.zeros(7, dtype=np.uint8))),
    ("six bytes", lambda: _native.unpack48(np.zeros((6, 4), dtype=np.uint8))),
    ("data", lambda: _native.unpack48(np.array(5, dtype=np.uint8))),
    ("two moduli", lambda: expand(context=context_of(N, bits=(48,)))),
    ("two moduli", lambda: expand(context=context_of(N, bits=(48, 50, 49)))),
    ("roots", lambda: expand(roots=ROOTS[0])),
    ("roots", lambda: expand(roots=ROOTS[:, :1].copy())),
    ("roots", lambda: expand(roots=ROOTS[:, :, :32].copy())),
    ("root", lambda: expand(roots=ROOTS[:0])),
    ("roots has a residue", lambda: expand(roots=ROOTS + BEYOND)),
    ("one element for every level", lambda: expand(keys=[])),
    ("one element for every level", lambda: expand(permutations=[MOVE] * 2)),
    ("one element for every level", lambda: expand(powers=[0, 0])),
    ("a key", lambda: expand(keys=[KEY[:, :1].copy()])),
    ("a key", lambda: expand(keys=[KEY[:, :, :1].copy()])),
    ("a key", lambda: expand(keys=[KEY[0]])),
    ("a key", lambda: expand(keys=[np.concatenate([KEY, KEY])])),
    ("a key has a residue", lambda: expand(keys=[KEY + BEYOND])),
    ("permutation", lambda: expand(permutations=[MOVE[:32].copy()])),
    ("permutation", lambda: expand(permutations=[np.full(N, N, dtype=np.uint32)])),
    ("permutation", lambda: expand(permutations=[np.zeros(N, dtype=np.uint32)])),
    ("power", lambda: expand(powers=[N])),
    ("incompatible", lambda: expand(powers=[-1])),
    ("incompatible", lambda: expand(roots=ROOTS.astype(np.int64))),
    (
        "65536 constants",
        lambda: expand(keys=[KEY] * 17, permutations=[MOVE] * 17, powers=[0] * 17),
    ),
    (
        "65536 constants",
        lambda: expand(
            roots=np.zeros((2, 2, N), dtype=np.uint64),
            keys=[KEY] * 16,
            permutations=[MOVE] * 16,
            powers=[0] * 16,
        ),
    ),
    ("roots", lambda: expand(_native.expand_probe, roots=ROOTS[0])),
    ("a key has a residue", lambda: expand(_native.expand_probe, keys=[KEY + BEYOND])),
    (
        "4096 constants",
        lambda: expand(
            *(_native.expand_probe,),
            keys=[KEY] * 13,
            permutations=[MOVE] * 13,
            powers=[0] * 13,
        ),
    ),
    (
        "below 2\\^48",
        lambda: expand(_native.expand_probe, context=context_of(N, bits=(49, 50))),
    ),
    ("standard ring", lambda: expand(_native.expand_mirrored, context=REAL)),
    ("a single one", lambda: expand(_native.expand_mirrored, roots=np.concatenate([ROOTS] * 2))),
    (
        "at least one level",
        lambda: expand(_native.expand_mirrored, keys=[], permutations=[], powers=[]),
    ),
    (
        "below 2\\^48",
        lambda: expand(_native.expand_mirrored, context=context_of(N, bits=(49, 50))),
    ),
    ("two moduli", lambda: switch(context=context_of(N, bits=(48,)))),
    ("products", lambda: switch(products=PRODUCTS[0])),
    ("products", lambda: switch(products=PRODUCTS[:, :2].copy())),
    ("products", lambda: switch(products=PRODUCTS[:, :, :32].copy())),
    ("products has a residue", lambda: switch(products=PRODUCTS + BEYOND)),
    ("a key", lambda: switch(key=KEY[0])),
    ("a key has a residue", lambda: switch(key=KEY + BEYOND)),
    ("bits", lambda: switch(bits=0)),
    ("bits", lambda: switch(bits=33)),
    ("constants", lambda: _native.ProbeTiles(PRODUCTS[0])),
    ("constants", lambda: _native.ProbeTiles(PRODUCTS)),
    ("constants has a word", lambda: _native.ProbeTiles(ROOTS + LARGE)),
    ("constants", lambda: _native.ProbeTiles(PACKED)),
    ("features", lambda: _native.ProbeTiles(ROOTS[:0])),
    ("features", lambda: _native.ProbeTiles(np.zeros((4097, 2, 16), dtype=np.uint64))),
    ("n must be", lambda: _native.ProbeTiles(ROOTS[:, :, :8].copy())),
    ("n must be", lambda: _native.ProbeTiles(ROOTS[:, :, :48].copy())),
    ("features", lambda: _native.BlockMemory(0, N)),
    ("features", lambda: _native.BlockMemory(4097, N)),
    ("features", lambda: _native.BlockMemory(2**64 - 1, N)),
    ("n must be", lambda: _native.BlockMemory(2, 0)),
    ("n must be", lambda: _native.BlockMemory(2, 48)),
    ("n must be", lambda: _native.BlockMemory(2, 2**18)),
    ("incompatible", lambda: _native.BlockMemory(-1, N)),
    ("k must be below 2", lambda: _native.BlockMemory(2, N).set(2, PACKED, ROW)),
    ("incompatible", lambda: _native.BlockMemory(2, N).set(-1, PACKED, ROW)),
    ("body", lambda: _native.BlockMemory(2, N).set(0, PACKED[:-6].copy(), ROW)),
    ("body", lambda: _native.BlockMemory(2, N).set(0, PACKED[None], ROW)),
    ("uniform", lambda: _native.BlockMemory(2, N).set(0, PACKED, ROW[:32].copy())),
    ("uniform has a word", lambda: _native.BlockMemory(2, N).set(0, PACKED, ROW + LARGE)),
    ("context's n", lambda: found(context=context_of(32))),
    ("block 0 does not have", lambda: found(features=3)),
    ("block 0 does not have", lambda: found(blocks=[_native.BlockMemory(2, 32)])),
    ("block 0 lacks 2", lambda: found(blocks=[_native.BlockMemory(2, N)])),
    ("block 0 is missing", lambda: found(blocks=[None])),
    ("there is no probe", lambda: _native.search(CONTEXT, NOTHING, [])),
    ("incompatible", lambda: found(blocks=[PACKED])),
]


@pytest.mark.parametrize(("text", "call"), BAD)
def test_bad_arguments_are_refused_with_their_name(text: str, call: Callable[[], Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=text) as caught:
        call()
    assert type(caught.value) is (TypeError if text == "incompatible" else ValueError)
