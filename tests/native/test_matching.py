"""Packed products, the search, the expansion and the last rounding against Python integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fhe_core import _native
from tests.helpers import (
    Integers,
    Words,
    adversarial,
    centred,
    crt,
    distinct_primes,
    integers,
    negacyclic,
    substituted,
)

BOUND = 1 << 48
STRIP = 16
TARGETS = ("scalar", "avx2", "avx512ifma")

Index = NDArray[np.uint32]


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
    assert (packed.shape, packed.dtype) == ((3, 2, 30), np.uint8)
    assert np.array_equal(_native.unpack48(packed), words)
    assert _native.pack48(words[:, :, :0]).shape == (3, 2, 0)
    assert np.array_equal(_native.pack48(words[:, ::2]), packed[:, ::2])


# --- the kernel -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [17, 48, 50])
@pytest.mark.parametrize(("strips", "terms"), [(1, 1), (3, 2), (2, 256), (1, 4096)])
@pytest.mark.parametrize("kind", ["zero", "max", "edges", "random"])
def test_packed_products(target: str, bits: int, strips: int, terms: int, kind: str) -> None:
    """Operands reach 2^48 - 1 whatever the modulus."""
    (q,) = distinct_primes((bits,), STRIP)
    generator = np.random.default_rng(terms)
    for bound in {q, BOUND} if q < BOUND else {BOUND}:
        plain, other = draw(generator, kind, bound, 2, strips, terms, 2, STRIP)
        kernels = _native.kernels.Kernels(target, STRIP, q)
        got = kernels.packed_products(plain, _native.pack48(other))
        expected = [tensor_sums(p, t, q) for p, t in zip(plain, other, strict=True)]
        assert got.dtype == np.uint64
        assert np.array_equal(integers(got), np.concatenate(expected, axis=1))


def test_packed_products_refuse_other_shapes() -> None:
    kernels = _native.kernels.Kernels("scalar", STRIP, distinct_primes((48,), STRIP)[0])
    plain, packed = np.zeros((1, 3, 2, 16), np.uint64), np.zeros((1, 3, 2, 96), np.uint8)
    assert kernels.packed_products(plain, packed).shape == (3, 16)
    many = np.zeros((1, 4097, 2, 16), np.uint64)
    for bad in (
        (plain[:, :0].copy(), packed[:, :0].copy()),
        (plain, packed[:, :2].copy()),
        (plain, packed[..., :90].copy()),
        (plain[:, :, :1].copy(), packed[:, :, :1].copy()),
        (plain + np.uint64(BOUND), packed),
        (many, _native.pack48(many)),
    ):
        with pytest.raises(ValueError, match=r"plain|packed"):
            kernels.packed_products(*bad)


# --- the search -----------------------------------------------------------------------------------


def block_of(ciphertexts: Words) -> _native.BlockMemory:
    """Of [features, 2, n], set from the last to the first."""
    features, _, n = ciphertexts.shape
    block = _native.BlockMemory(features, n)
    for k in reversed(range(features)):
        block.set(k, _native.pack48(ciphertexts[k, 0]), ciphertexts[k, 1])
    return block


def context_of(n: int, threads: int = 1, bits: Sequence[int] = (48, 50)) -> _native.Context:
    return _native.Context(n, distinct_primes(bits, n), threads)


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
    assert (got.shape, got.dtype) == ((count, 3, n), np.uint64)
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
        again = _native.search(context_of(n, threads), probe, [block, block])
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


# --- key switching as integers --------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A ring with one limb q and one special prime p, and what it should compute."""

    n: int
    bits: Sequence[int] = (48, 50)
    threads: int = 1
    moduli: list[int] = field(init=False)
    context: _native.Context = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "moduli", distinct_primes(self.bits, self.n))
        object.__setattr__(self, "context", _native.Context(self.n, self.moduli, self.threads))

    def ntt(self, coefficients: Integers, row: int = 0) -> Words:
        """Rows [..., n] of any integers, each modulo the same modulus."""
        flat = (integers(coefficients) % self.moduli[row]).astype(np.uint64).reshape(-1, self.n)
        return self.context.ntt_forward(flat, [row] * len(flat)).reshape(coefficients.shape)

    def coefficients(self, values: Words, row: int = 0) -> Integers:
        flat = np.ascontiguousarray(values).reshape(-1, self.n)
        return integers(self.context.ntt_inverse(flat, [row] * len(flat))).reshape(values.shape)

    def random_key(self, generator: np.random.Generator) -> Words:
        column = np.array(self.moduli, dtype=np.uint64)[:, None]
        return generator.integers(0, column, (1, 2, 2, self.n), dtype=np.uint64)

    def key(self, generator: np.random.Generator, hidden: Integers, under: Integers) -> Words:
        """An encryption of P * hidden under another secret, with a little noise."""
        rows = np.empty((1, 2, 2, self.n), dtype=np.uint64)
        noise = integers(generator.integers(-3, 4, self.n))
        whole = self.moduli[0] * self.moduli[1]
        uniform = crt(self.random_key(generator)[0, 0], self.moduli)
        body = (noise + self.moduli[1] * hidden - negacyclic(uniform, under, whole)) % whole
        for row in (0, 1):
            rows[0, 0, row], rows[0, 1, row] = self.ntt(body, row), self.ntt(uniform, row)
        return rows

    def switched(self, c: Integers, key: Words) -> Integers:
        """round(c * key / p) of coefficients: [2, n]."""
        q, p = self.moduli
        digit, out = centred(c, q), []
        for poly in key[0]:
            rows = [
                negacyclic(digit, self.coefficients(poly[r], r), m) for r, m in ((0, q), (1, p))
            ]
            whole = crt(np.stack([r.astype(np.uint64) for r in rows]), self.moduli)
            out.append((whole - centred(whole % p, p)) // p % q)
        return np.stack(out)

    def split(self, node: Integers, key: Words, element: int, power: int) -> list[Integers]:
        """Both nodes that a level makes of one."""
        q = self.moduli[0]
        switched = self.switched(node[1], key)
        switched[0] += node[0]
        moved = np.stack([substituted(poly, element, q) for poly in switched])
        monomial = integers(np.zeros(self.n, dtype=np.int64))
        monomial[-power % self.n] = -1 if power else 1
        other = np.stack([negacyclic(poly, monomial, q) for poly in (node - moved) % q])
        return [(node + moved) % q, other]


MODELS = [(32, (48, 50)), (64, (48, 50)), (64, (50, 48)), (64, (20, 17)), (32, (49, 50))]


@pytest.mark.parametrize(("n", "bits"), MODELS)
@pytest.mark.parametrize(("roots", "elements"), [(3, []), (2, [5]), (1, [65, 3, 33])])
def test_expansion_is_exact(n: int, bits: tuple[int, int], roots: int, elements: list[int]) -> None:
    """Any keys and any Galois elements: every residue is that of the integers."""
    model, generator = Model(n, bits), np.random.default_rng(roots)
    elements = [e % (2 * n) for e in elements]
    powers = [0, 1, n - 1][: len(elements)]
    keys = [model.random_key(generator) for _ in elements]
    for values in adversarial(generator, [model.moduli[0]] * 2 * roots, n):
        nodes = integers(values.reshape(roots, 2, n))
        got = _native.expand_constants(
            model.context,
            model.ntt(nodes),
            keys,
            [_native.galois_permutation(n, e) for e in elements],
            powers,
        )
        expected = []
        for root in nodes:
            row = [root]
            for key, element, power in zip(keys, elements, powers, strict=True):
                pairs = [model.split(node, key, element, power) for node in row]
                row = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
            expected += row
        assert got.dtype == np.uint64
        assert np.array_equal(model.coefficients(got), np.stack(expected))


@pytest.mark.parametrize("n", [64, 256])
def test_numbers_become_constants_in_their_order(n: int) -> None:
    """With keys of a secret: what a probe is, and what comes of it."""
    model, generator = Model(n), np.random.default_rng(n)
    (q, p), stride, roots, levels = model.moduli, n // 16, 3, 4
    secret = integers(generator.integers(-1, 2, n))
    numbers = generator.integers(-(2**30), 2**30, (roots, 16))
    plain = np.zeros((roots, n), dtype=object)
    plain[:, ::stride] = integers(numbers)
    uniform = integers(generator.integers(0, q, (roots, n), dtype=np.uint64))
    body = [plain[r] - negacyclic(uniform[r], secret, q) for r in range(roots)]
    ciphertexts = model.ntt(np.stack([np.stack(body), uniform], axis=1))
    elements = [n // (stride << level) + 1 for level in range(levels)]
    inverses = [pow(e, -1, 2 * n) for e in elements]
    constants = _native.expand_constants(
        model.context,
        ciphertexts,
        [model.key(generator, secret, substituted(secret, i, q * p)) for i in inverses],
        [_native.galois_permutation(n, e) for e in elements],
        [stride << level for level in range(levels)],
    )
    assert constants.shape == (roots * 16, 2, n)
    for constant, number in zip(model.coefficients(constants), numbers.ravel(), strict=True):
        opened = centred(constant[0] + negacyclic(constant[1], secret, q), q)
        opened[0] -= 16 * int(number)
        assert max(abs(int(v)) for v in opened) < 2**14


# --- fewer bits -----------------------------------------------------------------------------------


def rounded(x: Integers, q: int, bits: int) -> Integers:
    values: Integers = ((x << bits) + q // 2) // q % (1 << bits)
    return values


@pytest.mark.parametrize(("n", "bits"), MODELS)
@pytest.mark.parametrize("result", [1, 16, 24, 32])
def test_results_are_rounded_exactly(n: int, bits: tuple[int, int], result: int) -> None:
    model, generator = Model(n, bits), np.random.default_rng(result)
    q, key = model.moduli[0], model.random_key(generator)
    values = np.stack(adversarial(generator, [q] * 3, n))
    got = _native.switch_to_bits(model.context, model.ntt(values), key, result)
    assert (got.shape, got.dtype) == ((len(values), 2, n), np.uint32)
    for d, pair in zip(integers(values), got, strict=True):
        expected = rounded((d[:2] + model.switched(d[2], key)) % q, q, result)
        assert np.array_equal(integers(pair), expected)
    assert _native.switch_to_bits(model.context, values[:0], key).shape == (0, 2, n)


@pytest.mark.parametrize("result", [1, 2, 16, 24, 32])
@pytest.mark.parametrize("limb", [17, 48, 50])
def test_both_sides_of_every_rounding(limb: int, result: int) -> None:
    """Next to the half-way points, which no key switch moves when d2 is zero."""
    model = Model(256, (limb, 49))
    q = model.moduli[0]
    generator = np.random.default_rng(result)
    steps = [
        0,
        1,
        2,
        (1 << result) - 1,
        (1 << result) // 2,
        *generator.integers(0, 1 << result, 40),
    ]
    middles = [((2 * int(s) + 1) * q) >> (result + 1) for s in steps]
    edges = [0, 1, q - 1, q - 2, q // 2, q // 2 + 1]
    values = [(m + d) % q for m in middles for d in (-1, 0, 1, 2)] + edges
    products = np.zeros((1, 3, 256), dtype=object)
    products[0, 0] = np.resize(np.array(values, dtype=object), 256)
    products[0, 1] = products[0, 0][::-1]
    got = _native.switch_to_bits(
        model.context, model.ntt(products), model.random_key(generator), result
    )
    assert np.array_equal(integers(got[0]), rounded(products[0, :2], q, result))


def test_24_bits_are_what_is_asked_for_by_default() -> None:
    model, generator = Model(32), np.random.default_rng(0)
    products = model.ntt(integers(generator.integers(0, 2**40, (2, 3, 32))))
    key = model.random_key(generator)
    expected = _native.switch_to_bits(model.context, products, key, 24)
    assert np.array_equal(_native.switch_to_bits(model.context, products, key), expected)


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
    probe, blocks = _native.ProbeTiles(constants), [block_of(first), block_of(second)]
    return {
        "expand_constants": lambda: _native.expand_constants(
            model.context, roots, keys, moves, [128, 256]
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


# --- refusals -------------------------------------------------------------------------------------

N = 64
CONTEXT = context_of(N)
KEY = np.zeros((1, 2, 2, N), dtype=np.uint64)
MOVE = _native.galois_permutation(N, 5)
ROOTS = np.zeros((1, 2, N), dtype=np.uint64)
PRODUCTS = np.zeros((1, 3, N), dtype=np.uint64)
PACKED, ROW = np.zeros(6 * N, dtype=np.uint8), np.zeros(N, dtype=np.uint64)
LARGE = np.uint64(2**48)
BEYOND = np.uint64(distinct_primes((48, 50), N)[0])


def expand(**changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "context": CONTEXT,
        "roots": ROOTS,
        "keys": [KEY],
        "permutations": [MOVE],
        "powers": [0],
    }
    return _native.expand_constants(**{**arguments, **changes})


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


BAD: list[tuple[str, Callable[[], Any]]] = [
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
    ("there is no probe", lambda: _native.search(CONTEXT, None, [])),  # type: ignore[arg-type]
    ("incompatible", lambda: found(blocks=[PACKED])),
]


@pytest.mark.parametrize(("text", "call"), BAD)
def test_bad_arguments_are_refused_with_their_name(text: str, call: Callable[[], Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=text) as caught:
        call()
    assert type(caught.value) is (TypeError if text == "incompatible" else ValueError)
