"""``fhe-face gallery create|backup|restore|rekey|rebuild``: galleries as wholes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.files import shown
from fhe_face.client import passphrases
from fhe_face.commands.enroll import Told
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
    with _quiet():
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


def backup(opening: Opening, target: Path, as_json: bool) -> None:
    output = Output(as_json)
    with opening.opened(output) as gallery:
        with output.stages() as stage:
            stage("copying", 0, 0)
            gallery.backup(target)
            stage("copying", 1, 1)
        count = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
        data = facts_of(gallery) | {"backup": str(target), "bytes": count}
    text = (
        f"{shown(target)}: {size(count)}, with the key: keep it as private as "
        f"{shown(opening.folder / 'client')}"
    )
    output.answer(data, lambda console: console.print(text, markup=False, soft_wrap=True))


def restore(source: Path, folder: Path, database: str | None, as_json: bool) -> None:
    output = Output(as_json)
    hold_secrets(output)
    with output.stages() as stage:
        stage("copying", 0, 0)
        Gallery.restore(source, folder, database)
        stage("copying", 1, 1)
    data = Gallery.describe(folder) | {"backup": str(source), "gallery": str(folder)}
    templates = counted(data["templates"], "template")
    people = counted(data["subjects"], "person", "people")
    text = f"{shown(folder)}: {templates} of {people}"
    output.answer(data, lambda console: console.print(text, markup=False, soft_wrap=True))


@dataclass
class _Remembering:
    """A passphrase that was asked for; None where the key needed none."""

    ask: Callable[[], bytes]
    given: bytes | None = field(default=None, repr=False)

    def __call__(self) -> bytes:
        self.given = self.ask()
        return self.given


def rekey(
    opening: Opening,
    passphrase: bool,
    passphrase_file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """A new key; without another passphrase it is protected as the one before."""
    output = Output(as_json)
    hold_secrets(output, passphrase_file)
    chosen = passphrases.chosen(passphrase_file, passphrase)
    before = _Remembering(opening.passphrase)
    with opening.opened(output, before) as gallery:
        old = gallery.facts.key_id
        confirm(
            f"{_gone(gallery)}, and backups made so far need the old key {old[:8]}", yes, output
        )
        protected = chosen or before.given
        with output.stages() as stage:
            gallery.rekey(protected, stage)
        data = facts_of(gallery) | {"key_id_before": old, "protected": protected is not None}
    text = (
        f"{shown(opening.folder)}: everything is sealed with key {data['key_id'][:8]} now; "
        f"{old[:8]} opens nothing in it"
    )
    output.answer(data, lambda console: console.print(text, markup=False, soft_wrap=True))


def rebuild(
    opening: Opening,
    photos: Sequence[Path],
    how: EmbedOptions,
    flip: bool | None,
    drop: bool,
    yes: bool,
    as_json: bool,
) -> None:
    output = Output(as_json)
    for given in photos:
        if not given.exists():
            raise CommandError(f"cannot read {shown(given)}: no such file or folder")
    with opening.opened(output) as gallery:
        weights = how.weights or gallery.settings.weights
        if weights is None:
            raise CommandError(
                f"{gallery.name}: does not know the file of its network: give --weights", USAGE
            )
        checkpoint = load(weights_file(weights))
        say_caution(checkpoint, output)
        flips = gallery.facts.preparation.flip if flip is None else flip
        before = gallery.facts.model
        confirm(f"{_gone(gallery)}, and thresholds begin anew", yes, output)
        with (
            output.stages() as stage,
            how.embedding(checkpoint, 2 if flips else 1, opening, output, stage) as embedder,
            _quiet(),
        ):
            done = gallery.rebuild(
                list(photos),
                weights,
                embedder=embedder,
                flip=flips,
                drop=drop,
                progress=Told("embedding photos", output, stage),
                stage=stage,
            )
        data = facts_of(gallery) | done.to_json() | {"model_before": before, "embed": how.how}
        said = thresholds_text(gallery)
    output.answer(data, lambda console: _show_rebuilt(console, done.summary(), said))


def _show_rebuilt(console: Console, summary: str, thresholds: str) -> None:
    console.print(summary, markup=False, soft_wrap=True)
    console.print(f"thresholds: {thresholds}", markup=False, soft_wrap=True)


def _gone(gallery: Gallery) -> str:
    """What a rewrite removes for good."""
    templates = gallery.counts()["deleted_templates"]
    if not templates:
        return "everything is sealed anew"
    return f"everything is sealed anew, {counted(templates, 'deleted template')} removed for good"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings for users of Python; they are said already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
