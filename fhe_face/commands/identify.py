"""``fhe-face identify``: who is on photos? One answer for each face."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.files import shown
from fhe_face.commands.gallery_embedding import EmbedOptions, match_of
from fhe_face.commands.gallery_opening import Opening, counted, facts_of, require_thresholds
from fhe_face.commands.identify_looking import Asked, Looked, Looking
from fhe_face.commands.identify_pictures import Pictures, sure
from fhe_face.failures import DIFFERENT, ERROR, NOT_SURE, UNHEALTHY, USAGE, CommandError
from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.gallery import Gallery
from fhe_face.gallery.ranking import Candidate, Identified
from fhe_face.output import Output, facts
from fhe_face.photos.picture_files import picture_files
from fhe_face.system import seconds

#: The status of each answer; of several, the one furthest from a match counts.
STATUS = {Answer.MATCH: 0, Answer.UNCERTAIN: NOT_SURE, Answer.UNKNOWN: DIFFERENT, None: UNHEALTHY}
_ORDER = (0, NOT_SURE, DIFFERENT, UNHEALTHY)
#: Less likely candidates are not worth a word; JSON has them.
_LIKELY = 0.01


@dataclass(frozen=True)
class Request:
    """What the options ask for. CommandError: what makes no sense together."""

    photos: tuple[Path, ...]
    galleries: tuple[Path, ...]
    fuse: str | None
    top: int
    match: str
    largest: bool
    scores: bool
    picture: Path | None
    how: EmbedOptions
    passphrase_file: Path | None
    threads: int | None

    def __post_init__(self) -> None:
        match_of(self.match)
        if self.fuse is not None and len(self.galleries) < 2:
            raise CommandError("--fuse takes several galleries: give --gallery for each", USAGE)
        _ = self.weights

    @property
    def weights(self) -> tuple[float, ...]:
        """Of each gallery."""
        if self.fuse is None:
            return (1.0,) * len(self.galleries)
        try:
            found = tuple(float(text) for text in self.fuse.split(","))
        except ValueError:
            found = ()
        if len(found) != len(self.galleries) or not all(0 < n < float("inf") for n in found):
            raise CommandError(
                f"--fuse is '{self.fuse}'; it must be {len(self.galleries)} numbers above 0, "
                "separated by commas",
                USAGE,
            )
        return found


def run(request: Request, as_json: bool) -> None:
    """Print the answers; ends with their status, or 1 where a photo could not be used."""
    output = Output(as_json)
    files, others = picture_files(request.photos)
    if others:
        output.note(f"{counted(others, 'file')} in the folders left out: not pictures")
    photos = [file.path for file in files]
    pictures = Pictures.planned(request.picture, photos)
    started = time.perf_counter()
    with ExitStack() as stack:
        galleries = [
            stack.enter_context(_opening(request, folder).opened(output))
            for folder in request.galleries
        ]
        looked = _look(request, galleries, photos, output, stack)
        data: dict[str, Any] = {"galleries": [facts_of(gallery) for gallery in galleries]}
    data |= {
        "photos": [_told(one, request.scores) for one in looked],
        "embed": request.how.how,
        "match": request.match,
        "seconds": time.perf_counter() - started,
    }
    if pictures is not None:
        data["pictures"] = [str(path) for path in pictures.write(looked)]
        output.replaced(pictures.outputs)
    _end(output, looked, data)


def _opening(request: Request, folder: Path) -> Opening:
    return Opening(folder, request.passphrase_file, request.threads)


def _look(
    request: Request,
    galleries: Sequence[Gallery],
    photos: Sequence[Path],
    output: Output,
    stack: ExitStack,
) -> list[Looked]:
    for gallery in galleries:
        require_thresholds(gallery)
    stage = stack.enter_context(output.stages())
    asked = []
    for gallery, folder, weight in zip(galleries, request.galleries, request.weights, strict=True):
        started = request.how.started(gallery, _opening(request, folder), output, stage)
        asked.append(Asked(gallery, stack.enter_context(started), weight))
    every, match = not request.largest, match_of(request.match)
    return Looking(asked, match, request.top, every, stage).run(photos)


def _told(looked: Looked, scores: bool) -> dict[str, Any]:
    """A photo, for JSON; scores are biometric numbers, and told only where they are asked for."""
    faces = []
    for face in looked.faces:
        told, best = face.to_json(), face.best
        told["subject"] = None if best is None else best.subject
        told["name"] = None if best is None else best.name
        told["confidence"] = face.candidates[0].confidence if face.candidates else None
        if not scores:
            for candidate in told["candidates"]:
                del candidate["score"]
        faces.append(told)
    return {"photo": str(looked.photo), "faces": faces, "error": looked.error}


def _end(output: Output, looked: Sequence[Looked], data: dict[str, Any]) -> None:
    for one in looked:
        for face in one.faces:
            for warning in face.warnings:
                output.warn(f"{one.photo}: {warning}")
    failed = [one for one in looked if one.error is not None]
    if failed and not any(one.faces for one in looked):
        raise CommandError(f"{shown(failed[0].photo)}: {failed[0].error}", ERROR, data)
    if failed:
        if not output.as_json:
            _show(output.console, looked, data)
        reasons = "; ".join(f"{shown(one.photo)}: {one.error}" for one in failed)
        raise CommandError(
            f"{len(failed)} of {counted(len(looked), 'photo')}: {reasons}", ERROR, data
        )
    output.answer(data, lambda console: _show(console, looked, data))
    raise SystemExit(status_of([face for one in looked for face in one.faces]))


def status_of(faces: Sequence[Identified]) -> int:
    """The status of the face that is furthest from a match."""
    return max((STATUS[face.answer] for face in faces), key=_ORDER.index)


def _show(console: Console, looked: Sequence[Looked], data: dict[str, Any]) -> None:
    for one in looked:
        for face in one.faces:
            where = f"{shown(one.photo)}{_place(face, len(one.faces))}"
            console.print(f"{where}: {sentence(face)}", markup=False, soft_wrap=True)
    rows: list[tuple[str, object]] = [
        (
            "gallery",
            f"{shown(one['gallery'])}, {counted(one['people'], 'person', 'people')}",
        )
        for one in data["galleries"]
    ]
    rows += [("embedded", data["embed"]), ("matched", data["match"])]
    rows += [("time", seconds(data["seconds"]))]
    rows += [("picture", shown(path)) for path in data.get("pictures", ())]
    console.print(facts("", rows))


def _place(face: Identified, count: int) -> str:
    if count == 1:
        return ""
    if face.box is None:
        return f", face {face.face}"
    x, y, wide, high = (round(n) for n in face.box)
    return f", face {face.face} ({wide}x{high} at {x},{y})"


def sentence(face: Identified) -> str:
    """The answer for a face, in words."""
    if face.answer is None:
        return f"no answer: {face.reason}"
    best, others = face.best, [c for c in face.candidates[1:] if c.confidence >= _LIKELY]
    if best is None:
        return "unknown"
    said = "match" if face.answer is Answer.MATCH else "uncertain, perhaps"
    return "; ".join([f"{said} {_sure(best)}", *map(_sure, others)])


def _sure(candidate: Candidate) -> str:
    return f"{candidate.label} ({sure(candidate.confidence)})"
