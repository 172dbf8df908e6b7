"""Photos of several people, a folder for each, and the face crops made from them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fhe_core.files import FileError, explain, shown
from fhe_face.models.evaluation.embedding import pixels_as_embeddings
from fhe_face.photos.images import ImageError, aligned_crop, load_photo
from fhe_face.photos.picture_kinds import is_picture
from fhe_face.progress import Stage, silent

#: Cosines of two crops' pixels from which on they are one picture.
_THE_SAME = 1 - 1e-9
_NEARLY = 0.98
_LAYOUT = "expected one folder for each person with that person's images in it"

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Photo:
    """An image file and whom it shows, by the name of the person's folder."""

    person: str
    path: Path

    def __str__(self) -> str:
        """Such as "John_Doe/1.png"."""
        return shown(f"{self.person}/{self.path.name}")


@dataclass(frozen=True)
class Collection:
    """Photos by person, then by file name; what else was found there.

    without: people whose folders have files, but no picture.
    """

    photos: tuple[Photo, ...]
    other_files: int = 0
    nested: tuple[Path, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def people(self) -> int:
        """How many people there are photos of."""
        return len({photo.person for photo in self.photos})

    def with_gallery(self, gallery: Collection) -> Collection:
        """The photos of a gallery, then these."""
        return Collection(
            gallery.photos + self.photos,
            gallery.other_files + self.other_files,
            gallery.nested + self.nested,
            gallery.without + self.without,
        )

    def limited(self, count: int) -> Collection:
        """At most so many photos, evenly over people and at least two of each.

        FileError where that leaves fewer than two people with two photos each.
        """
        if len(self.photos) <= count:
            return self
        own: dict[str, list[Photo]] = {}
        for photo in self.photos:
            own.setdefault(photo.person, []).append(photo)
        several = [photos for photos in own.values() if len(photos) > 1]
        chosen = several[: count // 2]
        if len(chosen) < 2:
            raise FileError(
                f"a limit of {count} images leaves {len(chosen)} people with two images each; "
                "it takes two people, so at least 4 images"
            )
        rounds = max(map(len, chosen))
        order = [photos[k] for k in range(rounds) for photos in chosen if k < len(photos)]
        kept = set(order[:count])
        return Collection(
            tuple(photo for photo in self.photos if photo in kept),
            self.other_files,
            self.nested,
            self.without,
        )


def find_photos(folder: str | os.PathLike[str]) -> Collection:
    """The images of FOLDER/person/image, sorted by name; hidden files are passed over.

    What is an image is decided by the name, or else by the first bytes. Folders below a person's
    folder are not looked into.

    Raises:
        FileError: not a folder, unreadable, or not laid out like that.
    """
    root = Path(folder)
    entries = _entries(root)
    photos: list[Photo] = []
    nested: list[Path] = []
    without: list[str] = []
    others = 0
    for person in (entry for entry in entries if entry.is_dir()):
        inside = _entries(person)
        before = len(photos)
        for entry in inside:
            if entry.is_dir():
                nested.append(entry)
            elif is_picture(entry):
                photos.append(Photo(person.name, entry))
            else:
                others += 1
        if len(photos) == before and any(not entry.is_dir() for entry in inside):
            without.append(person.name)
    if photos:
        others += sum(not entry.is_dir() for entry in entries)
        return Collection(tuple(photos), others, tuple(nested), tuple(without))
    raise FileError(f"{shown(root)}: {_why_empty(entries, nested)}; {_LAYOUT}")


def _entries(folder: Path) -> list[Path]:
    try:
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "no such folder"
            raise FileError(f"{shown(folder)}: {what}; {_LAYOUT}")
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except FileError:
        raise
    except OSError as error:
        raise explain(folder, "read", error) from error


def _why_empty(entries: Sequence[Path], nested: Sequence[Path]) -> str:
    if any(is_picture(entry) for entry in entries if entry.is_file()):
        return "images lie directly in it"
    for inner in nested:
        if any(is_picture(entry) for entry in _entries(inner) if entry.is_file()):
            return f"images lie one level deeper (did you mean {shown(inner.parent)}?)"
    return "no images in its folders" if any(e.is_dir() for e in entries) else "no folders in it"


@dataclass(eq=False)
class Faces:
    """Crops (N, S, S, 3) RGB of the photos that could be used, and what became of the others.

    flags: how often the alignment remarked something, by its name; unreadable: the reasons.
    """

    crops: Pixels
    photos: tuple[Photo, ...]
    unreadable: dict[str, str] = field(default_factory=dict)
    no_face: list[str] = field(default_factory=list)
    flags: Counter[str] = field(default_factory=Counter)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """A number (N,) for each person, in the order of their names."""
        place = {name: number for number, name in enumerate(self.names)}
        return np.array([place[photo.person] for photo in self.photos], dtype=np.int64)

    @property
    def names(self) -> list[str]:
        """People, by the numbers of `labels`."""
        return sorted({photo.person for photo in self.photos})

    def among(self, paths: frozenset[Path]) -> NDArray[np.bool_]:
        """(N,): whether the photos are among these files."""
        return np.array([photo.path in paths for photo in self.photos], dtype=bool)

    def repeated(self) -> list[tuple[str, str]]:
        """Photos that are another one once more: they say nothing about recognition.

        The very same crop, or nearly so of two different people, which is a wrong label: pixels
        of different people's crops agree far less (cosine up to 0.9 on what was looked at).
        """
        return [(str(self.photos[i]), str(self.photos[j])) for i, j in self.alike]

    @cached_property
    def alike(self) -> list[tuple[int, int]]:
        """The places of these photos, as `repeated` names them."""
        pixels = pixels_as_embeddings(self.crops)
        likeness = np.triu(pixels @ pixels.T, 1)
        other = self.labels[:, None] != self.labels[None]
        first, second = np.nonzero(likeness > np.where(other, _NEARLY, _THE_SAME))
        return list(zip(first.tolist(), second.tolist(), strict=True))


def read_faces(
    photos: Sequence[Photo],
    size: int,
    *,
    aligned: bool,
    warn: Callable[[str], None],
    stage: Stage = silent,
) -> Faces:
    """Crops of `size` pixels: aligned here, or of images that are aligned crops already.

    Aligned crops of another size are scaled when they are square. An image that cannot be read,
    and one without a face, is one warning each and left out.

    Raises:
        FaceError: the detector cannot run (models.faces).
    """
    prepare = _as_they_are(size) if aligned else _alignment(size)
    faces = Faces(np.zeros((0, size, size, 3), np.uint8), ())
    crops, kept = [], []
    for number, photo in enumerate(photos):
        stage("preparing faces", number, len(photos))
        try:
            crop, flags = prepare(photo.path)
        except ImageError as error:
            reason = str(error).removeprefix(f"{photo.path}: ")
            faces.unreadable[str(photo)] = reason
            warn(f"{photo}: {reason}; left out")
            continue
        faces.flags.update(flags)
        if crop is None:
            faces.no_face.append(str(photo))
            warn(f"{photo}: no face found; left out")
            continue
        crops.append(crop)
        kept.append(photo)
    stage("preparing faces", len(photos), len(photos))
    faces.photos = tuple(kept)
    if crops:
        faces.crops = np.stack(crops)
    kept_people = {photo.person for photo in kept}
    for person in sorted({photo.person for photo in photos} - kept_people):
        warn(f"{shown(person)}: no image of this person is left")
    return faces


_Prepared = tuple[Pixels | None, tuple[str, ...]]


def _as_they_are(size: int) -> Callable[[Path], _Prepared]:
    def prepare(path: Path) -> _Prepared:
        return aligned_crop(load_photo(path), size, path), ()

    return prepare


def _alignment(size: int) -> Callable[[Path], _Prepared]:
    from fhe_face.models.faces import Aligner, Flag

    aligner = Aligner(size=size)

    def prepare(path: Path) -> _Prepared:
        crop = aligner.align(load_photo(path)).crops[0]
        flags = tuple(str(flag.value) for flag in crop.flags if flag is not Flag.NO_FACE)
        return (None if Flag.NO_FACE in crop.flags else crop.pixels), flags

    return prepare
