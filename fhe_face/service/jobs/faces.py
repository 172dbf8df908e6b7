"""Jobs of the real engine: bundles of faces, run by run, and the same output as in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fhe_core.ciphertext import Ciphertext
from fhe_core.formats.ciphertexts import Bundle, load_bundle, save_bundle
from fhe_face.places import EMBEDDING, ENTRY, IMAGE, Run, describe, numbered, runs_of
from fhe_face.progress import Stage
from fhe_face.server.devices import NoDevices, OneDevice
from fhe_face.server.server import FaceServer
from fhe_face.service.jobs.records import Kind
from fhe_face.tokens import ENTRY as REQUESTS
from fhe_face.tokens import tokens_of


@dataclass(frozen=True)
class FaceResident:
    """A face server that stays."""

    server: FaceServer

    @property
    def memory_bytes(self) -> int:
        """Keys and weights."""
        return self.server.evaluation_key_memory_bytes + self.server.packed_weight_bytes

    def open(self, kind: Kind, files: Sequence[Path]) -> Embedding | Comparing:
        """Failure: a file is damaged, or not for these keys.

        files: of faces that a device sent, the second one is its switching key.
        """
        if kind is Kind.EMBEDDING:
            devices = OneDevice(files[1]) if len(files) > 1 else NoDevices()
            images = self.server.read(files[0], IMAGE, devices)
            return Embedding(
                self.server, images, runs_of(images.facts, self.server.engine.capacity)
            )
        left, right = (self.server.read(file, EMBEDDING) for file in files)
        return Comparing(self.server, left, right)


@dataclass(frozen=True)
class Comparing:
    """Scores of two files of embeddings: one part."""

    server: FaceServer
    left: Bundle
    right: Bundle
    parts: int = 1

    def compute(self, part: int, target: Path, stage: Stage) -> None:
        """All scores."""
        save_bundle(target, self.server.match(self.left, self.right, stage))

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """There is one part."""
        raise AssertionError


@dataclass(frozen=True)
class Embedding:
    """Embeddings of a file of faces: every run is a part."""

    server: FaceServer
    images: Bundle
    runs: tuple[Run, ...]

    @property
    def parts(self) -> int:
        """One for each run."""
        return len(self.runs)

    def compute(self, part: int, target: Path, stage: Stage) -> None:
        """The embeddings of one run, as if the file held no others."""
        run = self.runs[part]
        label = "embedding" if self.parts == 1 else f"embedding {run.label}"
        save_bundle(target, self.server.embed(self._images_of(run), stage, label))

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """All embeddings under their own names, as `FaceServer.embed` of the whole file."""
        engine = self.server.engine
        items: dict[str, Ciphertext] = {}
        tokens: list[str] = []
        for run, path in zip(self.runs, parts, strict=True):
            part = load_bundle(path, EMBEDDING, lambda _name: engine.parameters)
            names = zip(*(engine.item_names(EMBEDDING, r) for r in (run, _first(run))), strict=True)
            items |= {own: part.items[name] for own, name in names}
            tokens += tokens_of("an embedding", part.facts)
        facts = {**part.facts, ENTRY: describe(self.runs), REQUESTS: tokens}
        whole = Bundle(EMBEDDING, part.parameters, part.key_id, items, facts, {})
        save_bundle(target, whole)

    def _images_of(self, run: Run) -> Bundle:
        if self.parts == 1:
            return self.images
        engine, images = self.server.engine, self.images
        names = zip(*(engine.item_names(IMAGE, r) for r in (_first(run), run)), strict=True)
        items = {name: images.items[own] for name, own in names}
        facts = {**images.facts, ENTRY: describe([run]), REQUESTS: _tokens(images, self.runs, run)}
        return Bundle(IMAGE, images.parameters, images.key_id, items, facts, {})


def _first(run: Run) -> Run:
    """The run where there is no other."""
    return numbered([(run.packing, run.faces)])[0]


def _tokens(images: Bundle, runs: Sequence[Run], run: Run) -> list[str]:
    """Its request token."""
    tokens = tokens_of("the image", images.facts, len(runs))
    return [tokens[runs.index(run)]]
