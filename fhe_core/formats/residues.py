"""Residues in files: row after row, each residue in as many bits as its modulus has.

Evaluation keys of galleries, which are of the standard ring, are words of 64 bits: they were before
there was anything else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.ciphertext import Words
from fhe_core.container import Corrupt, DType, Reader, Section
from fhe_core.parameters import Parameters, Ring

_WORD_BYTES = 8


@dataclass(frozen=True)
class Layout:
    """How ``polynomials`` polynomials, each with a row of ``n`` residues per modulus, lie in a
    section.

    Attributes:
        packed: or words.
    """

    n: int
    moduli: tuple[int, ...]
    polynomials: int
    packed: bool

    @property
    def row_bytes(self) -> list[int]:
        """Of the rows of one polynomial."""
        return [
            self.n * _bits(q) // 8 if self.packed else self.n * _WORD_BYTES for q in self.moduli
        ]

    @property
    def bytes(self) -> int:
        """Of the section."""
        return self.polynomials * sum(self.row_bytes)

    @property
    def form(self) -> tuple[DType, tuple[int, ...]]:
        """Type and shape of the section."""
        if self.packed:
            return DType.U8, (self.bytes,)
        return DType.U64, (self.polynomials, len(self.moduli), self.n)

    def section(self, name: str, polynomials: Iterable[Words]) -> Section:
        """Of polynomials [rows, n], which are asked for one by one."""
        dtype, shape = self.form
        return Section(name, dtype, shape, self._chunks(polynomials))

    def _chunks(self, polynomials: Iterable[Words]) -> Iterator[NDArray[np.uint8] | Words]:
        for polynomial in polynomials:
            for row, q in zip(polynomial, self.moduli, strict=True):
                yield _native.pack_bits(row, _bits(q)) if self.packed else row

    def rows(self, reader: Reader, name: str) -> Iterator[Words]:
        """The rows [n] of a section that has this form, polynomial by polynomial.

        Each is good until the next one; none may be used before the last was asked for, which
        compares the section with its digest.

        Raises:
            Corrupt: the section differs from its digest, or a residue is not below its modulus.
        """
        sizes = self.row_bytes
        piece = np.empty(max(sizes), dtype=np.uint8)
        pieces = reader.pieces_into(name, piece, sizes)
        for (q, size), _ in zip(cycle(zip(self.moduli, sizes, strict=True)), pieces, strict=False):
            row = self._row(piece[:size], q)
            if row.max() >= q:
                deque(pieces, maxlen=0)  # a damaged file is called damaged
                raise Corrupt(f"{reader.header.source}: a residue is not below its modulus")
            yield row

    def _row(self, piece: NDArray[np.uint8], q: int) -> Words:
        if self.packed:
            return _native.unpack_bits(piece, self.n, _bits(q))
        return piece.view(np.uint64)

    def read(self, reader: Reader, name: str) -> Words:
        """All of it, [polynomials, rows, n]; errors as `rows`."""
        out = np.empty((self.polynomials, len(self.moduli), self.n), dtype=np.uint64)
        for place, row in zip(out.reshape(-1, self.n), self.rows(reader, name), strict=True):
            place[:] = row
        return out


def layout(
    parameters: Parameters, rows: Sequence[int], polynomials: int, ring_dimension: int
) -> Layout:
    """rows: of a polynomial, as indices of ``Parameters.primes``."""
    moduli = tuple(parameters.primes[row] for row in rows)
    return Layout(ring_dimension, moduli, polynomials, parameters.ring is Ring.REAL)


def _bits(modulus: int) -> int:
    return modulus.bit_length()
