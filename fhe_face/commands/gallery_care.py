"""``fhe-face gallery check|compact|calibrate|export``: looking after a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.files import shown
from fhe_face.commands.gallery_opening import (
    Opening,
    confirm,
    counted,
    facts_of,
    thresholds_text,
)
from fhe_face.failures import USAGE, CommandError
from fhe_face.gallery.calibration import CENTRE_FROM
from fhe_face.gallery.export import Exported
from fhe_face.gallery.gallery import Gallery
from fhe_face.output import Output, facts, grid


def check(opening: Opening, repair: bool, as_json: bool) -> None:
    """Ends with status 1 where something is left to mend."""
    output = Output(as_json)
    with opening.opened(output) as gallery, output.stages() as stage:
        findings = gallery.check(repair, stage)
        counts = gallery.counts()
        data = facts_of(gallery) | {
            "blocks": counts["blocks"],
            "findings": [finding.to_json() for finding in findings],
        }
    left = [one for one in findings if not one.mended and one.severity == "error"]
    data["sound"] = not left
    if not left:
        output.answer(data, lambda console: _show_check(console, data))
        return
    if not as_json:
        _show_check(output.console, data)
    how = "" if repair else "; --repair mends what can be mended"
    raise CommandError(f"{counted(len(left), 'fault')}: {left[0].text}{how}", details=data)


def _show_check(console: Console, data: dict[str, Any]) -> None:
    findings = data["findings"]
    if findings:
        rows = [(one["kind"], one["text"], _state(one)) for one in findings]
        console.print(grid("Found", ("what", "", "now"), rows))
    if data["sound"]:
        templates, blocks = data["templates"], data["blocks"]
        text = f"sound: {counted(templates, 'template')}, {counted(blocks, 'block')}"
        console.print(text, markup=False)


def _state(finding: dict[str, Any]) -> str:
    if finding["mended"]:
        return "mended"
    return "harmless" if finding["severity"] == "notice" else "left"


def compact(opening: Opening, yes: bool, as_json: bool) -> None:
    output = Output(as_json)
    with opening.opened(output) as gallery:
        counts = gallery.counts()
        people, templates = counts["deleted_subjects"], counts["deleted_templates"]
        if people or templates:
            gone = f"{counted(templates, 'deleted template')} and {counted(people, 'subject')}"
            confirm(f"{gone} are removed for good: undelete cannot bring them back", yes, output)
        with output.stages() as stage:
            done = gallery.compact(stage)
        data = facts_of(gallery) | {"removed": done.to_json()}
    said = (
        f"{counted(done.templates, 'deleted template')} and {counted(done.subjects, 'subject')} "
        f"removed for good, {counted(done.blocks, 'block')} sealed anew"
    )
    output.answer(data, lambda console: console.print(said, markup=False, soft_wrap=True))


def calibrate(opening: Opening, centre_from: int | None, as_json: bool) -> None:
    output = Output(as_json)
    with opening.opened(output) as gallery:
        with output.stages() as stage:
            found = gallery.calibrate(CENTRE_FROM if centre_from is None else centre_from, stage)
        data = facts_of(gallery) | {"calibration": found.to_json()}
        rows: list[tuple[str, object]] = [
            ("thresholds", thresholds_text(gallery)),
            ("scores centred", "yes" if found.centre is not None else "no"),
            ("equal error rate before", f"{found.eer_before:.2%}"),
            ("equal error rate now", f"{found.eer_after:.2%}"),
            ("people compared", found.people),
            ("pairs of one person", f"{found.same_pairs:,}"),
            ("pairs of different people", f"{found.different_pairs:,}"),
        ]
        suspects = [
            (one.template, _label(gallery, one.subject), _label(gallery, one.likelier))
            for one in found.suspects
        ]

    def tell(console: Console) -> None:
        console.print(facts(f"Calibrated {shown(opening.folder)}", rows))
        if suspects:
            names = ("template", "enrolled for", "looks more like")
            console.print(grid("Look at these: is the person right?", names, suspects))
            console.print("fhe-face gallery move gives a template to somebody else")

    output.answer(data, tell)


def _label(gallery: Gallery, subject: str) -> str:
    return gallery.subject(subject).label


def export(opening: Opening, folder: Path, kind: str, parquet: bool, as_json: bool) -> None:
    output = Output(as_json)
    if kind not in ("float32", "int8"):
        raise CommandError(f"--type is '{kind}'; it must be float32 or int8", USAGE)
    with opening.opened(output) as gallery:
        done = gallery.export(folder, "int8" if kind == "int8" else "float32", parquet)
        data = facts_of(gallery) | {"folder": str(folder), **done.to_json()}
    output.warn(
        f"{shown(folder)}: holds face templates in the clear, which are as private as the photos"
    )
    output.answer(data, lambda console: _show_export(console, folder, done))


def _show_export(console: Console, folder: Path, done: Exported) -> None:
    console.print(done.summary(), markup=False, soft_wrap=True)
    files: Sequence[str] = [shown(folder / name) for name in done.files]
    for file in files:
        console.print(file, markup=False, soft_wrap=True)
