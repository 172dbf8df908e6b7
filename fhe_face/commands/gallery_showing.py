"""``fhe-face gallery list`` and ``show``: which galleries there are, and what is in one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.errors import Failure
from fhe_core.files import explain, shown
from fhe_face.commands.gallery_opening import (
    MEANS,
    Opening,
    counted,
    facts_of,
    kind_of,
    network_text,
    somebody,
    thresholds_text,
)
from fhe_face.failures import CommandError, one_line
from fhe_face.gallery.folders import Folder
from fhe_face.gallery.gallery import Gallery
from fhe_face.output import Output, facts, grid
from fhe_face.store import StoredTemplate
from fhe_face.system import size

#: People that `show` lists; JSON has all.
_LISTED = 100


def list_galleries(folders: Sequence[Path], as_json: bool) -> None:
    """Galleries in folders, and folders that are galleries themselves."""
    found = [_described(place) for folder in folders for place in _galleries(folder)]
    data = {"folders": [str(folder) for folder in folders], "galleries": found}
    Output(as_json).answer(data, lambda console: _show_list(console, found))


def _galleries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CommandError(f"{shown(folder)}: no such folder")
    if _is_gallery(folder):
        return [folder]
    try:
        return sorted(inner for inner in folder.iterdir() if _is_gallery(inner))
    except OSError as error:
        raise explain(folder, "read", error) from error


def _is_gallery(folder: Path) -> bool:
    place = Folder(folder)
    return place.evaluation_key.is_file() or place.key.is_file()


def _described(folder: Path) -> dict[str, Any]:
    place = Folder(folder)
    data: dict[str, Any] = {"gallery": str(folder), "has_key": place.key.is_file()}
    try:
        return kind_of(folder).describe(folder) | data | {"bytes": _bytes(folder), "problem": None}
    except Failure as error:
        return data | {"problem": one_line(error)}


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _show_list(console: Console, found: Sequence[dict[str, Any]]) -> None:
    if not found:
        console.print("no galleries here: fhe-face gallery create GALLERY makes one", markup=False)
        return
    rows = [
        (
            shown(one["gallery"]),
            MEANS[one["mode"]],
            one["model"][:12],
            "here" if one["has_key"] else "missing",
            str(one["subjects"]),
            str(one["templates"]),
            size(one["bytes"]),
        )
        for one in found
        if one["problem"] is None
    ]
    names = ("gallery", "searched", "network", "key", "people", "templates", "size")
    if rows:
        console.print(grid("Galleries", names, rows, 4))
    for one in found:
        if one["problem"] is not None:
            text = f"{shown(one['gallery'])}: {one['problem']}"
            console.print(text, markup=False, soft_wrap=True)


def show(opening: Opening, subject: str | None, deleted: bool, as_json: bool) -> None:
    """Print it, wherever it is."""
    output = Output(as_json)
    with opening.opened(output) as gallery:
        if subject is None:
            _show_all(gallery, deleted, output)
        else:
            _show_one(gallery, subject, deleted, output)


def _show_all(gallery: Gallery, deleted: bool, output: Output) -> None:
    people = [one.to_json() for one in gallery.subjects(include_deleted=deleted)]
    decision, calibration = gallery.settings.decision, gallery.settings.calibration
    counts = gallery.counts()
    data = {
        **facts_of(gallery),
        **counts,
        "people": counts["subjects"],
        "weights": gallery.settings.weights,
        "preparation": gallery.facts.preparation.describe(),
        "thresholds": None if decision is None else decision.to_json(),
        "centred": gallery.settings.centre is not None,
        "calibration": None if calibration is None else dict(calibration),
        "subjects": people,
        "refused_photos": counts["refusals"],
    }

    def tell(console: Console) -> None:
        console.print(facts(f"Gallery {gallery.opened.folder.root}", _facts(gallery, counts)))
        rows = [
            (one["name"] or one["subject"], _state(one), str(one["templates"]))
            for one in people[:_LISTED]
        ]
        if rows:
            console.print(grid("People", ("who", "", "templates"), rows, 2))
        if len(people) > _LISTED:
            more = len(people) - _LISTED
            console.print(f"and {counted(more, 'person', 'people')} more: --json lists all")

    output.answer(data, tell)


def _facts(gallery: Gallery, counts: dict[str, int]) -> list[tuple[str, object]]:
    facts_ = gallery.facts
    size_ = facts_.preparation.size
    gone = counted(counts["deleted_templates"], "template")
    names = "kept, sealed" if facts_.names else "not kept: people are found by name, shown by id"
    rows: list[tuple[str, object]] = [
        ("people", counts["subjects"]),
        ("templates", f"{counts['templates']}, searched by {MEANS[facts_.mode.value]}"),
        ("waiting to be sealed", counts["pending"]),
        ("deleted", f"{gone}, until compact removes them" if counts["deleted_templates"] else 0),
        ("photos refused", counts["refusals"]),
        ("network", network_text(gallery.settings.weights, facts_.model)),
        ("faces", f"{size_}x{size_} pixels{', with mirror image' * facts_.preparation.flip}"),
        ("names", names),
        ("thresholds", thresholds_text(gallery)),
        ("centred", "yes" if gallery.settings.centre is not None else "no"),
        ("key id", facts_.key_id),
    ]
    return rows


def _time(row: StoredTemplate) -> str:
    """When a template was added: UTC, ISO 8601."""
    return datetime.fromtimestamp(row.added, timezone.utc).isoformat(timespec="seconds")


def _state(person: dict[str, Any]) -> str:
    return "deleted" if person["deleted"] else ""


def _show_one(gallery: Gallery, subject: str, deleted: bool, output: Output) -> None:
    person = somebody(gallery, subject)
    rows = gallery.templates(person.id, include_deleted=deleted or person.deleted)
    templates = [{"template": row.id, "added": _time(row), "deleted": row.deleted} for row in rows]
    data = facts_of(gallery) | {"subject": person.to_json(), "subject_templates": templates}

    def tell(console: Console) -> None:
        own: list[tuple[str, object]] = [
            ("name", person.name or "not kept"),
            ("id", person.id),
            ("templates", person.templates),
        ]
        if person.deleted:
            own.append(("deleted", "yes, until compact removes it: fhe-face gallery undelete"))
        console.print(facts(person.label, own))
        cells = [(row.id, _time(row), "deleted" if row.deleted else "") for row in rows]
        if cells:
            console.print(grid("Templates", ("id", "added", ""), cells))

    output.answer(data, tell)
