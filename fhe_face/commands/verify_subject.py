"""``fhe-face verify --gallery G --subject S``: does a photo show somebody of a gallery?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.files import shown
from fhe_face.client.health import UnhealthyResultError
from fhe_face.commands.gallery_embedding import EmbedOptions, match_of
from fhe_face.commands.gallery_opening import Opening, facts_of, require_thresholds, somebody
from fhe_face.failures import DIFFERENT, NOT_SURE, CommandError, describe
from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.identification import Verified
from fhe_face.output import Output, facts
from fhe_face.system import seconds

#: As for two photos: one word, one meaning.
VERDICTS = {Answer.MATCH: "same", Answer.UNCERTAIN: "not sure", Answer.UNKNOWN: "different"}
_SAID = {
    Answer.MATCH: "same person",
    Answer.UNCERTAIN: "not sure",
    Answer.UNKNOWN: "different people",
}
STATUS = {Answer.MATCH: 0, Answer.UNCERTAIN: NOT_SURE, Answer.UNKNOWN: DIFFERENT}


def run(
    opening: Opening, photo: Path, subject: str, how: EmbedOptions, match: str, as_json: bool
) -> None:
    """Print the answer; ends with the status of the verdict, or 3 where the face was refused."""
    chosen = match_of(match)
    output = Output(as_json)
    started = time.perf_counter()
    with opening.opened(output) as gallery:
        require_thresholds(gallery)
        person = somebody(gallery, subject)
        data: dict[str, Any] = facts_of(gallery)
        with output.stages() as stage, how.started(gallery, opening, output, stage) as embedder:
            try:
                found = gallery.verify(
                    photo,
                    person.id,
                    match=chosen,
                    embedder=embedder,
                )
            except UnhealthyResultError as error:
                described = describe(error)
                details = described.details() | {"verdict": None} | data
                raise CommandError(f"no answer: {error}", described.status, details) from None
    for warning in found.warnings:
        output.warn(f"{photo}: {warning}")
    data |= _told(found, photo) | {"embed": how.how, "match": match}
    data["seconds"] = time.perf_counter() - started
    output.answer(data, lambda console: _show(console, found, data))
    raise SystemExit(STATUS[found.answer])


def _told(found: Verified, photo: Path) -> dict[str, Any]:
    return {
        "photo": str(photo),
        "verdict": VERDICTS[found.answer],
        "meaning": _sentence(found),
        "subject": found.subject,
        "name": found.name,
        "cosine": found.score,
        "mean_cosine": found.mean,
        "threshold": found.threshold,
        "healthy": True,
    }


def _sentence(found: Verified) -> str:
    who = found.name or found.subject
    return (
        f"{_SAID[found.answer]}: cosine {found.score:.3f} to {who}, threshold {found.threshold:.3f}"
    )


def _show(console: Console, found: Verified, data: dict[str, Any]) -> None:
    console.print(_sentence(found), markup=False, soft_wrap=True)
    rows = [
        ("gallery", shown(data["gallery"])),
        ("embedded", data["embed"]),
        ("matched", data["match"]),
        ("time", seconds(data["seconds"])),
    ]
    console.print(facts("", rows))
