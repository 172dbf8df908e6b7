"""Enrolment through a server that sees ciphertexts only, on a small ring and a small network."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhe_core.formats.ciphertexts import Bundle
from fhe_face.client.client import FaceClient
from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.embedders import EncryptedEmbedder
from fhe_face.gallery.gallery import Gallery
from fhe_face.models.templates import unit
from fhe_face.places import runs_of
from tests.core.tiny import World, faces, make_world
from tests.core.tiny import gallery as ring
from tests.gallery.kit import MODEL, consistent


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(images=4)


@pytest.fixture
def embedder(world: World) -> EncryptedEmbedder:
    return EncryptedEmbedder(FaceClient(world.key, world.engine), world.server, MODEL)


def create(folder: Path, world: World, embedder: EncryptedEmbedder) -> Gallery:
    return Gallery.create(
        folder,
        embedder=embedder,
        names=True,
        thresholds=(0.5, 0.9),
        preparation="as-given",
        parameters=ring(6, world.network.embedding, 1),
        threads=1,
    )


def test_what_is_enrolled_is_what_the_network_gives(
    tmp_path: Path, world: World, embedder: EncryptedEmbedder
) -> None:
    assert embedder.together == 1
    pictures = faces(world.images)
    with create(tmp_path / "g", world, embedder) as gallery:
        for number, picture in enumerate(pictures[:3]):
            found = gallery.enroll(picture, subject=f"person {number}")
            assert len(found.enrolled) == 1
        rows = list(gallery.opened.store.templates())
        clear = unit(world.reference(world.images))
        for row, expected in zip(rows, clear, strict=False):
            opened = gallery.opened.vault.open_record(row.id, row.record)
            assert float(opened @ expected) > 1 - 1e-3
        consistent(gallery)
        (found_again,) = gallery.identify(pictures[1])
        assert found_again.answer is Answer.MATCH
        assert found_again.best is not None
        assert found_again.best.name == "person 1"
        (stranger,) = gallery.identify(pictures[3])
        scores = clear[:3] @ clear[3]
        assert stranger.candidates[0].score == pytest.approx(float(scores.max()), abs=1e-2)


def test_faces_are_enrolled_from_two_computations(tmp_path: Path, world: World) -> None:
    """A crafted image gives two embeddings that differ, and is refused; others are as ever."""
    client = FaceClient(world.key, world.engine)
    counted = Counting(world)
    embedder = EncryptedEmbedder(client, counted, MODEL, twice=True)
    with create(tmp_path / "g", world, embedder) as gallery:
        found = gallery.enroll(faces(world.images)[0], subject="person")
        assert len(found.enrolled) == 1
        assert counted.faces == 2
        (row,) = gallery.opened.store.templates()
        opened = gallery.opened.vault.open_record(row.id, row.record)
        assert float(opened @ unit(world.reference(world.images))[0]) > 1 - 1e-3


class Counting:
    """The server, which counts faces."""

    def __init__(self, world: World) -> None:
        self.server, self.faces = world.server, 0

    def embed(self, bundle: Bundle, /) -> Bundle:
        self.faces += sum(run.faces for run in runs_of(bundle.facts, 64))
        return self.server.embed(bundle)
