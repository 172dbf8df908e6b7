"""Photos to a folder of aligned crops, contact sheets and a manifest. Nothing is overwritten."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fhe_core.files import FileError, atomic_write, explain, shown
from fhe_face.client.contact_sheet import Cell, ContactSheet, marked
from fhe_face.client.images import ImageError, load_photo
from fhe_face.client.preparation import Pixels, save_crop, write_png
from fhe_face.models.faces import Aligner, Choice, Crop, NoFaceError
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
    """Writes the crops of one picture after another into a new or empty folder."""

    folder: Path
    aligner: Aligner
    all_faces: bool = False
    _sheet: ContactSheet = field(default_factory=ContactSheet)
    _sheets: list[str] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _done: list[Aligned] = field(default_factory=list)

    def run(self, images: Sequence[Path], stage: Stage = silent) -> list[Aligned]:
        """Align all; a picture that fails is told in its entry, the others are done.

        Raises:
            FileError: the folder is not empty, or cannot be written.
        """
        make_folder(self.folder)
        for number, image in enumerate(images):
            stage("aligning", number, len(images))
            self._done.append(Aligned(image, self._one(image)))
        stage("aligning", len(images), len(images))
        self._page()
        with atomic_write(self.folder / MANIFEST, overwrite=False) as stream:
            stream.write((json.dumps(self.manifest(), indent=2) + "\n").encode())
        return self._done

    def manifest(self) -> dict[str, Any]:
        """What was done, as it is written into the folder."""
        return {
            "preparation": self.aligner.preparation().describe(),
            "images": [aligned.entry for aligned in self._done],
            "contact_sheets": list(self._sheets),
        }

    def _one(self, image: Path) -> dict[str, Any]:
        entry: dict[str, Any] = {"image": str(image), "faces": None, "crops": [], "warnings": []}
        photo: Pixels | None = None
        try:
            photo = load_photo(image)
            choice: Choice = "all" if self.all_faces else "largest"
            alignment = self.aligner.align(photo, choice, fallback=False)
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
            name = self._name(image, suffix)
            save_crop(self.folder / name, crop.pixels, self.aligner.preparation())
            facts = _facts(crop, number)
            entry["crops"].append({"file": name, **facts})
            text = (
                f"{name}: score {facts['score']:.2f}, turned {facts['roll']:.0f} degrees, "
                f"landmarks off by {facts['fit_error']:.2f}"
            )
            remarks = [flag.warning for flag in crop.flags]
            thumbnail = marked(photo, crop.face, alignment.faces)
            self._add(Cell(image.name, thumbnail, crop.pixels, text, remarks))
        return entry

    def _add(self, cell: Cell) -> None:
        self._sheet.add(cell)
        if self._sheet.full:
            self._page()

    def _page(self) -> None:
        if not self._sheet.cells:
            return
        count = len(self._sheets)
        name = f"{SHEET}-{count + 1}.png" if count else f"{SHEET}.png"
        write_png(self.folder / name, self._sheet.page())
        self._sheets.append(name)

    def _name(self, image: Path, suffix: str) -> str:
        """A file name that no other crop has, however the file system folds letters."""
        letters = image.stem.encode("utf-8", "ignore")[:_MAX_NAME].decode("utf-8", "ignore")
        stem = letters if not letters.startswith((SHEET, ".")) else f"face-{letters.lstrip('.')}"
        name, count = f"{stem}{suffix}", 1
        while name.casefold() in self._names:
            count += 1
            name = f"{stem}~{count}{suffix}"
        self._names.add(name.casefold())
        return f"{name}.png"


def make_folder(folder: Path) -> None:
    """Make the folder, or take an empty one; FileError for any other."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with os.scandir(folder) as entries:
            taken = next(entries, None)
    except FileExistsError:
        raise FileError(f"{shown(folder)} is a file; expected a new or empty folder") from None
    except OSError as error:
        raise explain(folder, "write to", error) from error
    if taken is not None:
        raise FileError(
            f"{shown(folder)} is not empty (it holds {shown(taken.name)}); expected a new or "
            "empty folder, so that nothing is overwritten"
        )


def _facts(crop: Crop, number: int) -> dict[str, Any]:
    assert crop.face is not None  # pictures without faces never come here
    return {
        "face": number,
        "box": [round(n, 2) for n in crop.face.box],
        "landmarks": [[round(float(n), 2) for n in point] for point in crop.face.landmarks],
        "score": round(crop.face.score, 4),
        "scales": crop.face.scales,
        "roll": round(crop.roll or 0.0, 2),
        "fit_error": round(crop.fit_error or 0.0, 4),
        "outside": round(crop.outside or 0.0, 4),
        "flags": [flag.value for flag in crop.flags],
    }
