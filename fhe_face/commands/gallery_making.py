"""``fhe-face gallery create|backup|restore|rekey|rebuild``: galleries as wholes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.files import shown
from fhe_face.client import passphrases
from fhe_face.commands.gallery_embedding import EmbedOptions, say_caution
from fhe_face.commands.gallery_opening import (
    MEANS,
    Opening,
    confirm,
    counted,
    facts_of,
    network_text,
    thresholds_text,
)
from fhe_face.commands.secrecy import hold_secrets
from fhe_face.failures import USAGE, CommandError
from fhe_face.gallery.gallery import Gallery
from fhe_face.models.checkpoint import load
from fhe_face.network import weights_file
from fhe_face.output import Output, facts
from fhe_face.system import size


@dataclass(frozen=True)
class New:
    """What the options of ``create`` ask for. CommandError: a template that there is not."""

    gallery: Path
    weights: Path
    names: bool
    template: str
    flip: bool
    aligned: bool
    database: str | None

    def __post_init__(self) -> None:
        if self.template not in MEANS:
            raise CommandError(f"--template is '{self.template}'; it must be mean or each", USAGE)


def create(new: New, passphrase: bool, passphrase_file: Path | None, as_json: bool) -> None:
    output = Output(as_json)
    hold_secrets(output, passphrase_file)
    chosen = passphrases.chosen(passphrase_file, passphrase)
    say_caution(load(weights_file(new.weights)), output)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python's users; said already
        made = Gallery.create(
            new.gallery,
            new.weights,
            names=new.names,
            template=new.template,
            flip=new.flip,
            preparation="as-given" if new.aligned else "aligned",
            url=new.database,
            passphrase=chosen,
        )
    with made as gallery:
        folder, decision = gallery.opened.folder, gallery.settings.decision
        data = facts_of(gallery) | {
            "weights": gallery.settings.weights,
            "key": str(folder.key),
            "protected": chosen is not None,
            "server": str(folder.server),
            "evaluation_key_bytes": folder.evaluation_key.stat().st_size,
            "database": "postgresql" if new.database else "sqlite",
            "preparation": gallery.facts.preparation.describe(),
            "thresholds": None if decision is None else decision.to_json(),
        }
        said = thresholds_text(gallery)
    output.answer(data, lambda console: _show_new(console, new, data, said))


def _show_new(console: Console, new: New, data: dict[str, Any], thresholds: str) -> None:
    rows: list[tuple[str, object]] = [
        ("secret key, never give it away", shown(data["key"])),
        ("its passphrase", "needed to use it" if data["protected"] else "none"),
        ("may lie on a server", shown(data["server"])),
        ("  keys of it", size(data["evaluation_key_bytes"])),
        ("database", "PostgreSQL" if new.database else "SQLite"),
        ("network", network_text(data["weights"], data["model"])),
        ("searched", MEANS[data["template"]]),
        ("names", "kept, sealed" if data["names"] else "not kept: answers are ids"),
        ("thresholds", thresholds),
    ]
    console.print(facts("New gallery", rows))
    text = f"next: fhe-face enroll FOLDER --gallery {shown(new.gallery)}"
    console.print(text, markup=False, soft_wrap=True)


def backup(folder: Path, target: Path, as_json: bool) -> None:
    output = Output(as_json)
    with output.stages() as stage:
        stage("copying", 0, 0)
        Gallery.backup(folder, target)
        stage("copying", 1, 1)
    count = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    data = {"gallery": str(folder), "backup": str(target), "bytes": count}
    output.answer(data, lambda console: _show_backup(console, folder, data))


def _show_backup(console: Console, folder: Path, data: dict[str, Any]) -> None:
    lines = (
        f"{shown(data['backup'])}: {size(data['bytes'])}, all of it sealed",
        f"not in it: {shown(folder / 'client')}, without whose gallery.key nobody can open the "
        "copy; keep a copy of that somewhere else",
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def restore(
    source: Path, folder: Path, key: Path | None, database: str | None, as_json: bool
) -> None:
    output = Output(as_json)
    hold_secrets(output, key)
    with output.stages() as stage:
        stage("copying", 0, 0)
        Gallery.restore(source, folder, key=key, url=database)
        stage("copying", 1, 1)
    data = {"backup": str(source), "gallery": str(folder)} | Gallery.describe(folder)
    people, templates = data["subjects"], data["templates"]
    text = (
        f"{shown(folder)}: {counted(templates, 'template')} of "
        f"{counted(people, 'person', 'people')}"
    )
    if key is None:
        text += f"; put its gallery.key into {shown(folder / 'client')}"
    output.answer(data, lambda console: console.print(text, markup=False, soft_wrap=True))


def rekey(
    opening: Opening,
    passphrase: bool,
    passphrase_file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    output = Output(as_json)
    hold_secrets(output, passphrase_file)
    chosen = passphrases.chosen(passphrase_file, passphrase)
    with opening.opened(output) as gallery:
        before = gallery.facts.key_id
        confirm(
            f"the key {before[:8]} is replaced: backups made so far need a copy of it", yes, output
        )
        with output.stages() as stage:
            gallery.rekey(chosen, stage)
        data = facts_of(gallery) | {"key_id_before": before, "protected": chosen is not None}
    text = (
        f"{shown(opening.folder)}: everything is sealed with key {data['key_id'][:8]} now; "
        f"{before[:8]} opens nothing in it"
    )
    output.answer(data, lambda console: console.print(text, markup=False, soft_wrap=True))


def rebuild(
    opening: Opening,
    photos: Sequence[Path],
    how: EmbedOptions,
    flip: bool,
    drop: bool,
    as_json: bool,
) -> None:
    raise NotImplementedError
