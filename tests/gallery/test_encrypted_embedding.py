"""Enrolment through a server that sees ciphertexts only, on a small ring and a small network."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhe_face.client.client import FaceClient
from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.embedders import EncryptedEmbedder
from fhe_face.gallery.gallery import Gallery
from fhe_face.gallery.templates import unit
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
    assert embedder.together == 2
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
