"""Real faces: crops that were made independently, and how well the official network does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fhe_face.models import reference
from fhe_face.models.checkpoint import load_state
from fhe_face.models.faces import Aligner, Flag, NoFaceError, mirrored
from fhe_face.models.fused import fuse

INTERVAL = (100.0, 3000.0)

Pixels = NDArray[np.uint8]


def opened(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def turned(photo: Pixels, degrees: float) -> Pixels:
    """With a border, so that nothing of the face is lost."""
    room = 75
    padded = np.pad(photo, ((room, room), (room, room), (0, 0)), mode="edge")
    return np.array(Image.fromarray(padded).rotate(degrees, Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def photos(johns: list[Path]) -> list[Pixels]:
    return [opened(path) for path in johns]


@pytest.fixture(scope="module")
def crops(aligner: Aligner, photos: list[Pixels]) -> Pixels:
    alignments = [aligner.align(photo) for photo in photos]
    assert all(alignment.flags == () for alignment in alignments)
    return np.stack([alignment.crops[0].pixels for alignment in alignments])


def test_the_known_crops(
    crops: Pixels, johns: list[Path], vectors: Mapping[str, NDArray[Any]]
) -> None:
    places = [johns.index(path) for name in vectors["names"] for path in johns if name in str(path)]
    assert len(places) == len(vectors["crops"])
    difference = np.abs(crops[places].astype(int) - vectors["crops"])
    # The same landmarks; 11 of 172,032 values round to the other side.
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("flip", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_official_network(
    crops: Pixels, johns: list[Path], checkpoint: Path, flip: bool
) -> None:
    network = fuse(load_state(checkpoint))
    people = np.array([path.parent.name for path in johns])
    views = [reference.embed(network, view) for view in (crops, mirrored(crops))[: 1 + flip]]
    norms = np.stack([reference.squared_norm(view) for view in views])
    healthy = (np.isfinite(norms) & (norms >= INTERVAL[0]) & (norms <= INTERVAL[1])).all(axis=0)
    assert (~healthy).sum() <= 1
    embedding = sum(view[healthy] for view in views)
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    one, two = np.triu_indices(len(unit), 1)
    cosine = (unit @ unit.T)[one, two]
    same = people[healthy][one] == people[healthy][two]
    assert cosine[same].mean() >= (0.73 if flip else 0.72)
    assert cosine[~same].mean() <= 0.10
    assert cosine[same].min() > cosine[~same].max()  # an equal error rate of 0


@pytest.mark.parametrize("degrees", [-30, 30])
def test_leaning_faces(aligner: Aligner, photos: list[Pixels], degrees: int) -> None:
    for photo in photos[::11]:
        upright, leaning = (aligner.align(turned(photo, a)).crops[0] for a in (0, degrees))
        assert leaning.flags == upright.flags == ()
        assert leaning.roll is not None
        assert upright.roll is not None
        assert leaning.roll - upright.roll == pytest.approx(degrees, abs=5)
        assert np.corrcoef(leaning.pixels.ravel(), upright.pixels.ravel())[0, 1] > 0.9


def test_two_faces(aligner: Aligner, photos: list[Pixels]) -> None:
    scene = np.full((300, 500, 3), 90, np.uint8)
    large, small = photos[0], np.array(Image.fromarray(photos[15]).resize((120, 120)))
    scene[60:210, 320:470] = large
    scene[100:220, 40:160] = small
    alone = aligner.align(scene)
    assert len(alone.faces) == 2
    assert alone.flags == (Flag.SEVERAL_FACES,)
    every = aligner.align(scene, "all")
    assert every.flags == ()
    centres = [face.centre[0] for face in every.faces]
    assert 320 < centres[0] < 470
    assert 40 < centres[1] < 160
    np.testing.assert_array_equal(every.crops[0].pixels, alone.crops[0].pixels)
    second = aligner.align(scene, 1).crops[0]
    np.testing.assert_array_equal(every.crops[1].pixels, second.pixels)
    expected = aligner.align(large).crops[0].pixels
    assert np.corrcoef(alone.crops[0].pixels.ravel(), expected.ravel())[0, 1] > 0.6  # other borders
    with pytest.raises(NoFaceError, match="face 3 was asked for, 2 found"):
        aligner.align(scene, 2)


def test_a_face_in_a_panorama(aligner: Aligner, photos: list[Pixels]) -> None:
    strip = np.full((400, 20_000, 3), 120, np.uint8)
    strip[100:250, 13_001:13_151] = photos[0]
    (face,) = aligner.align(strip).faces
    assert face.box[0] == pytest.approx(13_001 + aligner.align(photos[0]).faces[0].box[0], abs=8)


@pytest.mark.parametrize("side", [100, 150])
def test_small_faces_in_large_photos(aligner: Aligner, photos: list[Pixels], side: int) -> None:
    scene = np.full((3_000, 4_000, 3), 110, np.uint8)
    corners = [(350 + 700 * k, 300 + 450 * k) for k in range(5)]
    for photo, (left, top) in zip(photos[::11], corners, strict=True):
        small = Image.fromarray(photo).resize((side, side), Image.Resampling.BICUBIC)
        scene[top : top + side, left : left + side] = np.array(small)
    found = aligner.align(scene, "all").faces
    assert len(found) == len(corners)
    for left, top in corners:
        middle = np.array([left, top]) + side / 2
        (face,) = [f for f in found if np.abs(f.centre - middle).max() < side / 2]
        assert face.scales >= 4
        assert 0.7 * side < face.side < 1.3 * side


@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_faces_of_other_sizes(aligner: Aligner, photos: list[Pixels], scale: float) -> None:
    photo = Image.fromarray(photos[0])
    side = round(photo.width * scale)
    resized = np.array(photo.resize((side, side), Image.Resampling.BICUBIC))
    found, expected = (aligner.align(picture).crops[0] for picture in (resized, photos[0]))
    assert found.flags == ()
    assert np.corrcoef(found.pixels.ravel(), expected.pixels.ravel())[0, 1] > 0.9


def test_tall_and_tiny_pictures_without_faces(aligner: Aligner) -> None:
    for shape in ((1, 1, 3), (5_000, 1, 3), (64, 64, 3)):
        alignment = aligner.align(np.full(shape, 77, np.uint8))
        assert alignment.faces == ()
        assert alignment.flags == (Flag.NO_FACE,)
        assert alignment.crops[0].pixels.shape == (64, 64, 3)
        with pytest.raises(NoFaceError, match="no face found"):
            aligner.align(np.full(shape, 77, np.uint8), fallback=False)
