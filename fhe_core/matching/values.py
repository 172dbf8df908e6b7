"""What crosses between client and server: sealed blocks, probes and scores. All of it is public."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.ciphertext import Words
from fhe_core.container import Corrupt, KeyMismatch, ParameterMismatch
from fhe_core.keys.expand import SEED_BYTES, uniform_row
from fhe_core.matching.errors import AnswerMismatch, MatchingError, StaleAnswer
from fhe_core.matching.parameters import RESIDUE_BYTES, MatchParameters

Bytes = NDArray[np.uint8]
#: Which positions of a block are live, [N].
Mask = NDArray[np.bool_]
#: Of the token that binds scores to their probe.
TOKEN_BYTES = 32


@dataclass(frozen=True, eq=False)
class Sealed:
    """Ciphertexts of one key whose uniform halves come from one seed.

    Ciphertext k takes the seed's stream of domain k, so that no two share a row.

    Attributes:
        parameters: that it was sealed with.
        key_id: of the key that sealed it.
        seed: 32 bytes.
        bodies: c0 in NTT form, six little-endian bytes a residue: u8 [count, 6 N].
    """

    what: ClassVar[str]
    parameters: MatchParameters
    key_id: str
    seed: bytes
    bodies: Bytes

    def body(self, position: int) -> Words:
        """c0 [N] of one ciphertext, checked to lie below the modulus.

        Raises:
            Corrupt: a residue does not.
        """
        residues = _native.unpack48(self.bodies[position])
        if residues.max() >= self.parameters.modulus:
            raise Corrupt("a sealed ciphertext holds a residue that is not below its modulus")
        return residues

    def uniform(self, position: int) -> Words:
        """c1 [N] of one ciphertext, in NTT form."""
        out = np.empty(self.parameters.templates, dtype=np.uint64)
        uniform_row(self.seed, position, 0, 0, self.parameters.modulus, out)
        return out

    def require(self, parameters: MatchParameters, key_id: str, count: int) -> None:
        """Sealed with these parameters by this key, and as many ciphertexts as there should be.

        Raises:
            ParameterMismatch, KeyMismatch, Corrupt: it is not.
        """
        require_same(f"the {self.what}", self.parameters.digest, self.key_id, parameters, key_id)
        shape = (count, RESIDUE_BYTES * parameters.templates)
        if self.bodies.shape != shape or self.bodies.dtype != np.uint8:
            raise Corrupt(
                f"the {self.what} does not hold {shape[0]} ciphertexts of {shape[1]} bytes"
            )
        if len(self.seed) != SEED_BYTES:
            raise Corrupt(f"the {self.what} has no seed of {SEED_BYTES} bytes")


@dataclass(frozen=True, eq=False)
class SealedBlock(Sealed):
    """Up to N templates: one ciphertext for each number of a template."""

    what = "sealed block"


@dataclass(frozen=True, eq=False)
class Probe(Sealed):
    """One face to look for; ``token``: 32 bytes that its scores bring back."""

    what = "probe"
    token: bytes


@dataclass(frozen=True, eq=False)
class Scores:
    """The answer to a probe.

    Attributes:
        parameters: of the search.
        key_id: of the gallery's key.
        token: that of the probe.
        blocks: digests of the blocks that were searched, in order.
        masks: of their live positions, see `masks_digest`.
        words: both polynomials of every block modulo 2^bits, in coefficient form, little-endian:
            u8 [blocks, 2, N, bits / 8].
    """

    parameters: MatchParameters
    key_id: str
    token: bytes
    blocks: tuple[str, ...]
    masks: str
    words: Bytes


@dataclass(frozen=True)
class Asked:
    """What scores must answer; the client knows it before it looks at them.

    token: of the probe that was sent. blocks: digests of those that should be searched, in order.
    masks: digest of the positions that are live in them.
    """

    parameters: MatchParameters
    key_id: str
    token: bytes
    blocks: tuple[str, ...]
    masks: str

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the words."""
        p = self.parameters
        return (len(self.blocks), 2, p.templates, p.result_bytes)

    def require(self, source: str, token: bytes, blocks: Sequence[str], masks: str) -> None:
        """The answer is to this probe, and of these blocks and positions.

        source: names the answer in messages.

        Raises:
            AnswerMismatch: it is not. StaleAnswer: only other positions are live.
        """
        if token != self.token:
            raise AnswerMismatch(f"{source}: answers another probe than the one that was sent")
        if tuple(blocks) != self.blocks:
            raise AnswerMismatch(
                f"{source}: is not of the {len(self.blocks)} blocks that were asked for, in order"
            )
        if masks != self.masks:
            raise StaleAnswer(
                f"{source}: other templates were live than this side knows of; ask again"
            )

    def require_scores(self, scores: Scores) -> None:
        """As `require`, with key, parameters and length.

        Raises:
            AnswerMismatch, ParameterMismatch, KeyMismatch: the scores are not what was asked for.
        """
        source = "the scores"
        require_same(source, scores.parameters.digest, scores.key_id, self.parameters, self.key_id)
        self.require(source, scores.token, scores.blocks, scores.masks)
        if scores.words.shape != self.shape or scores.words.dtype != np.uint8:
            raise AnswerMismatch(f"{source}: have another length than {len(self.blocks)} blocks")


def mask_of(positions: Sequence[int], templates: int) -> Mask:
    """Live positions of a block of so many templates as a mask [N].

    Raises:
        MatchingError: one of them lies outside.
    """
    live = np.zeros(templates, dtype=np.bool_)
    for position in positions:
        if not 0 <= position < templates:
            raise MatchingError(
                f"position {position} of a block of {templates} templates: the gallery's rows are "
                "damaged; check and repair it"
            )
        live[position] = True
    return live


def masks_digest(live: Sequence[Mask]) -> str:
    """Hex SHA-256 of masks [N], one after the other, eight positions to a byte, highest bit first.

    A position that is dead for the server and live for the client would give a random score.
    """
    return hashlib.sha256(b"".join(np.packbits(mask).tobytes() for mask in live)).hexdigest()


def require_same(
    source: str, digest: str, found: str, parameters: MatchParameters, key_id: str
) -> None:
    """A digest of match parameters and a key's id are those that this side knows.

    Raises:
        ParameterMismatch, KeyMismatch: they are not.
    """
    if digest != parameters.digest:
        raise ParameterMismatch(
            f"{source}: was made with parameters {digest[:16]}, expected {parameters.digest[:16]}"
        )
    if found != key_id:
        raise KeyMismatch(f"{source}: belongs to key {found}, expected {key_id}")
