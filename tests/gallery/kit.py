"""Small galleries without a network: photos that are painted, and what embeds them.

A face is a square of 64 pixels whose first pixels say who it is, which photo it is, and whether it
diverges; an embedding is the person's direction with some of the photo's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fhe_core.matching import MatchParameters
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import Cause, HealthReport
from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.gallery import Gallery
from fhe_face.models.faces import Alignment, Crop, Flag, NoFaceError, Preparation
from fhe_face.models.faces.face import Face
from fhe_face.photos.preparation import PreparedFace
from tests.core.tiny import gallery as ring

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

SIZE = 64
FEATURES = 32
INTERVAL = (100.0, 3000.0)
THRESHOLDS = (0.3, 0.5)
MODEL = "ab" * 32
ALIGNED = Preparation.aligned(SIZE, "0" * 64)
#: Blocks of 16 templates: several of them with few photos.
SMALL = ring(4, FEATURES, 2)


def direction(seed: int, features: int = FEATURES) -> Array:
    """A unit vector."""
    vector = np.random.default_rng(seed).normal(size=features)
    return np.asarray(vector / np.linalg.norm(vector))


#: People are orthogonal, so that strangers are strangers.
_BASIS = np.linalg.qr(np.random.default_rng(5).normal(size=(FEATURES, FEATURES)))[0]


def face(person: int, photo: int = 0, *, diverges: bool = False) -> Pixels:
    """A face of a person, uint8 (64, 64, 3)."""
    pixels = np.random.default_rng(1000 * person + photo).integers(0, 256, (SIZE, SIZE, 3))
    pixels[0, 0] = person, photo, 255 if diverges else 0
    return pixels.astype(np.uint8)


def expected(person: int, photo: int = 0, spread: float = 0.35) -> Array:
    """What `Painted` embeds a face as."""
    vector = _BASIS[person % FEATURES] + spread * direction(10_000 + 1000 * person + photo)
    return np.asarray(vector / np.linalg.norm(vector))


@dataclass
class Painted:
    """Reads embeddings from painted faces. calls: how many faces each time."""

    model: str = MODEL
    size: int = SIZE
    views: int = 1
    together: int = 4
    spread: float = 0.35
    calls: list[int] = field(default_factory=list)

    def embed(self, faces: Sequence[PreparedFace], /) -> list[Embedding | HealthReport]:
        self.calls.append(len(faces))
        return [self._one(one) for one in faces]

    def _one(self, one: PreparedFace) -> Embedding | HealthReport:
        person, photo, diverges = np.rint((one.unit[:, 0, 0] + 1) * 127.5).astype(int)
        if diverges:
            failure = "squared norm 1e+09 lies outside [100, 3000]"
            return HealthReport((1e9,), INTERVAL, (failure,), Cause.OWN)
        values = 3.0 * expected(int(person), int(photo), self.spread)
        return Embedding(values, HealthReport((400.0,), INTERVAL, ()))


class Tiles:
    """Stands for the aligner: every square of 64 pixels in a row is a face, black ones are none."""

    size = SIZE

    def preparation(self) -> Preparation:
        return ALIGNED

    def align(self, image: Pixels, choice: Any = "largest", *, fallback: bool = True) -> Alignment:
        tiles = [image[:SIZE, x : x + SIZE] for x in range(0, image.shape[1], SIZE)]
        found = [(n, tile) for n, tile in enumerate(tiles) if tile.any()]
        if not found:
            raise NoFaceError("no face found")
        faces = tuple(
            Face((float(n * SIZE), 0.0, SIZE, SIZE), np.zeros((5, 2)), 0.9, 5) for n, _ in found
        )
        several = (Flag.SEVERAL_FACES,) if len(found) > 1 and choice == "largest" else ()
        crops = [
            Crop(np.ascontiguousarray(tile), several, one)
            for (_, tile), one in zip(found, faces, strict=True)
        ]
        return Alignment(faces, tuple(crops if choice == "all" else crops[:1]))


def photo(*faces: Pixels) -> Pixels:
    """Faces beside each other, on a strip that is no crop."""
    strip = np.concatenate(faces, axis=1)
    return np.concatenate([strip, np.zeros_like(strip)])


def save(path: Path, pixels: Pixels) -> Path:
    """As PNG; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def people(folder: Path, count: int, photos: int, *, start: int = 0) -> Path:
    """FOLDER/person01/0.png ... of so many people."""
    for person in range(start, start + count):
        for number in range(photos):
            save(folder / f"person{person:02}" / f"{number}.png", photo(face(person, number)))
    return folder


def make(
    folder: Path,
    embedder: Painted | None = None,
    *,
    parameters: MatchParameters = SMALL,
    **options: Any,
) -> Gallery:
    """A new small gallery that takes painted photos."""
    chosen = embedder or Painted()
    given: dict[str, Any] = {"thresholds": THRESHOLDS, "preparation": ALIGNED, **options}
    gallery = Gallery.create(folder, embedder=chosen, parameters=parameters, threads=1, **given)
    return with_tiles(gallery)


def reopen(folder: Path, embedder: Painted | None = None, **options: Any) -> Gallery:
    """A gallery that was made by `make`."""
    chosen = embedder or Painted()
    return with_tiles(Gallery.open(folder, embedder=chosen, parameters=SMALL, threads=1, **options))


def with_tiles(gallery: Gallery) -> Gallery:
    """A gallery whose photos are painted."""
    gallery.finder.reader.aligner = Tiles()  # type: ignore[assignment]
    return gallery


def same_scores(gallery: Gallery, embedding: Array) -> None:
    """Encrypted scores are those of opened blocks, with the same people in the same order."""
    one, _ = gallery.scores(embedding, "encrypted")
    two, _ = gallery.scores(embedding, "local")
    assert one.owners == two.owners
    assert not one.missing
    assert one.scores.size == 0 or float(np.abs(one.scores - two.scores).max()) < 1e-3
    assert all(map(math.isfinite, one.scores.tolist()))


def consistent(gallery: Gallery) -> None:
    """Index = matrix: every owner once, in a block or waiting, and blocks are what records say."""
    store = gallery.opened.store
    owners = [entry.owner.id for block in store.blocks() for entry in store.entries(block.digest)]
    owners += [owner.id for owner in store.pending()]
    assert len(owners) == len(set(owners))
    if gallery.facts.mode.value == "mean":
        assert set(owners) == {row.id for row in store.subjects() if row.templates}
    else:
        assert set(owners) == {row.id for row in store.templates()}
    assert [one for one in gallery.check() if one.severity == "error"] == []
    same_scores(gallery, direction(99, gallery.opened.parameters.features))


def recognises(gallery: Gallery, count: int, embedder: Painted | None = None) -> None:
    """New photos of everybody are matched, both ways."""
    for person in range(count):
        for match in ("encrypted", "local"):
            (found,) = gallery.identify(photo(face(person, 40)), match=match, embedder=embedder)
            assert found.answer is Answer.MATCH, found
            assert found.best is not None
            assert found.best.name == f"person{person:02}"
