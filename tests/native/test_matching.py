"""Packed products and the search against Python integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhe_core import _native
from tests.helpers import Integers, Words, distinct_primes, integers
from tests.native.matching import Model, block_of, context_of

BOUND = 1 << 48
STRIP = 16
TARGETS = ("scalar", "avx2", "avx512ifma")


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    if request.param not in _native.kernels.available():
        pytest.skip(f"this processor or build lacks {request.param}")
    return str(request.param)


def draw(generator: np.random.Generator, kind: str, bound: int, *shape: int) -> Words:
    if kind == "zero":
        return np.zeros(shape, dtype=np.uint64)
    if kind == "max":
        return np.full(shape, bound - 1, dtype=np.uint64)
    if kind == "edges":
        return generator.choice(np.array([0, 1, bound - 1], dtype=np.uint64), shape)
    return generator.integers(0, bound, shape, dtype=np.uint64)


def tensor_sums(p: Words, t: Words, q: int) -> Integers:
    """(p0 t0, p0 t1 + p1 t0, p1 t1) of [terms, 2, n], summed and reduced: [3, n]."""
    (p0, p1), (t0, t1) = integers(p).swapaxes(0, 1), integers(t).swapaxes(0, 1)
    products = np.stack([p0 * t0, p0 * t1 + p1 * t0, p1 * t1])
    sums: Integers = products.sum(axis=1) % q
    return sums


# --- packing --------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, BOUND - 1), max_size=40))
def test_packed_words_are_little_endian_and_come_back(values: list[int]) -> None:
    packed = _native.pack48(np.array(values, dtype=np.uint64))
    assert packed.tobytes() == b"".join(v.to_bytes(6, "little") for v in values)
    assert _native.unpack48(packed).tolist() == values


@given(st.binary(max_size=240).map(lambda b: b[: len(b) // 6 * 6]))
def test_any_six_bytes_are_a_word(data: bytes) -> None:
    words = _native.unpack48(np.frombuffer(data, dtype=np.uint8))
    assert words.dtype == np.uint64
    assert _native.pack48(words).tobytes() == data


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=9))
def test_a_word_of_more_than_48_bits_is_refused(values: list[int]) -> None:
    words = np.array(values, dtype=np.uint64)
    if max(values) < BOUND:
        _native.pack48(words)
        return
    with pytest.raises(ValueError, match="words has a word that is not below 2\\^48"):
        _native.pack48(words)


def test_only_the_last_extent_changes() -> None:
    words = np.random.default_rng(0).integers(0, BOUND, (3, 2, 5), dtype=np.uint64)
    packed = _native.pack48(words)
    assert packed.shape == (3, 2, 30)
    assert np.array_equal(_native.unpack48(packed), words)
    assert _native.pack48(words[:, :, :0]).shape == (3, 2, 0)
    assert np.array_equal(_native.pack48(words[:, ::2]), packed[:, ::2])


# --- the kernel -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [17, 48, 50])
@pytest.mark.parametrize(
    ("blocks", "strips", "terms"), [(0, 1, 1), (1, 1, 1), (2, 3, 2), (3, 2, 256), (1, 1, 4096)]
)
@pytest.mark.parametrize("kind", ["zero", "max", "edges", "random"])
def test_packed_products(
    target: str, bits: int, blocks: int, strips: int, terms: int, kind: str
) -> None:
    """Operands reach 2^48 - 1 whatever the modulus."""
    (q,) = distinct_primes((bits,), STRIP)
    generator = np.random.default_rng(terms)
    kernels = _native.kernels.Kernels(target, STRIP, q)
    for bound in {min(q, BOUND), BOUND}:
        plain = draw(generator, kind, bound, strips, terms, 2, STRIP)
        others = draw(generator, kind, bound, blocks, strips, terms, 2, STRIP)
        got = kernels.packed_products(plain, _native.pack48(others))
        assert got.shape == (blocks, 3, strips * STRIP)
        for sums, other in zip(got, others, strict=True):
            expected = [tensor_sums(p, t, q) for p, t in zip(plain, other, strict=True)]
            assert np.array_equal(integers(sums), np.concatenate(expected, axis=1))


def test_packed_products_refuse_other_shapes() -> None:
    kernels = _native.kernels.Kernels("scalar", STRIP, distinct_primes((48,), STRIP)[0])
    plain, packed = np.zeros((1, 3, 2, 16), np.uint64), np.zeros((2, 1, 3, 2, 96), np.uint8)
    assert kernels.packed_products(plain, packed).shape == (2, 3, 16)
    many = np.zeros((1, 4097, 2, 16), np.uint64)
    for bad in (
        (plain[:, :0].copy(), packed[:, :, :0].copy()),
        (plain, packed[0].copy()),
        (plain, packed[:, :, :2].copy()),
        (plain, packed[..., :90].copy()),
        (plain[:, :, :1].copy(), packed[:, :, :, :1].copy()),
        (plain + np.uint64(BOUND), packed),
        (many, _native.pack48(many[None])),
    ):
        with pytest.raises(ValueError, match=r"plain|packed"):
            kernels.packed_products(*bad)


# --- the search -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
@pytest.mark.parametrize(("n", "features"), [(16, 1), (64, 7), (1024, 3)])
@pytest.mark.parametrize("kind", ["max", "random"])
def test_search(n: int, features: int, count: int, kind: str) -> None:
    q, _ = distinct_primes((48, 50), n)
    generator = np.random.default_rng(n + count)
    constants = draw(generator, kind, q, features, 2, n)
    blocks = [draw(generator, kind, q, features, 2, n) for _ in range(count)]
    probe = _native.ProbeTiles(constants)
    assert (probe.features, probe.n) == (features, n)
    got = _native.search(context_of(n), probe, [block_of(b) for b in blocks])
    assert got.shape == (count, 3, n)
    for sums, block in zip(got, blocks, strict=True):
        assert np.array_equal(integers(sums), tensor_sums(constants, block, q))


@pytest.mark.parametrize("features", [2, 33, 256])
def test_a_search_of_any_number_of_threads(features: int) -> None:
    """At a ring dimension that uses them; more features than fit a tile of several strips."""
    n = 8192
    q, _ = distinct_primes((48, 50), n)
    generator = np.random.default_rng(features)
    constants = generator.integers(0, q, (features, 2, n), dtype=np.uint64)
    ciphertexts = generator.integers(0, q, (features, 2, n), dtype=np.uint64)
    probe, block = _native.ProbeTiles(constants), block_of(ciphertexts)
    first = _native.search(context_of(n, 1), probe, [block])
    places = [0, 15, 16, 127, 128, 4095, 8176, 8191]
    expected = tensor_sums(constants[:, :, places], ciphertexts[:, :, places], q)
    assert np.array_equal(integers(first[0][:, places]), expected)
    for threads in (2, 3):
        context = context_of(n, threads)
        again = _native.search(context, probe, [block, block])
        assert np.array_equal(again, np.stack([first[0]] * 2))


def test_a_ciphertext_can_be_set_again_and_missing_ones_are_named() -> None:
    n, context = 64, context_of(64)
    generator = np.random.default_rng(3)
    constants, old, new = generator.integers(0, 1 << 40, (3, 4, 2, n), dtype=np.uint64)
    probe, block = _native.ProbeTiles(constants), _native.BlockMemory(4, n)
    assert (block.features, block.n, block.bytes) == (4, n, 4 * 2 * n * 6)
    for k in (0, 1, 1, 3):
        block.set(k, _native.pack48(old[k, 0]), old[k, 1])
    with pytest.raises(ValueError, match="block 1 lacks 1 of its ciphertexts"):
        _native.search(context, probe, [block_of(old), block])
    for k in range(4):
        block.set(k, _native.pack48(new[k, 0]), new[k, 1])
    expected = _native.search(context, probe, [block_of(new)])
    assert np.array_equal(_native.search(context, probe, [block]), expected)


# --- all together ---------------------------------------------------------------------------------


def operations(threads: int) -> dict[str, Callable[[], Any]]:
    """One call of everything that computes on threads, on a ring that uses them."""
    n = 8192
    model, generator = Model(n, threads=threads), np.random.default_rng(1)
    q = model.moduli[0]
    constants, first, second = generator.integers(0, q, (3, 2, 2, n), dtype=np.uint64)
    roots = generator.integers(0, q, (3, 2, n), dtype=np.uint64)
    products = generator.integers(0, q, (5, 3, n), dtype=np.uint64)
    keys = [model.random_key(generator) for _ in range(2)]
    moves = [_native.galois_permutation(n, e) for e in (65, 129)]
    probe = _native.ProbeTiles(constants)
    blocks = [block_of(first), block_of(second)]
    return {
        "expand_constants": lambda: _native.expand_constants(
            model.context, roots, keys, moves, [128, 256]
        ),
        "expand_probe": lambda: _native.search(
            model.context,
            _native.expand_probe(model.context, roots[:1], keys[:1], moves[:1], [128]),
            blocks,
        ),
        "search": lambda: _native.search(model.context, probe, blocks),
        "switch_to_bits": lambda: _native.switch_to_bits(model.context, products, keys[0]),
    }


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_matching_does_not_depend_on_threads_or_kernels(
    target: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {name: run() for name, run in operations(1).items()}
    monkeypatch.setenv("FHE_FACE_KERNELS", target)
    for name, run in operations(threads).items():
        assert np.array_equal(run(), expected[name]), name
