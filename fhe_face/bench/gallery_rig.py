"""A sealed gallery to measure: real keys, noise and files, and memory of its own for every block.

One full block is sealed, from random unit vectors, and written; all blocks are read from that file,
each into memory of its own. What a search does depends on sizes alone, so times are those of
different blocks.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fhe_core.formats import matching as formats
from fhe_core.matching import Loaded, Matcher, MatchParameters, Probe
from fhe_core.matching.values import Mask
from fhe_core.secret.gallery_files import save_gallery_keys
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from fhe_face.bench.timing import timed
from fhe_face.progress import Stage

Float = NDArray[np.float64]
#: Digest, memory and live positions.
Block: TypeAlias = tuple[str, Loaded, Mask]
_SEED = 11


@dataclass
class GalleryRig:
    """Both sides of one gallery in one process, over files.

    Attributes:
        templates: of the block, [N, features].
        block_file: a full block.
        key_bytes: of the evaluation keys on disk.
        keygen_seconds: to make and write them.
        seal_seconds: of the block.
        load_seconds: of every block that was loaded, file included.
    """

    parameters: MatchParameters
    sealer: Sealer
    matcher: Matcher
    templates: Float
    block_file: Path
    key_bytes: int
    keygen_seconds: float
    seal_seconds: float
    load_seconds: list[float] = field(default_factory=list)

    @classmethod
    def prepare(
        cls, parameters: MatchParameters, folder: Path, threads: int, stage: Stage
    ) -> GalleryRig:
        """Keys and one full block, in files of a folder.

        Raises:
            FileError: they cannot be written.
        """
        stage("sealing", 0, 2)
        key = SecretKey.generate(parameters.parameters, threads)
        keys, block_file = folder / "gallery.evaluation.key", folder / "block"
        header, keygen_seconds = timed(lambda: save_gallery_keys(keys, key, parameters, {}))
        stage("sealing", 1, 2)
        sealer = Sealer(key, parameters)
        templates = unit_vectors(parameters.templates, parameters.features, _SEED)
        block, seal_seconds = timed(lambda: sealer.seal_block(templates))
        formats.save(block_file, block)
        stage("sealing", 2, 2)
        loaded = formats.load_gallery_keys(keys, parameters, key.key_id, threads)
        matcher = Matcher(parameters, loaded, threads)
        return cls(
            *(parameters, sealer, matcher, templates, block_file),
            *(header.total_bytes, keygen_seconds, seal_seconds),
        )

    @property
    def block_bytes(self) -> int:
        """Of the block's file."""
        return self.block_file.stat().st_size

    def probe(self, number: int = 0) -> tuple[Float, Probe]:
        """A random unit vector, and sealed."""
        vector = unit_vectors(1, self.parameters.features, _SEED + 1 + number)[0]
        return vector, self.sealer.seal_probe(vector)

    def load(self, templates: int, stage: Stage) -> list[Block]:
        """As many blocks as hold that many templates; what is left of the last one is dead."""
        places = self.parameters.templates
        count = -(-templates // places)
        blocks: list[Block] = []
        for number in range(count):
            stage("loading blocks", number, count)
            loaded, seconds = timed(self._load)
            self.load_seconds.append(seconds)
            # Files have different digests, and so have these.
            digest = hashlib.sha256(number.to_bytes(8, "little")).hexdigest()
            blocks.append((digest, loaded, np.arange(places) < templates - number * places))
        stage("loading blocks", count, count)
        return blocks

    def _load(self) -> Loaded:
        key_id = self.sealer.key.key_id
        return self.matcher.load(formats.load_block(self.block_file, self.parameters, key_id))

    @property
    def load_block_seconds(self) -> float:
        """The median."""
        return statistics.median(self.load_seconds)

    def errors(self, block: Block, probes: int) -> Float:
        """Of all scores of a block under several probes, against float64: [probes, N]."""
        found = []
        live = np.ones(self.parameters.templates, np.bool_)
        for number in range(probes):
            vector, probe = self.probe(number)
            answer = self.matcher.answer(self.matcher.expand(probe), [(block[0], block[1], live)])
            (scores,) = self.sealer.open_scores(answer, probe, [block[0]], [live])
            found.append(scores - self.templates @ vector)
        return np.stack(found)

    def opened_seconds(self, probe: Probe, blocks: Sequence[Block], file: Path) -> float:
        """To read and open the scores in a file."""
        digests, _, live = zip(*blocks, strict=True)

        def read() -> Float:
            scores = formats.load_scores(file, self.sealer.asked(probe, digests, live))
            return self.sealer.open_scores(scores, probe, digests, live)

        return timed(read)[1]


def unit_vectors(count: int, length: int, seed: int) -> Float:
    """Random directions, [count, length]."""
    vectors: Float = np.random.default_rng(seed).normal(size=(count, length))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
