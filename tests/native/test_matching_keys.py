"""The expansion of a probe and the last rounding of results against Python integers."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_core import _native
from tests.helpers import Integers, adversarial, centred, integers, negacyclic, substituted
from tests.native.matching import MODELS, Model, block_of

# --- expansion ------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("threads", [1, 2, 7, 100])
@pytest.mark.parametrize(("roots", "levels"), [(1, 0), (3, 1), (4, 3), (2, 5)])
def test_an_expanded_probe_holds_the_expanded_constants(
    roots: int, levels: int, threads: int
) -> None:
    """However many levels the threads share: every constant at its place, none left out."""
    model, n = Model(32, threads=threads), 32
    generator = np.random.default_rng(levels)
    q, count = model.moduli[0], roots << levels
    keys = [model.random_key(generator) for _ in range(levels)]
    moves = [_native.galois_permutation(n, e) for e in (3, 5, 9, 17, 33)[:levels]]
    given = generator.integers(0, q, (roots, 2, n), dtype=np.uint64)
    arguments = (given, keys, moves, list(range(levels)))
    constants = _native.expand_constants(model.context, *arguments)
    alone = _native.expand_constants(Model(n).context, *arguments)
    assert np.array_equal(constants, alone)
    blocks = [block_of(generator.integers(0, q, (count, 2, n), dtype=np.uint64)) for _ in range(2)]
    probe = _native.expand_probe(model.context, *arguments)
    assert (probe.features, probe.n) == (count, n)
    expected = _native.search(model.context, _native.ProbeTiles(constants), blocks)
    assert np.array_equal(_native.search(model.context, probe, blocks), expected)


def grown(levels: int) -> list[int]:
    """The leaves of a mirrored expansion: of every number and its mirror image one."""
    numbers = [0]
    for level in range(levels):
        odd = [i + (1 << level) for i in numbers if i == 0 or 2 * i != 1 << level]
        numbers += odd
    return numbers


@pytest.mark.parametrize("threads", [1, 2, 7, 100])
@pytest.mark.parametrize("levels", [1, 2, 3, 5])
def test_a_mirrored_probe_holds_half_of_the_constants(levels: int, threads: int) -> None:
    """Each is one of the whole expansion, or of its mirror image with the other sign."""
    model, n = Model(32, threads=threads), 32
    generator = np.random.default_rng(levels)
    q, count = model.moduli[0], 1 << levels
    keys = [model.random_key(generator) for _ in range(levels)]
    moves = [_native.galois_permutation(n, e) for e in (3, 5, 9, 17, 33)[:levels]]
    given = generator.integers(0, q, (1, 2, n), dtype=np.uint64)
    arguments = (given, keys, moves, list(range(levels)))
    every = _native.expand_constants(model.context, *arguments)
    assert len(grown(levels)) == count // 2 + 1  # with that of the middle, which is nothing
    expected = np.zeros((count // 2, 2, n), np.uint64)
    for number in grown(levels):
        if 2 * number < count:
            expected[number] = every[number]
        elif 2 * number > count:
            expected[count - number] = (q - every[number]) % np.uint64(q)
    blocks = [block_of(generator.integers(0, q, (count // 2, 2, n), dtype=np.uint64))]
    probe = _native.expand_mirrored(model.context, *arguments)
    assert (probe.features, probe.n) == (count // 2, n)
    wanted = _native.search(model.context, _native.ProbeTiles(expected), blocks)
    assert np.array_equal(_native.search(model.context, probe, blocks), wanted)


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
    assert got.shape == (len(values), 2, n)
    assert got.dtype == np.uint32
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
