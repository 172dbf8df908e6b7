"""``fhe-face enroll`` and ``fhe-face gallery add``: photos into a gallery."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.files import shown
from fhe_face.commands.gallery_embedding import EmbedOptions
from fhe_face.commands.gallery_opening import Opening, counted, facts_of
from fhe_face.failures import INTERRUPTED, CommandError
from fhe_face.gallery.report import Enrolment, Progress, Why
from fhe_face.output import Output, facts, grid
from fhe_face.progress import Stage
from fhe_face.system import duration

#: Seconds between lines of progress where nobody sees the display.
_BETWEEN = 30.0
#: Photos that a table lists; JSON has all.
_LISTED = 200


def run(
    opening: Opening,
    photos: Sequence[Path],
    how: EmbedOptions,
    as_json: bool,
    again: bool = False,
    subject: str | None = None,
) -> None:
    """Enrol; ends with an error where nothing of what was given could be used."""
    output = Output(as_json)
    for photo in photos:
        if not os.path.lexists(photo):
            raise CommandError(f"{shown(photo)}: no such file or folder")
    report = Enrolment()
    with opening.opened(output) as gallery:
        try:
            with output.stages() as stage, how.started(gallery, opening, output, stage) as embedder:
                gallery.enroll(
                    list(photos),
                    subject=subject,
                    embedder=embedder,
                    again=again,
                    progress=Told("enrolling photos", output, stage),
                    report=report,
                    stage=stage,
                )
        except KeyboardInterrupt:
            kept = f"{counted(len(report.enrolled), 'face')} enrolled before stay in the gallery"
            raise CommandError(
                f"interrupted: {kept}, and the same command goes on from there",
                INTERRUPTED,
                _data(report) | {"interrupted": True},
            ) from None
        data = facts_of(gallery) | _data(report) | {"embed": how.how}
    for remark in report.remarks:
        output.warn(remark)
    if not (report.enrolled or report.known or report.repeated):
        why = next(map(str, [*report.refused, *report.conflicting]), "no photo was found")
        raise CommandError(f"nothing was enrolled: {why}", details=data)
    output.answer(data, lambda console: _show(console, opening.folder, report, data))


@dataclass
class Told:
    """Progress on the display, or a line now and then where there is none."""

    what: str
    output: Output
    stage: Stage
    last: float = 0.0

    def __call__(self, progress: Progress) -> None:
        self.stage(self.what, progress.done, progress.total)
        now = time.monotonic()
        self.last = self.last or now
        waited = now - self.last >= _BETWEEN
        if waited and not self.output.interactive and progress.done < progress.total:
            self.last = now
            self.output.note(
                f"{progress.done} of {progress.total} photos, {progress.enrolled} faces embedded, "
                f"{progress.refused} refused, {duration(progress.left)} left"
            )


def _data(report: Enrolment) -> dict[str, Any]:
    return report.to_json() | {"templates_per_hour": report.per_hour}


def _show(console: Console, folder: Path, report: Enrolment, data: dict[str, Any]) -> None:
    people = len({face.subject for face in report.enrolled})
    refused = _refused(report)
    rows: list[tuple[str, object]] = [
        ("enrolled", f"{counted(len(report.enrolled), 'face')} of {_people(people)}"),
        ("enrolled before", counted(len(report.known), "photo")),
        ("not enrolled", counted(len(refused), "photo")),
        ("in the gallery now", f"{data['templates']} templates of {_people(data['people'])}"),
        ("time", duration(report.seconds)),
    ]
    console.print(facts(f"Gallery {shown(folder)}", rows))
    if refused:
        names = ("photo", "what", "why")
        console.print(grid("Not enrolled", names, refused[:_LISTED]))
    if any(one.why is Why.EARLIER for one in report.refused):
        console.print("refused photos are not tried again, unless --again says so")
    if len(refused) > _LISTED:
        console.print(f"and {len(refused) - _LISTED} more: --json lists all")


def _refused(report: Enrolment) -> list[tuple[str, str, str]]:
    """Photo, what, why: of everything that is not in the gallery."""
    refused = [(one.photo, one.why.text, one.reason) for one in report.refused]
    refused += [
        (one.photo, "of two people", str(one).removeprefix(f"{one.photo}: "))
        for one in report.conflicting
    ]
    refused += [(one.photo, "same picture", f"as {one.other}") for one in report.repeated]
    return refused


def _people(count: int) -> str:
    return counted(count, "person", "people")
