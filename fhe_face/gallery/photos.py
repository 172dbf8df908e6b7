"""Which photos to enrol, and for whom."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fhe_core.files import explain, shown
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.faces import name_of
from fhe_face.gallery.ids import checked
from fhe_face.photos.people import find_photos
from fhe_face.photos.picture_files import picture_files
from fhe_face.photos.picture_kinds import is_picture
from fhe_face.photos.preparation import PreparedFace


@dataclass(frozen=True, eq=False)
class Person:
    """Whose photo it is: by the name that the caller uses, or by the caller's own id, or both."""

    name: str | None = None
    own_id: str | None = None


@dataclass(frozen=True, eq=False)
class Item:
    """A photo as `prepare` takes it; person: None where every face is a subject of its own.

    template: the caller's own id for the largest face, None for one made of the content.
    """

    photo: Any = field(repr=False)
    name: str
    person: Person | None = None
    template: str | None = None

    @property
    def every(self) -> bool:
        """Whether all faces are enrolled: a person's photo shows that person largest."""
        return self.person is None and self.template is None


@dataclass(frozen=True)
class Found:
    """Photos, and what was found beside them: one line each."""

    items: tuple[Item, ...]
    remarks: tuple[str, ...] = ()


def find_items(source: Any, person: Person | None = None) -> Found:
    """The photos of FOLDER/person/photo, of a flat folder, a file, a picture, or a list of them.

    Without `person`, folders inside a folder are people, and faces of other photos are a subject
    each. With it, all photos are that person's.

    Raises:
        FileError: a folder cannot be read, or holds no picture.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return _of_folder(path, person) if path.is_dir() else _single(path, person)
    if isinstance(source, Iterable) and not _is_one(source):
        parts = [find_items(one, person) for one in source]
        return Found(
            tuple(item for part in parts for item in part.items),
            tuple(remark for part in parts for remark in part.remarks),
        )
    return _single(source, person)


def with_template(items: Sequence[Item], own: str) -> list[Item]:
    """The only photo, with the caller's id for its largest face.

    Raises:
        GalleryError: several photos, or no possible id.
    """
    if len(items) != 1:
        raise GalleryError(f"one template id for {len(items)} photos; it is for one photo")
    return [replace(items[0], template=checked(own, "template"))]


def _is_one(source: Any) -> bool:
    """Whether something that can be iterated over is one picture all the same."""
    listed = isinstance(source, list | tuple | set | frozenset)
    return not listed and (
        isinstance(source, PreparedFace | bytes | bytearray | memoryview)
        or hasattr(source, "read")
        or hasattr(source, "__array__")
        or hasattr(source, "convert")
    )


def _single(photo: Any, person: Person | None) -> Found:
    return Found((Item(photo, name_of(photo), person),))


def _of_folder(folder: Path, person: Person | None) -> Found:
    if person is None and _has_folders(folder):
        return _people(folder)
    files, others = picture_files([folder])
    remarks = (_others(folder, others),) if others else ()
    return Found(tuple(Item(file.path, shown(file.path), person) for file in files), remarks)


def _people(folder: Path) -> Found:
    found = find_photos(folder)
    items = [Item(one.path, shown(one.path), Person(one.person)) for one in found.photos]
    remarks = [
        f"{shown(inner)}: a folder inside a person's folder is not looked into"
        for inner in found.nested
    ]
    remarks += [
        f"{shown(folder / name)}: no picture in this person's folder" for name in found.without
    ]
    beside = [entry for entry in _entries(folder) if entry.is_file() and is_picture(entry)]
    remarks += [
        f"{shown(entry)}: lies beside the people's folders: not enrolled" for entry in beside
    ]
    if found.other_files > len(beside):
        remarks.append(_others(folder, found.other_files - len(beside)))
    return Found(tuple(items), tuple(remarks))


def _others(folder: Path, count: int) -> str:
    return f"{shown(folder)}: {count} other file{'s' if count > 1 else ''}, not pictures"


def _has_folders(folder: Path) -> bool:
    """Whether it is laid out by people: some folder in it, not hidden, has a picture."""
    inner = [entry for entry in _entries(folder) if entry.is_dir()]
    return any(entry.is_file() and is_picture(entry) for one in inner for entry in _entries(one))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise explain(folder, "read", error) from error
