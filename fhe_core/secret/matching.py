"""The client's side of a search: sealing templates and probes, opening blocks and scores."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.ciphertext import Words
from fhe_core.container import ParameterMismatch
from fhe_core.keys.expand import SEED_BYTES
from fhe_core.matching import (
    TOKEN_BYTES,
    Asked,
    MatchingError,
    MatchParameters,
    Probe,
    Scores,
    SealedBlock,
)
from fhe_core.matching.coordinates import (
    from_template_coordinates,
    probe_coordinates,
    template_coordinates,
)
from fhe_core.matching.matcher import require_masks
from fhe_core.matching.parameters import MAX_NORM
from fhe_core.matching.values import Bytes, Mask, Sealed, masks_digest
from fhe_core.secret.key import SecretKey

Float = NDArray[np.float64]


class Sealer:
    """Seals and opens with one gallery's secret key."""

    def __init__(
        self, key: SecretKey, parameters: MatchParameters, coordinates: bool = False
    ) -> None:
        """coordinates: templates and probes are sealed as `matching.coordinates` has them, so that
        a server finds what it switched itself; what goes in and comes out is the same.

        Raises:
            ParameterMismatch: the key was made with other parameters.
        """
        if key.parameters.digest != parameters.parameters.digest:
            raise ParameterMismatch(
                f"the key was made with parameters '{key.parameters.name}', not with those of a "
                f"gallery ('{parameters.parameters.name}')"
            )
        self.key = key
        self.parameters = parameters
        self._coordinates = coordinates

    # --- sealing ----------------------------------------------------------------------------------

    def seal_block(self, templates: Float) -> SealedBlock:
        """Templates [m <= N, features], each at most a little longer than 1, under fresh noise.

        Position i of the block holds template i; further positions hold zeros.

        Raises:
            MatchingError: too many templates, another length, a norm beyond MAX_NORM, not finite.
        """
        p = self.parameters
        if templates.ndim != 2 or len(templates) > p.templates:
            raise MatchingError(f"a block holds up to {p.templates} templates of {p.features}")
        self._require_vectors(templates, "a template")
        if self._coordinates:
            templates = template_coordinates(templates)
        messages = np.zeros((p.features, p.templates), np.int64)
        messages[:, : len(templates)] = np.rint(templates.T * p.template_scale)
        seed = os.urandom(SEED_BYTES)
        return SealedBlock(p, self.key.key_id, seed, self._bodies(messages, seed))

    def seal_probe(self, vector: Float) -> Probe:
        """A vector [features] to look for, at most a little longer than 1, and a fresh token.

        Raises:
            MatchingError: another length, a norm beyond MAX_NORM, not finite.
        """
        p = self.parameters
        self._require_vectors(vector[None], "a probe")
        if self._coordinates:
            vector = probe_coordinates(vector)
        messages = np.zeros((p.roots, p.templates), np.int64)
        messages[:, :: p.stride] = np.rint(vector * p.root_scale).reshape(p.roots, p.leaves)
        seed, token = os.urandom(SEED_BYTES), os.urandom(TOKEN_BYTES)
        return Probe(p, self.key.key_id, seed, self._bodies(messages, seed), token)

    def _require_vectors(self, vectors: Float, what: str) -> None:
        features = self.parameters.features
        if vectors.ndim != 2 or vectors.shape[1] != features:
            raise MatchingError(f"{what} has {features} numbers")
        norms = np.linalg.norm(vectors, axis=1)
        if not np.all(norms <= MAX_NORM):  # also where one is not a number
            raise MatchingError(f"{what} must be a finite vector that is no longer than 1")

    def _bodies(self, messages: NDArray[np.int64], seed: bytes) -> Bytes:
        """c0 of messages [count, N], ciphertext k in the stream of domain k."""
        return np.stack(
            [
                _native.pack48(self.key.encrypt_polynomial(message, seed, domain)[0, 0])
                for domain, message in enumerate(messages)
            ]
        )

    # --- opening ----------------------------------------------------------------------------------

    def open_block(self, block: SealedBlock) -> Float:
        """All N templates [N, features] of a block, with the noise of their encryption.

        Raises:
            ParameterMismatch, KeyMismatch, Corrupt: it is no block of this key.
        """
        p = self.parameters
        block.require(p, self.key.key_id, p.features)
        templates = np.empty((p.templates, p.features))
        for position in range(p.features):
            templates[:, position] = self._opened(block, position) / p.template_scale
        return from_template_coordinates(templates) if self._coordinates else templates

    def _opened(self, sealed: Sealed, position: int) -> Float:
        residues: Words = np.stack([sealed.body(position), sealed.uniform(position)])
        return self.key.decrypt_polynomial(residues[:, None], [0])

    def open_scores(
        self, scores: Scores, probe: Probe, blocks: Sequence[str], live: Sequence[Mask]
    ) -> Float:
        """Scores [blocks, N]; nan at dead positions.

        They carry noise that depends on the key: do not share them (docs/security.md).

        probe: that was asked about. blocks, live: digests and masks of the blocks that should have
        been searched, in order, as the client knows them.

        Raises:
            StaleAnswer: other positions were live for the server.
            AnswerMismatch: the scores answer another probe, or are of other blocks, or of another
                length.
            ParameterMismatch, KeyMismatch: they belong to other parameters or another key.
            MatchingError: the masks are not one of N bits for each block.
        """
        return self.open_answer(scores, self.asked(probe, blocks, live), live)

    def open_answer(self, scores: Scores, asked: Asked, live: Sequence[Mask]) -> Float:
        """As `open_scores`, for whoever knows what was asked and does not have the probe."""
        require_masks(live, len(asked.blocks), self.parameters.templates)
        asked.require_scores(scores)
        return np.where(np.stack(live), self.open_words(scores.words), np.nan)

    def asked(self, probe: Probe, blocks: Sequence[str], live: Sequence[Mask]) -> Asked:
        """What scores of these blocks must answer; for reading their file."""
        masks = masks_digest(live)
        return Asked(self.parameters, self.key.key_id, probe.token, tuple(blocks), masks)

    def open_words(self, words: Bytes) -> Float:
        """Scores [blocks, N] of a server's words, dead positions too: whoever calls this has
        compared everything else of the answer."""
        return np.stack([self._scores(block) for block in words])

    def _scores(self, words: Bytes) -> Float:
        """Of one block's words [2, N, bytes]: c0 + c1 s modulo 2^bits, exactly, centred."""
        p = self.parameters
        padded = np.zeros((2, p.templates, 8), np.uint8)
        padded[..., : p.result_bytes] = words
        c0, c1 = padded.view("<i8")[..., 0]
        phase = c0 + self.key.times_secret(centred(c1, p.result_bits))
        return centred(phase, p.result_bits) / p.result_scale


def centred(values: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Modulo 2^bits, from -2^(bits - 1); without a branch on them."""
    half = np.int64(1 << (bits - 1))
    return (values + half & np.int64((1 << bits) - 1)) - half
