"""``fhe-face identify -o``: photos with boxes and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhe_core.files import explain, shown
from fhe_core.outputs import Outputs
from fhe_face.commands.identify_looking import Looked
from fhe_face.failures import USAGE, CommandError
from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.ranking import Identified
from fhe_face.photos.images import load_photo
from fhe_face.photos.labelled import LABELLED, Colour, Label, labelled, save

_COLOURS: dict[Any, Colour] = {
    Answer.MATCH: (0, 140, 60),
    Answer.UNCERTAIN: (255, 190, 0),
    Answer.UNKNOWN: (90, 90, 90),
    None: (190, 0, 0),
}
#: A softmax says little about how much more than this.
_MOST_SURE = 0.99


@dataclass(frozen=True)
class Pictures:
    """Which picture is written of which photo."""

    targets: tuple[Path, ...]
    outputs: Outputs

    @classmethod
    def planned(cls, given: Path | None, photos: Sequence[Path]) -> Pictures | None:
        """One file for one photo; a folder for several, or where the name is one of a folder.

        All of it is checked before any long work.

        Raises:
            CommandError: another suffix than .png. ReplacementError, FileError: see `Outputs`.
        """
        if given is None:
            return None
        if len(photos) == 1 and given.suffix and not given.is_dir():
            targets = [given]
            if given.suffix.lower() != ".png":
                raise CommandError(f"{shown(given)}: a picture must end in .png", USAGE)
        else:
            targets = [given / name for name in _names(photos)]
            try:
                given.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise explain(given, "create folder", error) from error
        outputs = Outputs(*photos)
        for target in targets:
            outputs.add(target, LABELLED)
        return cls(tuple(targets), outputs)

    def write(self, looked: Sequence[Looked]) -> list[Path]:
        """Write the pictures of all photos that could be read; which."""
        written = []
        for one, target in zip(looked, self.targets, strict=True):
            if one.error is not None:
                continue
            labels = [Label(face.box, _text(face), _COLOURS[face.answer]) for face in one.faces]
            save(labelled(load_photo(one.photo), labels), target)
            written.append(target)
        return written


def _text(face: Identified) -> str:
    if face.answer is None:
        return "refused"
    if face.best is None:
        return "unknown"
    who = f"{face.best.label} {sure(face.best.confidence)}"
    return who if face.answer is Answer.MATCH else f"perhaps {who}"


def sure(confidence: float) -> str:
    """A confidence for people; nobody is ever sure."""
    return f"{confidence:.0%}" if confidence <= _MOST_SURE else f">{_MOST_SURE:.0%}"


def _names(photos: Sequence[Path]) -> list[str]:
    """A name for each, however the file system folds letters."""
    taken: set[str] = set()
    names = []
    for photo in photos:
        name, count = f"{photo.stem}.png", 1
        while name.casefold() in taken:
            count += 1
            name = f"{photo.stem}~{count}.png"
        taken.add(name.casefold())
        names.append(name)
    return names
