"""Photos to a folder of aligned crops, contact sheets and a manifest. Nothing is overwritten but
what an earlier run wrote, and that only where it is asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fhe_core.files import FileError, atomic_write, explain, shown
from fhe_face.models.faces import Aligner, Choice, Crop, NoFaceError, Preparation
from fhe_face.photos.contact_sheet import Cell, ContactSheet, marked
from fhe_face.photos.images import ImageError, load_photo
from fhe_face.photos.picture_files import PictureFile
from fhe_face.photos.preparation import Pixels, save_crop, write_png
from fhe_face.progress import Stage, silent

MANIFEST: Final = "manifest.json"
SHEET: Final = "contact-sheet"
_MAX_NAME: Final = 150


@dataclass(frozen=True)
class Aligned:
    """What became of one picture; `entry` is its part of the manifest, JSON-ready."""

    image: Path
    entry: dict[str, Any]

    @property
    def error(self) -> str | None:
        """Why there is no crop."""
        found = self.entry.get("error")
        return None if found is None else str(found)

    @property
    def warnings(self) -> list[str]:
        """One line each, without the file's name."""
        return list(self.entry["warnings"])


@dataclass
class Alignments:
    """Writes the crops of one picture after another into a new or empty folder.

    all_faces: of every face, not only the largest; whole: of a picture without a face the whole
    picture, scaled; replace: the folder may hold what an earlier run wrote, which is removed.
    """

    folder: Path
    aligner: Aligner
    all_faces: bool = False
    whole: bool = False
    replace: bool = False
    _sheet: ContactSheet = field(default_factory=ContactSheet)
    _sheets: list[str] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _written: list[str] = field(default_factory=list)
    _done: list[Aligned] = field(default_factory=list)

    def run(self, images: Sequence[PictureFile], stage: Stage = silent) -> list[Aligned]:
        """Align all; a picture that fails is told in its entry, the others are done.

        Crops of pictures in folders go into folders of the same names. Where nothing could be
        aligned, or the run is interrupted, nothing stays behind.

        Raises:
            FileError: the folder is not empty, or cannot be written.
        """
        existed = self.folder.is_dir()
        make_folder(self.folder, replace=self.replace)
        try:
            for number, image in enumerate(images):
                stage("aligning", number, len(images))
                self._done.append(Aligned(image.path, self._one(image)))
            stage("aligning", len(images), len(images))
            if any(aligned.entry["crops"] for aligned in self._done):
                self._page()
                with atomic_write(self.folder / MANIFEST, overwrite=False) as stream:
                    stream.write((json.dumps(self.manifest(), indent=2) + "\n").encode())
            else:
                self._discard(existed)
        except BaseException:
            self._discard(existed)
            raise
        return self._done

    def _discard(self, existed: bool) -> None:
        """Remove what was written, and the folder where it is new."""
        _remove(self.folder, self._written)
        self._sheets.clear()
        if not existed:
            with suppress(OSError):
                self.folder.rmdir()

    def manifest(self) -> dict[str, Any]:
        """What was done, as it is written into the folder."""
        return {
            "preparation": self.aligner.preparation().describe(),
            "images": [aligned.entry for aligned in self._done],
            "contact_sheets": list(self._sheets),
        }

    def _one(self, file: PictureFile) -> dict[str, Any]:
        image = file.path
        entry: dict[str, Any] = {"image": str(image), "faces": None, "crops": [], "warnings": []}
        photo: Pixels | None = None
        try:
            photo = load_photo(image)
            choice: Choice = "all" if self.all_faces else "largest"
            alignment = self.aligner.align(photo, choice, fallback=self.whole)
        except (ImageError, NoFaceError) as error:
            entry["error"] = str(error).removeprefix(f"{image}: ")
            if photo is not None:
                entry["faces"] = 0
            thumbnail = None if photo is None else marked(photo)
            self._add(Cell(image.name, thumbnail, remarks=[entry["error"]]))
            return entry
        entry["faces"] = len(alignment.faces)
        entry["warnings"] = list(alignment.warnings)
        for number, crop in enumerate(alignment.crops, 1):
            suffix = f"-face{number}" if len(alignment.crops) > 1 else ""
            name = self._name(file, suffix)
            self._write_crop(name, crop)
            facts = _facts(crop, number)
            entry["crops"].append({"file": name, **facts})
            text = f"{name}: {_described(crop)}"
            remarks = [flag.warning for flag in crop.flags]
            thumbnail = marked(photo, crop.face, alignment.faces)
            self._add(Cell(image.name, thumbnail, crop.pixels, text, remarks))
        return entry

    def _write_crop(self, name: str, crop: Crop) -> None:
        how = self.aligner.preparation()
        if crop.face is None:
            how = Preparation.letterboxed(self.aligner.size)
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        self._written.append(name)
        save_crop(target, crop.pixels, how)

    def _add(self, cell: Cell) -> None:
        self._sheet.add(cell)
        if self._sheet.full:
            self._page()

    def _page(self) -> None:
        if not self._sheet.cells:
            return
        count = len(self._sheets)
        name = f"{SHEET}-{count + 1}.png" if count else f"{SHEET}.png"
        self._written.append(name)
        write_png(self.folder / name, self._sheet.page())
        self._sheets.append(name)

    def _name(self, file: PictureFile, suffix: str) -> str:
        """A file name that no other crop has, however the file system folds letters."""
        letters = file.path.stem.encode("utf-8", "ignore")[:_MAX_NAME].decode("utf-8", "ignore")
        taken = letters.startswith((SHEET, "."))
        stem = f"face-{letters.lstrip('.')}" if taken else letters
        name, count = file.folder / f"{stem}{suffix}", 1
        while str(name).casefold() in self._names:
            count += 1
            name = file.folder / f"{stem}~{count}{suffix}"
        self._names.add(str(name).casefold())
        return f"{name}.png"


def make_folder(folder: Path, *, replace: bool = False) -> None:
    """Make the folder, or take an empty one; FileError for any other.

    replace: what the manifest of an earlier run lists is removed first.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if replace:
            _remove(folder, _earlier(folder))
        with os.scandir(folder) as entries:
            taken = next(entries, None)
    except FileExistsError:
        raise FileError(f"{shown(folder)} is a file; expected a new or empty folder") from None
    except OSError as error:
        raise explain(folder, "write to", error) from error
    if taken is not None:
        remedy = "" if replace else " (--force replaces what an earlier align wrote)"
        raise FileError(
            f"{shown(folder)} is not empty (it holds {shown(taken.name)}); expected a new or "
            f"empty folder, so that nothing is overwritten{remedy}"
        )


def _earlier(folder: Path) -> list[str]:
    """What an earlier run wrote into the folder, by its manifest; nothing where there is none."""
    try:
        content = json.loads((folder / MANIFEST).read_bytes())
        names = [crop["file"] for image in content["images"] for crop in image["crops"]]
        names += [*content["contact_sheets"], MANIFEST]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    # The file may come from anywhere: it must not name anything outside, or other kinds of files.
    inside = [name for name in names if isinstance(name, str) and _is_inside(name)]
    return inside if len(inside) == len(names) else []


def _is_inside(name: str) -> bool:
    path = Path(name)
    known = name == MANIFEST or path.suffix == ".png"
    return known and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Files in a folder, and the folders in it that become empty by that."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
    inner = {parent for name in names for parent in Path(name).parents if parent != Path()}
    for parent in sorted(inner, key=lambda path: -len(path.parts)):
        with suppress(OSError):
            (folder / parent).rmdir()


def _described(crop: Crop) -> str:
    """A crop in a line of a contact sheet."""
    if crop.face is None:
        return "the whole picture, not aligned"
    return (
        f"score {crop.face.score:.2f}, turned {round(crop.roll or 0.0)} degrees, landmarks off by "
        f"{crop.fit_error or 0.0:.2f} eye distances"
    )


def _facts(crop: Crop, number: int) -> dict[str, Any]:
    """Of a crop, for the manifest; those of the face are None where there is none."""
    face = crop.face
    return {
        "face": None if face is None else number,
        "box": None if face is None else [round(n, 2) for n in face.box],
        "landmarks": None
        if face is None
        else [[round(float(n), 2) for n in point] for point in face.landmarks],
        "score": None if face is None else round(face.score, 4),
        "scales": None if face is None else face.scales,
        "roll": _rounded(crop.roll, 2),
        "fit_error": _rounded(crop.fit_error, 4),
        "outside": _rounded(crop.outside, 4),
        "flags": [flag.value for flag in crop.flags],
    }


def _rounded(value: float | None, digits: int) -> float | None:
    """Without a minus before zero."""
    return None if value is None else round(value, digits) + 0.0
