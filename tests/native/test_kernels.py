"""Residue kernels of every usable target against Python integers, and against each other."""

import functools

import numpy as np
import pytest

from fhe_core import _native

kernels = _native.kernels
TARGETS = ("scalar", "avx2", "avx512ifma")
LENGTHS = (1, 7, 8, 13, 64, 77)
# Bits of the modulus and the longest transform it allows here; q is the largest prime below
# 2^bits that is 1 mod 2n, so "50" is just below the bound of the library.
MODULI = ((20, 1024), (30, 65536), (40, 65536), (49, 65536), (50, 65536))


def is_prime(n):
    """Miller-Rabin, deterministic for 64-bit numbers."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
    if any(n % p == 0 for p in bases):
        return n in bases
    d, s = n - 1, 0
    while d % 2 == 0:
        d, s = d // 2, s + 1
    for base in bases:
        x = pow(base, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(s - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


@functools.lru_cache(None)
def prime(bits, n):
    q = (1 << bits) // (2 * n) * (2 * n) + 1
    while q >= 1 << bits or not is_prime(q):
        q -= 2 * n
    return q


@functools.lru_cache(None)
def make(target, n, q):
    return kernels.Kernels(target, n, q)


@pytest.fixture(params=TARGETS)
def target(request):
    if request.param not in kernels.available():
        pytest.skip(f"this processor or build lacks {request.param}")
    return request.param


@pytest.fixture(params=MODULI, ids=lambda m: f"{m[0]}bit")
def modulus(request):
    """(q, longest n)"""
    bits, n = request.param
    return prime(bits, n), n


def words(values):
    return np.array(values, dtype=np.uint64)


def operands(rng, n, bound):
    """Arrays of length n: random, all extremes, and extremes mixed with random."""
    yield rng.integers(0, bound, n, dtype=np.uint64)
    yield np.full(n, bound - 1, dtype=np.uint64)
    edges = words([0, 1, bound - 1, bound - 2, bound // 2, bound // 2 + 1])
    yield rng.choice(edges, n)
    yield np.where(
        rng.random(n) < 0.5, rng.choice(edges, n), rng.integers(0, bound, n, dtype=np.uint64)
    )


def pairs(rng, n, bound_a, bound_b):
    for a in operands(rng, n, bound_a):
        for b in operands(rng, n, bound_b):
            yield a, b


def expect(actual, reference):
    assert actual.dtype == np.uint64
    assert actual.tolist() == reference


def bit_reverse(i, n):
    return int(bin(i)[2:].zfill(n.bit_length() - 1)[::-1], 2)


@pytest.mark.parametrize("n", LENGTHS)
def test_pointwise_pairs(target, modulus, n):
    q, _ = modulus
    k = make(target, 8, q)
    rng = np.random.default_rng(n)
    w = int(rng.integers(0, q))
    for a, b in pairs(rng, n, q, q):
        out = rng.permutation(b)
        xs = list(zip(out.tolist(), a.tolist(), b.tolist(), strict=False))
        expect(k.add(a, b), [(x + y) % q for _, x, y in xs])
        expect(k.subtract(a, b), [(x - y) % q for _, x, y in xs])
        expect(k.multiply(a, b), [x * y % q for _, x, y in xs])
        expect(k.multiply_add(out, a, b), [(o + x * y) % q for o, x, y in xs])
        for v in (0, 1, q - 1, q // 2, q // 2 + 1, w):
            expect(k.subtract_multiply_scalar(a, b, v), [(x - y) * v % q for _, x, y in xs])


@pytest.mark.parametrize("n", LENGTHS)
def test_wide_input(target, modulus, n):
    """Kernels that take any number below 2^52."""
    q, _ = modulus
    k = make(target, 8, q)
    rng = np.random.default_rng(n)
    factors = (0, 1, 2, q - 1, q // 2, q // 2 + 1, int(rng.integers(0, q)))
    for a, out in pairs(rng, n, 1 << 52, q):
        expect(k.reduce(a), [x % q for x in a.tolist()])
        for w in factors:
            expect(k.multiply_scalar(a, w), [x * w % q for x in a.tolist()])
            expect(
                k.multiply_scalar_add(out, a, w),
                [(o + x * w) % q for o, x in zip(out.tolist(), a.tolist(), strict=False)],
            )


def test_reduce_near_multiples(target, modulus):
    q, _ = modulus
    k = make(target, 8, q)
    rng = np.random.default_rng(5)
    quotients = np.concatenate([rng.integers(0, (1 << 52) // q, 200), [0, 1, (1 << 52) // q - 1]])
    a = words([int(c) * q + d for c in quotients for d in (0, 1, q - 1, q // 2)])
    expect(k.reduce(a), [x % q for x in a.tolist()])


@pytest.mark.parametrize(
    ("terms", "n"),
    [(1, 77), (2, 200), *((t, 77) for t in (3, 4, 5, 8, 9, 12, 15, 16, 17, 255)), (4096, 13)],
)
@pytest.mark.parametrize("kind", ["max", "random", "edges"])
def test_sums(target, modulus, terms, n, kind):
    q, _ = modulus
    k = make(target, 8, q)
    rng = np.random.default_rng(terms)

    def matrix(rows, columns, bound):
        if kind == "max":
            return np.full((rows, columns), bound - 1, dtype=np.uint64)
        if kind == "edges":
            return rng.choice(words([0, 1, bound - 1]), (rows, columns))
        return rng.integers(0, bound, (rows, columns), dtype=np.uint64)

    x = matrix(terms, n, 1 << 50)
    w = matrix(1, terms, q)[0]
    a, b = matrix(terms, n, q), matrix(terms, n, q)
    big = functools.partial(np.asarray, dtype=object)
    expected = [int(v) % q for v in big(w) @ big(x)]
    expect(k.weighted_sum(x, w), expected)
    expect(lazily_reduced(k.weighted_sum_lazy(x, w), q), expected)
    four = matrix(terms, 4, q)
    lazy = k.weighted_sums_lazy(x, four)
    for got, other, column in zip(k.weighted_sums(x, four), lazy, four.T, strict=True):
        expected = [int(v) % q for v in big(column) @ big(x)]
        expect(got, expected)
        expect(lazily_reduced(other, q), expected)
    expect(k.dot_product(a, b), [int(v) % q for v in (big(a) * big(b)).sum(axis=0)])
    wide = matrix(terms, n, 1 << 52)
    expect(k.scaled_dot_product(wide, b), [int(v) % q for v in (big(wide) * big(b)).sum(axis=0)])


def lazily_reduced(values, q):
    assert values.max() < 4 * q
    return values % np.uint64(q)


@pytest.mark.parametrize("n", LENGTHS)
def test_lift(target, modulus, n):
    q, _ = modulus
    k = make(target, 8, q)
    rng = np.random.default_rng(n)
    for values in (
        rng.integers(1 - q, q, n),
        rng.choice(np.array([1 - q, -1, 0, 1, q - 1]), n),
        np.full(n, 1 - q),
    ):
        expect(k.lift(values.astype(np.int64)), [int(v) % q for v in values])


@pytest.mark.parametrize("n", [8, 16, 32, 64, 256])
def test_ntt_of_a_block_is_that_of_its_columns(target, modulus, n):
    q, longest = modulus
    k = make(target, min(longest, 1024), q)
    rng = np.random.default_rng(n)
    for columns in (
        rng.integers(0, q, (n, 8), dtype=np.uint64),
        np.full((n, 8), q - 1, dtype=np.uint64),
    ):
        expected = [k.ntt_forward(column.copy()) for column in columns.T]
        assert np.array_equal(k.ntt_forward_block(columns), np.array(expected).T)
        expected = [k.real_ntt_forward(column.copy()) for column in columns.T]
        assert np.array_equal(k.real_ntt_forward_block(columns), np.array(expected).T)


@pytest.mark.parametrize(("terms", "n"), [(3, 1000), (20, 4096 + 8 + 5), (64, 2049)])
def test_long_sums_equal_scalar(target, modulus, terms, n):
    q, _ = modulus
    k, reference = make(target, 8, q), make("scalar", 8, q)
    rng = np.random.default_rng(n)
    x = rng.integers(0, 1 << 50, (terms, n), dtype=np.uint64)
    w = rng.integers(0, q, terms, dtype=np.uint64)
    a, b = rng.integers(0, q, (2, terms, n), dtype=np.uint64)
    assert np.array_equal(k.weighted_sum(x, w), reference.weighted_sum(x, w))
    four = rng.integers(0, q, (terms, 4), dtype=np.uint64)
    assert np.array_equal(k.weighted_sums(x, four), reference.weighted_sums(x, four))
    assert np.array_equal(k.dot_product(a, b), reference.dot_product(a, b))


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("terms", [1, 2, 9, 17])
def test_rounded_sum(target, n, terms):
    """As in the preparation of a base conversion: fractions of residues, added up."""
    k = make(target, 8, prime(50, 65536))
    rng = np.random.default_rng(n + terms)
    x = rng.integers(0, 1 << 50, (terms, n), dtype=np.uint64)
    x[:, 0] = (1 << 52) - 1
    factors = rng.uniform(2.0**-50, 2.0**-49, terms)
    sums = np.zeros(n)
    for row, factor in zip(x, factors, strict=True):
        sums = sums + row.astype(float) * factor
    assert k.rounded_sum(x, factors).tolist() == np.rint(sums).tolist()


def test_rounded_sum_takes_the_even_one_of_two_neighbours(target):
    k = make(target, 8, prime(50, 65536))
    x = np.array([[0, 1, 2, 3, 5, 7, 9, 1, 3]], dtype=np.uint64)
    assert k.rounded_sum(x, np.array([0.5])).tolist() == [0, 0, 1, 2, 2, 4, 4, 0, 2]
    x = np.full((1, 9), (1 << 52) - 1, dtype=np.uint64)
    assert k.rounded_sum(x, np.array([0.25])).tolist() == [1 << 50] * 9


def block_index(rng, n):
    """Maps aligned blocks of 8 to aligned blocks of 8, each permuted in its own way."""
    blocks = rng.permutation(n // 8)
    within = [rng.permutation(8) for _ in blocks]
    return np.concatenate([8 * b + w for b, w in zip(blocks, within, strict=True)]).astype("uint32")


@pytest.mark.parametrize("n", [8, 16, 64, 72, 1000, 1024])
def test_permute(target, n):
    k = make(target, 8, prime(50, 65536))
    rng = np.random.default_rng(n)
    data = rng.integers(0, 1 << 63, n, dtype=np.uint64)
    index = block_index(rng, n)
    assert np.array_equal(k.permute(data, index), data[index])


@pytest.mark.parametrize("terms", [1, 2, 3, 17])
@pytest.mark.parametrize(("n", "element"), [(8, 1), (8, 5), (16, 27), (64, 3), (1024, 2047)])
def test_key_product(target, n, element, terms):
    q = prime(50, 65536)
    k = make(target, 8, q)
    rng = np.random.default_rng(n + terms)
    digits = rng.integers(0, q, (terms, n), dtype=np.uint64)
    keys = rng.integers(0, q, (2, terms, n), dtype=np.uint64)
    addends = rng.integers(0, q, (2, n), dtype=np.uint64)
    digits[:, :8] = keys[:, :, :8] = addends[:, :8] = q - 1
    index = _native.galois_permutation(n, element)
    sums = [
        (digits.astype(object) * rows.astype(object)).sum(axis=0) + addend.astype(object) * (q - 1)
        for rows, addend in zip(keys, addends, strict=True)
    ]
    expected = (np.array(sums) % q)[:, index]
    bases = rng.integers(0, q, (2, n), dtype=np.uint64)
    bases[:, :4] = q - 1
    product, added = k.key_product(digits, keys, addends, q - 1, index, bases)
    assert product.tolist() == expected.tolist()
    assert added.tolist() == ((expected + bases.astype(object)) % q).tolist()


def test_an_index_that_breaks_blocks_is_refused():
    q = prime(50, 65536)
    k = make("scalar", 8, q)
    data = np.zeros(16, dtype=np.uint64)
    zeros = np.zeros((2, 1, 16), dtype=np.uint64)
    whole = np.arange(16, dtype=np.uint32)
    for index in (whole[:8], np.roll(whole, 1), whole // 2 * 2, whole + np.uint32(8)):
        with pytest.raises(ValueError, match="blocks of 8"):
            k.permute(data, index)
        with pytest.raises(ValueError, match="blocks of 8"):
            k.key_product(data[None], zeros, zeros[:, 0], 0, index, zeros[:, 0])


def test_a_permutation_of_no_galois_element_is_refused():
    q = prime(50, 65536)
    k = make("scalar", 8, q)
    zeros = np.zeros((2, 1, 32), dtype=np.uint64)
    blocks = np.arange(32, dtype=np.uint32).reshape(4, 8)
    other_order = np.concatenate([blocks[0], blocks[1][[0, 2, 1, 3, 4, 5, 6, 7]], *blocks[2:]])
    torn = blocks[[0, 2, 1, 3]].ravel()  # halves of a block of 16 go to different ones
    for index in (other_order, torn):
        with pytest.raises(ValueError, match="Galois element"):
            k.key_product(zeros[0], zeros, zeros[:, 0], 0, index, zeros[:, 0])


@pytest.mark.parametrize("n", [8, 16, 32, 64])
def test_ntt_is_evaluation(target, modulus, n):
    q, _ = modulus
    k = make(target, n, q)
    psi = k.psi
    assert pow(psi, n, q) == q - 1
    assert psi == min(pow(psi, e, q) for e in range(1, 2 * n, 2))
    points = [pow(psi, 2 * bit_reverse(i, n) + 1, q) for i in range(n)]
    for a in operands(np.random.default_rng(n), n, q):
        coefficients = a.tolist()
        values = [sum(c * pow(x, j, q) for j, c in enumerate(coefficients)) % q for x in points]
        expect(k.ntt_forward(a), values)
        assert np.array_equal(k.ntt_inverse(words(values)), a)
        for factor in (0, 1, 2, q - 1):
            expect(k.ntt_inverse(words(values), factor), [factor * c % q for c in coefficients])


def test_ntt_multiplies_negacyclically(target, modulus):
    """X^(n-1) * X = -1, at the full length; independent of the scalar target."""
    q, n = modulus
    k = make(target, n, q)
    a, b, c = (np.zeros(n, dtype=np.uint64) for _ in range(3))
    a[n - 1], a[5], b[1], b[n // 2] = 3, 7, 2, q - 1
    for i, x in ((n - 1, 3), (5, 7)):
        for j, y in ((1, 2), (n // 2, -1)):
            sign = 1 if i + j < n else -1
            c[(i + j) % n] = (int(c[(i + j) % n]) + sign * x * y) % q
    product = k.multiply(k.ntt_forward(a), k.ntt_forward(b))
    assert np.array_equal(k.ntt_inverse(product), c)


def test_ntt_all_lengths_equal_scalar(target, modulus):
    """Every length up to the largest, with prefixes of the longest tables."""
    q, longest = modulus
    k, reference = make(target, longest, q), make("scalar", longest, q)
    rng = np.random.default_rng(1)
    n = 8
    while n <= longest:
        for a in list(operands(rng, n, q))[: 4 if n < 65536 else 2]:
            values = k.ntt_forward(a)
            assert np.array_equal(values, reference.ntt_forward(a))
            assert np.array_equal(k.ntt_inverse(values), a)
            assert np.array_equal(k.ntt_inverse(a), reference.ntt_inverse(a))
            scaled = reference.multiply_scalar(a, q - 2)
            assert np.array_equal(k.ntt_inverse(values, q - 2), scaled)
        n *= 2


@pytest.mark.parametrize("n", [8, 128, 512])
def test_ntt_prefix_of_longer_tables(target, n):
    """With tables of length N a transform of length n evaluates at powers of psi^(N/n)."""
    q, longest = prime(49, 65536), 2048
    k = make(target, longest, q)
    root = pow(k.psi, longest // n, q)
    a = np.random.default_rng(n).integers(0, q, n, dtype=np.uint64)
    values = k.ntt_forward(a)
    for i in (0, 1, 2, n // 2, n - 1):
        x = pow(root, 2 * bit_reverse(i, n) + 1, q)
        assert int(values[i]) == sum(c * pow(x, j, q) for j, c in enumerate(a.tolist())) % q


def test_rejects_bad_input():
    q = prime(30, 64)
    k = kernels.Kernels("scalar", 64, q)
    ok = np.zeros(8, dtype=np.uint64)
    for call in (
        lambda: kernels.Kernels("sse9", 64, q),
        lambda: kernels.Kernels("scalar", 48, q),
        lambda: kernels.Kernels("scalar", 4, q),
        lambda: kernels.Kernels("scalar", 64, (1 << 50) + 1),
        lambda: kernels.Kernels("scalar", 64, 12289),
        lambda: kernels.Kernels("scalar", 64, q + 2),
        lambda: kernels.Kernels("scalar", 8, 3**16 * 16 + 1),  # not a prime
        lambda: k.add(ok, ok[:7]),
        lambda: k.add(ok, ok + np.uint64(q)),
        lambda: k.add(ok[:0], ok[:0]),
        lambda: k.reduce(ok + np.uint64(1 << 52)),
        lambda: k.multiply_scalar(ok, q),
        lambda: k.ntt_forward(ok[:7]),
        lambda: k.ntt_forward(np.zeros(128, dtype=np.uint64)),
        lambda: k.weighted_sum(ok.reshape(2, 4), ok[:3]),
        lambda: k.weighted_sum(ok.reshape(1, 8) + np.uint64(1 << 50), ok[:1]),
        lambda: k.weighted_sums(ok.reshape(2, 4), ok.reshape(4, 2)),
        lambda: k.weighted_sums(ok.reshape(2, 4), ok.reshape(2, 4)[:1]),
        lambda: k.dot_product(ok.reshape(2, 4), ok.reshape(4, 2)),
        lambda: k.dot_product(np.zeros((4097, 1), np.uint64), np.zeros((4097, 1), np.uint64)),
        lambda: k.permute(ok, np.array([8], dtype=np.uint32)),
        lambda: k.scaled_dot_product(ok.reshape(2, 4), ok.reshape(4, 2)),
        lambda: k.scaled_dot_product(ok.reshape(1, 8) + np.uint64(1 << 52), ok.reshape(1, 8)),
        lambda: k.weighted_sum_lazy(ok.reshape(1, 8) + np.uint64(1 << 50), ok[:1]),
        lambda: k.weighted_sums_lazy(ok.reshape(2, 4), ok.reshape(4, 2)),
        lambda: k.lift(np.array([q])),
        lambda: k.lift(np.array([-q])),
        lambda: k.ntt_forward_block(ok.reshape(1, 8)),
        lambda: k.ntt_forward_block(np.full((8, 8), q, dtype=np.uint64)),
        lambda: k.ntt_forward_block(np.zeros((128, 8), dtype=np.uint64)),
    ):
        with pytest.raises(ValueError, match=r"."):
            call()
    with pytest.raises(TypeError):
        k.add(ok.astype(np.int64), ok)
    with pytest.raises(TypeError):
        k.add(np.zeros(16, dtype=np.uint64)[::2], ok)


def test_selection(monkeypatch):
    monkeypatch.delenv("FHE_FACE_KERNELS", raising=False)
    assert kernels.available()[-1] == "scalar"
    assert kernels.selected() == kernels.available()[0]
    for name in kernels.available():
        monkeypatch.setenv("FHE_FACE_KERNELS", name)
        assert kernels.selected() == name
    monkeypatch.setenv("FHE_FACE_KERNELS", "sse9")
    with pytest.raises(ValueError, match="scalar"):
        kernels.selected()


# --- the real ring --------------------------------------------------------------------------------


def real_values(coefficients, psi, q):
    """a_0 + sum of a_i (x^i + x^-i) at x = psi^(4 bitrev(i) + 1), term by term."""
    n = len(coefficients)
    points = [pow(psi, 4 * bit_reverse(i, n) + 1, q) for i in range(n)]
    rest = list(enumerate(coefficients))[1:]
    return [
        (coefficients[0] + sum(a * (pow(x, i, q) + pow(x, -i, q)) for i, a in rest)) % q
        for x in points
    ]


@pytest.mark.parametrize("n", [8, 16, 32, 64, 128])
def test_real_ntt_is_evaluation(target, modulus, n):
    q, _ = modulus
    k = make(target, 2 * n, q)
    for a in operands(np.random.default_rng(n), n, q):
        values = real_values(a.tolist(), k.psi, q)
        expect(k.real_ntt_forward(a), values)
        expect(k.real_ntt_inverse(words(values)), a.tolist())
        for factor in (0, 1, 2, q - 1):
            expected = [factor * c % q for c in a.tolist()]
            expect(k.real_ntt_inverse(words(values), factor), expected)


def test_real_ntt_is_half_of_the_standard_one(target, modulus):
    """At all lengths, with prefixes of the longest tables: elements of the ring of degree 2n whose
    values are the same at inverse roots."""
    q, longest = modulus
    k, reference = make(target, longest, q), make("scalar", longest, q)
    rng = np.random.default_rng(2)
    n = 8
    while n <= longest // 2:
        for a in list(operands(rng, n, q))[: 4 if n < 32768 else 2]:
            whole = np.zeros(2 * n, dtype=np.uint64)
            whole[:n] = a
            whole[n + 1 :] = (q - a[:0:-1]) % np.uint64(q)
            values = k.real_ntt_forward(a)
            assert np.array_equal(values, reference.ntt_forward(whole)[:n])
            assert np.array_equal(k.real_ntt_inverse(values), a)
            assert np.array_equal(k.real_ntt_inverse(a), reference.real_ntt_inverse(a))
            scaled = reference.multiply_scalar(a, q - 2)
            assert np.array_equal(k.real_ntt_inverse(values, q - 2), scaled)
        n *= 2


def test_real_ntt_takes_half_of_its_tables():
    k = make("scalar", 64, prime(30, 64))
    for length in (4, 24, 64):
        with pytest.raises(ValueError, match="from 8 to 32"):
            k.real_ntt_forward(np.zeros(length, dtype=np.uint64))
        with pytest.raises(ValueError, match="from 8 to 32"):
            k.real_ntt_inverse(np.zeros(length, dtype=np.uint64))


@pytest.fixture
def flushed():
    """Denormal numbers are zero in this thread, as other libraries sometimes leave it."""
    torch = pytest.importorskip("torch", reason="this needs torch, which sets the processor's mode")
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormal numbers")
    yield lambda: float(np.float64(5e-324) * np.ones(1)[0]) == 0
    torch.set_flush_denormal(False)


def test_state_of_the_processor_does_not_matter(target, flushed):
    """Kernels compare residues as doubles, which are denormal."""
    q, n = prime(50, 65536), 256
    k, reference = make(target, n, q), make("scalar", n, q)
    for a, b in pairs(np.random.default_rng(3), n, q, q):
        expect(k.subtract(a, b), [(x - y) % q for x, y in zip(a.tolist(), b.tolist(), strict=True)])
        assert np.array_equal(k.multiply(a, b), reference.multiply(a, b))
        assert np.array_equal(k.ntt_forward(a), reference.ntt_forward(a))
        assert np.array_equal(k.ntt_inverse(a), reference.ntt_inverse(a))
    assert flushed()  # still: the caller's state was given back
