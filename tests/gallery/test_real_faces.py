"""Photographs, the official weights in the clear, and a search that is encrypted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from fhe_core.matching import MatchParameters, gallery_parameters
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import HealthReport
from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.embedders import LocalEmbedder
from fhe_face.gallery.gallery import Gallery
from fhe_face.models.evaluation.scores import pair_scores, roc
from fhe_face.models.templates import Array, unit
from fhe_face.photos.preparation import PreparedFace
from tests.core.tiny import gallery as ring

pytestmark = pytest.mark.slow

#: The network diverges on this photo as it is.
DIVERGES = "000197_02159525.jpg"
#: Blocks of 1,024 templates of 256 numbers.
RING = ring(10, 256, 4)


class Remembering:
    """Embeds each face once: a test asks for it several times."""

    def __init__(self, inner: LocalEmbedder) -> None:
        self.inner = inner
        self.model, self.size, self.views = inner.model, inner.size, inner.views
        self.together = inner.together
        self.known: dict[bytes, Embedding | HealthReport] = {}

    def embed(self, faces: Sequence[PreparedFace], /) -> list[Embedding | HealthReport]:
        new = [one for one in faces if one.unit.tobytes() not in self.known]
        for one, result in zip(new, self.inner.embed(new), strict=True):
            self.known[one.unit.tobytes()] = result
        return [self.known[one.unit.tobytes()] for one in faces]


@pytest.fixture(scope="module")
def johns(shared: Path) -> Path:
    folder = shared / "faces" / "johns"
    if not folder.is_dir():
        pytest.skip(f"no test data: {folder} is missing")
    return folder


@pytest.fixture(scope="module")
def embedder(checkpoint: Path) -> Remembering:
    pytest.importorskip("cv2", reason="the detector needs OpenCV")
    pytest.importorskip("torch", reason="the official checkpoint is a torch file")
    return Remembering(LocalEmbedder.load(checkpoint))


def halves(folder: Path) -> tuple[list[tuple[str, Path]], list[tuple[str, Path]]]:
    """Of every person the first half of the photos, and the others."""
    enrolled, probes = [], []
    for person in sorted(folder.iterdir()):
        photos = sorted(path for path in person.iterdir() if path.suffix in (".jpg", ".pgm"))
        half = len(photos) // 2
        enrolled += [(person.name, path) for path in photos[:half]]
        probes += [(person.name, path) for path in photos[half:]]
    return enrolled, probes


@pytest.fixture
def gallery(tmp_path: Path, embedder: Remembering) -> Iterator[Gallery]:
    with created(tmp_path / "g", embedder, RING) as made:
        yield made


def created(folder: Path, embedder: Remembering, parameters: MatchParameters) -> Gallery:
    return Gallery.create(
        folder,
        embedder=embedder,
        names=True,
        thresholds=(0.36, 0.409),
        parameters=parameters,
        threads=1,
    )


def test_all_are_enrolled_and_the_one_that_diverges_with_less_contrast(
    gallery: Gallery, johns: Path
) -> None:
    found = gallery.enroll(johns)
    assert found.refused == []
    assert len(found.repeated) == 1, "one picture is there twice"
    assert DIVERGES in {Path(one.photo).name for one in found.enrolled}
    assert len(found.enrolled) == 54
    assert sum(one.templates for one in gallery.subjects()) == 54
    assert [one for one in gallery.check() if one.severity == "error"] == []


def test_ranks_are_those_in_the_clear(gallery: Gallery, johns: Path, embedder: Remembering) -> None:
    enrolled, probes = halves(johns)
    for person, path in enrolled:
        gallery.enroll(path, subject=person)
    people = sorted({person for person, _ in enrolled})
    templates = np.stack([unit(_clear(gallery, person).sum(axis=0)) for person in people])
    compared = 0
    for person, path in probes:
        (sealed,) = gallery.identify(path, top=len(people))
        (local,) = gallery.identify(path, top=len(people), match="local")
        face = gallery.finder.reader.read(path, every=False)[0]
        (result,) = embedder.embed([face.prepared])
        assert isinstance(result, Embedding)
        scores = templates @ unit(result.values)
        order = [people[place] for place in np.argsort(-scores)]
        assert [one.name for one in sealed.candidates] == order
        assert [one.name for one in local.candidates] == order
        for one in sealed.candidates:
            assert one.score == pytest.approx(scores[people.index(str(one.name))], abs=1e-3)
        assert order[0] == person
        assert sealed.answer is Answer.MATCH
        compared += 1
    assert compared == len(probes) == 30


def _clear(gallery: Gallery, person: str) -> Array:
    rows = gallery.templates(person)
    return np.stack([gallery.opened.vault.open_record(row.id, row.record) for row in rows])


@pytest.mark.full
def test_the_real_ring(tmp_path: Path, johns: Path, embedder: Remembering) -> None:
    with created(tmp_path / "g", embedder, gallery_parameters()) as gallery:
        gallery.enroll(johns)
        (face,) = gallery.finder.reader.read(sorted(johns.glob("*/*.jpg"))[0], every=False)
        (result,) = embedder.embed([face.prepared])
        assert isinstance(result, Embedding)
        vector = unit(result.values)
        sealed, _ = gallery.scores(vector, "encrypted")
        local, _ = gallery.scores(vector, "local")
        assert sealed.owners == local.owners
        assert float(np.abs(sealed.scores - local.scores).max()) < 1e-3


def test_equal_error_rate_of_encrypted_scores(tmp_path: Path, embedder: Remembering) -> None:
    """FHE_FACE_ORL names a folder with s1/1.pgm ... s40/10.pgm."""
    named = os.environ.get("FHE_FACE_ORL")
    if not named:
        pytest.skip("no test data: FHE_FACE_ORL names no folder of the ORL faces")
    with Gallery.create(
        tmp_path / "g",
        embedder=embedder,
        names=True,
        template="each",
        parameters=RING,
        threads=1,
        thresholds=(0.36, 0.409),
    ) as gallery:
        for person in sorted(Path(named).glob("s*")):
            gallery.enroll(sorted(person.glob("*.pgm")), subject=person.name)
        assert gallery.counts()["templates"] == 400
        rows = list(gallery.opened.store.templates())
        clear = [gallery.opened.vault.open_record(row.id, row.record) for row in rows]
        sealed = np.zeros((len(rows), len(rows)))
        places = {row.id: place for place, row in enumerate(rows)}
        for place, vector in enumerate(clear):
            scores, _ = gallery.scores(unit(vector), "encrypted")
            sealed[place, [places[owner] for owner in scores.owners]] = scores.scores
        labels = np.unique([row.subject for row in rows], return_inverse=True)[1]
        first, second = np.triu_indices(len(rows), 1)  # pairs as `pair_scores` lists them
        same = labels[first] == labels[second]
        encrypted = sealed[first, second]
        cosines = roc(*pair_scores(unit(np.stack(clear)), labels))
        opened = roc(encrypted[same], encrypted[~same])
        print(f"equal error rate of cosines {cosines.eer:.5f}, of opened scores {opened.eer:.5f}")
        assert opened.eer == pytest.approx(cosines.eer, abs=2e-4)
        assert float(np.abs(sealed - unit(np.stack(clear)) @ unit(np.stack(clear)).T).max()) < 1e-3
