"""The server's side of a search: blocks in memory, probes expanded, scores switched and masked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.container import ParameterMismatch
from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.matching.errors import MatchingError
from fhe_core.matching.parameters import MatchParameters
from fhe_core.matching.plan import MatchPlan
from fhe_core.matching.values import Bytes, Mask, Probe, Scores, SealedBlock, masks_digest


@dataclass(frozen=True, eq=False)
class Loaded:
    """A block in memory, ready to be searched."""

    memory: _native.BlockMemory


@dataclass(frozen=True, eq=False)
class Constants:
    """An expanded probe."""

    tiles: _native.ProbeTiles
    token: bytes


class Matcher:
    """Searches for one gallery's evaluation keys; holds no secret and cannot decrypt."""

    def __init__(self, parameters: MatchParameters, keys: EvaluationKeys, threads: int) -> None:
        """threads: that many compute at a time.

        Raises:
            ParameterMismatch: the keys were made with other parameters.
            MissingKeyError: a level's key, or relinearisation's, is missing.
        """
        ring = parameters.parameters
        if keys.parameters.digest != ring.digest:
            raise ParameterMismatch(
                f"the evaluation keys were made with parameters '{keys.parameters.name}', not with "
                f"those of a gallery ('{ring.name}')"
            )
        self.parameters = parameters
        self.key_id = keys.key_id
        self._context = _native.Context(
            ring.ring_dimension, [*ring.moduli, *ring.specials], threads
        )
        levels = MatchPlan(parameters).levels
        self._relinearisation = keys.residues(0, 0)
        self._keys = [keys.residues(level.rotation, 0) for level in levels]
        self._permutations = [
            _native.galois_permutation(ring.ring_dimension, level.element) for level in levels
        ]
        self._powers = [level.power for level in levels]

    def load(self, block: SealedBlock) -> Loaded:
        """A block as it is searched: twice its size on disk.

        Raises:
            ParameterMismatch, KeyMismatch: it was sealed otherwise, or by another key.
            Corrupt: it has another size, or a residue that is not below the modulus.
        """
        p = self.parameters
        block.require(p, self.key_id, p.features)
        memory = _native.BlockMemory(p.features, p.templates)
        for position in range(p.features):
            block.body(position)  # refuses residues that are too large
            memory.set(position, block.bodies[position], block.uniform(position))
        return Loaded(memory)

    def expand(self, probe: Probe) -> Constants:
        """A constant for every number of the probe, once for any number of blocks.

        Raises:
            ParameterMismatch, KeyMismatch, Corrupt: as `load`.
        """
        p = self.parameters
        probe.require(p, self.key_id, p.roots)
        roots = np.stack([[probe.body(r), probe.uniform(r)] for r in range(p.roots)])
        tiles = _native.expand_probe(
            self._context, roots, self._keys, self._permutations, self._powers
        )
        return Constants(tiles, probe.token)

    def search(self, constants: Constants, blocks: Sequence[Loaded], live: Sequence[Mask]) -> Bytes:
        """Scores of all templates of some blocks: u8 [blocks, 2, N, bytes of a word].

        live: bool [N] for each block. At the other positions stand uniformly random words, from
        the operating system.

        Raises:
            MatchingError: there are no blocks, or the masks are not one of N for each.
        """
        p = self.parameters
        require_masks(live, len(blocks), p.templates)
        memories = [block.memory for block in blocks]
        products = _native.search(self._context, constants.tiles, memories)
        words = _native.switch_to_bits(
            self._context, products, self._relinearisation, p.result_bits
        )
        result = _bytes(words, p.result_bytes)
        for scores, mask in zip(result, live, strict=True):
            hide(scores, mask)
        return result

    def answer(self, constants: Constants, blocks: Sequence[tuple[str, Loaded, Mask]]) -> Scores:
        """The scores of blocks (digest, block, live) as they travel; errors as `search`."""
        names, loaded, live = zip(*blocks, strict=True) if blocks else ((), (), ())
        words = self.search(constants, loaded, live)
        return Scores(
            self.parameters, self.key_id, constants.token, names, masks_digest(live), words
        )


def require_masks(live: Sequence[Mask], blocks: int, templates: int) -> None:
    """One mask for each of some blocks.

    Raises:
        MatchingError: there are no blocks, or masks are missing or have another length or type.
    """
    if not blocks:
        raise MatchingError("a search needs at least one block")
    if len(live) != blocks or any(m.shape != (templates,) or m.dtype != np.bool_ for m in live):
        raise MatchingError(f"a search of {blocks} blocks needs as many masks of {templates} bits")


def hide(words: Bytes, live: Mask) -> None:
    """Replace the scores of dead positions, in one block's words [2, N, bytes], in place.

    c0 becomes uniform there, and so does c0 + c1 s: whatever the score was, it is gone.
    """
    dead = np.flatnonzero(~live)
    size = words.shape[-1]
    words[0, dead] = np.frombuffer(os.urandom(dead.size * size), np.uint8).reshape(-1, size)


def _bytes(words: NDArray[np.uint32], size: int) -> Bytes:
    """The lowest bytes of every word, little-endian."""
    every = np.ascontiguousarray(words, "<u4").view(np.uint8).reshape(*words.shape, 4)
    return np.ascontiguousarray(every[..., :size])
