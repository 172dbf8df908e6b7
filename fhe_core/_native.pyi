"""The C++ extension (cpp/bindings). A test compares every name and parameter with the module.

Wrong shapes, indices out of range and unusable values raise ValueError, wrong dtypes TypeError.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

_Words = NDArray[np.uint64]
_Index = NDArray[np.uint32]
_Signed = NDArray[np.int64]
_Reals = NDArray[np.float64]
_Bytes = NDArray[np.uint8]

def galois_permutation(n: int, galois_element: int, ring: str = "standard") -> _Index:
    """Gather index of a(X) -> a(X^galois_element) in bit-reversed NTT order.

    ring: as for ``Context``. The element is odd and below 2n; in the real ring it is 1 mod 4 and
    below 4n.
    """

def fill_uniform(out: _Words, words: _Words, q: int) -> int:
    """Residues below q from random words by rejection; returns how many were filled."""

def key_memory(digits: int, rows: int, n: int) -> _Words:
    """Room for a key switching key, uninitialised: [rows, n / strip, digits, 2, strip].

    strip is 32, or n if that is less. ``Context`` takes keys in this order, in which it reads them.
    """

def store_key_row(key: _Words, row: int, digit: int, poly: int, values: _Words, q: int) -> None:
    """Residues [n] modulo q into their place in a key, times 2^52 modulo q.

    Raises:
        ValueError: a residue is not below q: the key must not be used; or there is no such place.
    """

def load_key(key: _Words, moduli: Sequence[int]) -> _Words:
    """All residues [digits, 2, rows, n] that were stored; moduli: of the rows."""

class ThreadError(RuntimeError):
    """The system does not let as many threads start as a context was asked for."""

class KernelsError(ValueError):
    """FHE_FACE_KERNELS names kernels that are not available here; the text says which are."""

@final
class Kept:
    """A mask whose residues are kept, in the basis of every transform that has it.

    coefficients: as of a transform's mask; the array is held, and must be the very one that the
    transforms have.
    """

    def __init__(self, coefficients: _Signed) -> None: ...
    @property
    def coefficients(self) -> _Signed: ...
    @property
    def nbytes(self) -> int:
        """Of the residues that were needed so far."""

@final
class Transform:
    """What of a linear transform is the same for every ciphertext; see ring/transform.hpp.

    masks: signed coefficients [n] each, below 2^50; terms: (baby step, mask or -1); outputs: per
    accumulator (term, weight) pairs [entries, 2]; weights: [count, period] coefficients; kept: some
    of the masks. The arrays are held, not copied.
    """

    def __init__(
        self,
        masks: Sequence[_Signed],
        terms: Sequence[tuple[int, int]],
        outputs: Sequence[_Index],
        weights: _Signed,
        kept: Sequence[Kept] = (),
    ) -> None: ...
    @property
    def masks(self) -> list[_Signed]: ...
    @property
    def terms(self) -> list[tuple[int, int]]: ...
    @property
    def outputs(self) -> list[_Index]: ...
    @property
    def weights(self) -> _Signed: ...

@final
class Context:
    """RNS arithmetic over a list of moduli. ``rows`` says which modulus each row belongs to.

    ring: what n coefficients stand for. "standard": a_0 + a_1 X + ..., modulo X^n + 1; the moduli
    are 1 mod 2n. "real": a_0 + sum of a_i (X^i + X^-i), modulo X^2n + 1; they are 1 mod 4n.
    secret: what was computed is cleared before its memory is given back. idle_limit: bytes that are
    kept for the next results in any case; more are kept only as far as so many were in use at a
    time.

    A forked child can go on with a context: a fork waits for running computations, and ends the
    threads that computed for the thread that forks; the next computation starts new ones.

    Raises:
        ThreadError: see there; asked once, when the context is made.
        KernelsError: see there.
        ValueError: n, the moduli or the number of threads are not usable.
    """

    def __init__(
        self,
        n: int,
        moduli: Sequence[int],
        threads: int,
        secret: bool = False,
        idle_limit: int = 2147483648,
        ring: str = "standard",
    ) -> None: ...
    def of_degree(self, n: int) -> Context:
        """The same, of polynomials with n coefficients; the memory of results is shared.

        Raises:
            ValueError: n is not usable.
        """
    @property
    def idle_bytes(self) -> int:
        """Memory kept for the next results."""
    @property
    def n(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def kernels(self) -> str: ...
    def ntt_forward(self, a: _Words, rows: Sequence[int], /) -> _Words: ...
    def ntt_inverse(self, a: _Words, rows: Sequence[int], /) -> _Words: ...
    def add(self, a: _Words, b: _Words, rows: Sequence[int], /) -> _Words: ...
    def subtract(self, a: _Words, b: _Words, rows: Sequence[int], /) -> _Words: ...
    def multiply(self, a: _Words, b: _Words, rows: Sequence[int], /) -> _Words: ...
    def multiply_scalars(
        self, a: _Words, factors: Sequence[int], rows: Sequence[int], /
    ) -> _Words: ...
    def embed_signed(self, coefficients: _Signed, rows: Sequence[int], /) -> _Words:
        """NTT rows of signed coefficients [n]."""
    def add_plain(self, a: _Words, coefficients: _Signed, rows: Sequence[int]) -> _Words:
        """A ciphertext [2, rows, n] plus a plaintext of signed coefficients [size] in X^(n / size);
        size: a power of two, at most n."""
    def multiply_plain(self, a: _Words, coefficients: _Signed, rows: Sequence[int]) -> _Words:
        """A ciphertext [2, rows, n] times a plaintext of signed coefficients [n]."""
    def permute(self, a: _Words, index: _Index, /) -> _Words:
        """Every row gathered by index [n]."""
    def decompose(
        self,
        c: _Words,
        rows: Sequence[int],
        digit_limbs: int,
        digits: int,
        specials: Sequence[int],
    ) -> _Words:
        """Centred digits [digits, rows + specials, n] of c [rows, n].

        Each covers ``digit_limbs`` rows, the last one all that remain.
        """
    def extend(
        self,
        c: _Words,
        rows: Sequence[int],
        digit_limbs: int,
        digits: int,
        specials: Sequence[int],
    ) -> _Words:
        """As ``decompose``; nothing is written to the rows that a digit covers itself."""
    def switch_key(
        self,
        digits: _Words,
        rows: Sequence[int],
        specials: Sequence[int],
        key: _Words,
        key_rows: Sequence[int],
        addend: _Words,
        p_mod_q: Sequence[int],
        permutation: _Index | None,
        base: _Words | None,
        source: _Words | None = None,
        digit_limbs: int = 0,
    ) -> _Words:
        """base + permuted(digits * key + addend), [2, rows + specials, n], in place in base.

        digits: [digits, rows + specials, n]; key: as ``key_memory``, its rows: key_rows;
        addend: [0 to 2, rows, n], which enters times P, or [0 to 2, rows + specials, n] in the
        basis QP, which enters as it is. source [rows, n]: what was decomposed, where the digits are
        those of ``extend``.
        """
    def halves(self, a: _Words, rows: Sequence[int]) -> _Words:
        """Coefficients [2, rows, n / 2] of the even part of an element of the real ring, and of its
        odd part divided by X + 1/X, both of the ring of half the degree in Y = X^2.
        """
    def tensor(self, a: _Words, b: _Words, rows: Sequence[int]) -> _Words:
        """(a0 b0, a0 b1 + a1 b0, a1 b1), [3, rows, n]."""
    def divide_and_round(
        self,
        x: _Words,
        rows: Sequence[int],
        wanted: Sequence[int],
        factors: Sequence[int] = ...,
    ) -> _Words:
        """round(k x Q' / Q) modulo Q' of polynomials [polys, rows, n]: [polys, wanted, n].

        Q is the product of the moduli of ``rows``, Q' of ``wanted``; the wanted may be others. k is
        given by its residues modulo the moduli of ``rows``; none: 1.
        """
    def accumulate(
        self,
        transform: Transform,
        inputs: Sequence[tuple[_Words, _Words]],
        babies: Sequence[tuple[int, _Index | None, _Words | None, Sequence[int]]],
        rows: Sequence[int],
        specials: Sequence[int],
        p_mod_q: Sequence[int],
        digit_limbs: int = 0,
    ) -> list[_Words]:
        """The fused linear transform: for each output an array [2, rows + specials, n].

        inputs: a ciphertext [2, rows, n] and its digits, which may be empty where it is not
        rotated; babies: (input, permutation, key, rows of the key), or None for both. digit_limbs:
        where the digits are those of ``extend``.
        """

def pack_bits(values: _Words, bits: int) -> _Bytes:
    """Words below 2^bits [n] without gaps, the lowest bits first: [n * bits / 8].

    n is a multiple of 8, bits from 1 to 56.
    """

def unpack_bits(packed: _Bytes, count: int, bits: int) -> _Words:
    """The words [count] of ``pack_bits``'s bytes."""

def pack48(words: _Words) -> _Bytes:
    """Words below 2^48 [..., n] as six bytes each, the lowest first: [..., 6 n]."""

def unpack48(data: _Bytes) -> _Words:
    """The words [..., n] of ``pack48``'s bytes [..., 6 n]."""

def expand_constants(
    context: Context,
    roots: _Words,
    keys: Sequence[_Words],
    permutations: Sequence[_Index],
    powers: Sequence[int],
) -> _Words:
    """[roots * 2^levels, 2, n] of roots [roots, 2, n], modulo the first of the two moduli.

    Level l turns every node c into c + s(c) and X^-powers[l] (c - s(c)), s by the l-th key
    [1, 2, 2, n] (as for ``Context.switch_key``) and permutation; node i becomes i and i + 2^l of
    its root. See matching/constants.hpp.
    """

def expand_probe(
    context: Context,
    roots: _Words,
    keys: Sequence[_Words],
    permutations: Sequence[_Index],
    powers: Sequence[int],
) -> ProbeTiles:
    """As ``ProbeTiles`` of ``expand_constants``, without the array between them."""

def expand_mirrored(
    context: Context,
    roots: _Words,
    keys: Sequence[_Words],
    permutations: Sequence[_Index],
    powers: Sequence[int],
) -> ProbeTiles:
    """As ``expand_probe`` of one root [1, 2, n] whose number 2^levels - i is the negative of number
    i: the first half of the constants, for half of the key switches."""

@final
class ProbeTiles:
    """A copy of a probe's constants [features, 2, n], words below 2^48, as ``search`` reads them.

    At most 4,096 features; n is a power of two from 16 to 131,072.
    """

    def __init__(self, constants: _Words) -> None: ...
    @property
    def features(self) -> int: ...
    @property
    def n(self) -> int: ...

@final
class BlockMemory:
    """A block's ciphertexts, packed, in the order in which ``search`` reads them.

    At most 4,096 features; n is a power of two from 16 to 131,072.
    """

    def __init__(self, features: int, n: int) -> None: ...
    def set(self, k: int, body: _Bytes, uniform: _Words) -> None:
        """Ciphertext k: its first polynomial packed [6 n], its second as words below 2^48 [n]."""
    @property
    def features(self) -> int: ...
    @property
    def n(self) -> int: ...
    @property
    def bytes(self) -> int:
        """Memory that its ciphertexts take."""

def search(context: Context, probe: ProbeTiles, blocks: Sequence[BlockMemory]) -> _Words:
    """(d0, d1, d2) of every block, [blocks, 3, n]: the sums over k of the tensor products of
    constant k and ciphertext k, modulo the first of the context's moduli, in NTT order.

    Every ciphertext of every block must have been set.
    """

def switch_to_bits(context: Context, products: _Words, key: _Words, bits: int = 24) -> _Index:
    """Coefficients [blocks, 2, n] of products [blocks, 3, n], relinearised with key [1, 2, 2, n].

    x becomes round(x 2^bits / q) modulo 2^bits, exactly, q the first of the context's two moduli;
    bits is from 1 to 32.
    """

class kernels:  # a module, written as a class so that one stub file is enough
    """Residue kernels of one modulus, for tests and benchmarks."""

    @staticmethod
    def available() -> list[str]:
        """Names of the usable implementations, fastest first."""
    @staticmethod
    def selected() -> str:
        """The one the library uses (environment variable FHE_FACE_KERNELS)."""

    @final
    class Kernels:
        def __init__(self, name: str, n: int, q: int) -> None: ...
        @property
        def psi(self) -> int: ...
        def ntt_forward(self, a: _Words) -> _Words: ...
        def ntt_inverse(self, a: _Words, factor: int = 1) -> _Words:
            """Times a factor below q, as ``real_ntt_inverse``."""
        def real_ntt_forward(self, a: _Words) -> _Words:
            """Of the real ring, and half as long: see ``Context``."""
        def real_ntt_inverse(self, a: _Words, factor: int = 1) -> _Words: ...
        def add(self, a: _Words, b: _Words) -> _Words: ...
        def subtract(self, a: _Words, b: _Words) -> _Words: ...
        def multiply(self, a: _Words, b: _Words) -> _Words: ...
        def multiply_add(self, out: _Words, a: _Words, b: _Words) -> _Words: ...
        def multiply_scalar(self, a: _Words, w: int) -> _Words: ...
        def multiply_scalar_add(self, out: _Words, a: _Words, w: int) -> _Words: ...
        def subtract_multiply_scalar(self, a: _Words, b: _Words, w: int) -> _Words: ...
        def reduce(self, a: _Words) -> _Words: ...
        def dot_product(self, a: _Words, b: _Words) -> _Words: ...
        def scaled_dot_product(self, a: _Words, b: _Words) -> _Words:
            """As ``dot_product``, of a below 2^52; b is kept times 2^52."""
        def weighted_sum(self, x: _Words, w: _Words) -> _Words: ...
        def weighted_sums(self, x: _Words, w: _Words) -> _Words:
            """Four sums [4, n] with weights [terms, 4] at once."""
        def weighted_sum_lazy(self, x: _Words, w: _Words) -> _Words:
            """Below 4q only, as the next."""
        def weighted_sums_lazy(self, x: _Words, w: _Words) -> _Words: ...
        def lift(self, a: _Signed) -> _Words:
            """a modulo q, for a between -q and q."""
        def ntt_forward_block(self, a: _Words) -> _Words:
            """The transforms of all columns of a [length, 8]."""
        def real_ntt_forward_block(self, a: _Words) -> _Words: ...
        def rounded_sum(self, x: _Words, factors: _Reals) -> _Words:
            """The sum of rows x [terms, n], below 2^52, times factors [terms], as doubles, rounded
            to the nearest integers."""
        def permute(self, a: _Words, index: _Index) -> _Words:
            """a[index], where index maps aligned blocks of 8 to aligned blocks of 8."""
        def key_product(
            self,
            digits: _Words,
            keys: _Words,
            addends: _Words,
            factor: int,
            index: _Index,
            bases: _Words,
        ) -> tuple[_Words, _Words]:
            """(sum of digits [terms, n] times keys [2, terms, n] + factor addends [2, n])[index],
            and the same plus bases [2, n], in place.

            index: of a Galois element (``galois_permutation``).
            """

        def packed_products(self, plain: _Words, packed: _Bytes) -> _Words:
            """(p0 t0, p0 t1 + p1 t0, p1 t1), summed over the terms: [blocks, 3, strips * 16].

            plain: [strips, terms, 2, 16], below 2^48; packed: [blocks, strips, terms, 2, 96].
            """

    @final
    class Workload:
        """Prepared data on which a kernel can be run and timed."""

        def __init__(self, kernels: kernels.Kernels, terms: int) -> None: ...
        def run(self, kernel: str, repeats: int = 1) -> None: ...
