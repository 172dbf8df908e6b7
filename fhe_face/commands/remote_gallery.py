"""``fhe-face remote gallery create|list|check|accept|remove``."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.files import shown
from fhe_face.client import passphrases
from fhe_face.commands.gallery_embedding import say_caution
from fhe_face.commands.gallery_opening import MEANS, Opening, confirm, counted, facts_of
from fhe_face.commands.remote_opening import connected, opening
from fhe_face.commands.secrecy import hold_secrets
from fhe_face.failures import ERROR, USAGE, CommandError
from fhe_face.gallery.creating import backup_of
from fhe_face.gallery.folders import Folder
from fhe_face.models.checkpoint import load
from fhe_face.network import weights_file
from fhe_face.output import Output, facts, grid
from fhe_face.remote import rows
from fhe_face.remote.connection import Connection
from fhe_face.remote.creating import create_remote
from fhe_face.remote.gallery import RemoteGallery
from fhe_face.remote.place import Place
from fhe_face.remote.resources import Room
from fhe_face.remote.resources import remove as remove_file
from fhe_face.remote.saving import restore_remote
from fhe_face.remote.witness import NAME

_MOST_GALLERIES = 10_000


@dataclass(frozen=True)
class New:
    """What the options of ``create`` ask for. CommandError: a template that there is not."""

    folder: Path
    name: str | None
    weights: Path
    names: bool
    template: str
    flip: bool
    aligned: bool
    profile: str

    def __post_init__(self) -> None:
        if self.template not in MEANS:
            raise CommandError(f"--template is '{self.template}'; it must be mean or each", USAGE)


def create(new: New, passphrase: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """A gallery at the server, and the folder of its client."""
    output = Output(as_json)
    hold_secrets(output, passphrase_file)
    chosen = passphrases.chosen(passphrase_file, passphrase)
    say_caution(load(weights_file(new.weights)), output)
    with connected(new.profile) as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said above, in the words of commands
        create_remote(
            new.folder,
            new.weights,
            connection=connection,
            profile=new.profile,
            gallery=new.name,
            names=new.names,
            template=new.template,
            flip=new.flip,
            preparation="as-given" if new.aligned else "aligned",
            passphrase=chosen,
        )
    place = Place.load(new.folder)
    data = {
        **place.facts.to_json(),
        "gallery": str(new.folder),
        "name": place.gallery,
        "server": place.url,
        "key": str(Folder(new.folder).key),
        "protected": chosen is not None,
    }
    lines = [
        ("at the server", f"{place.gallery} of {place.url}"),
        ("secret key, never give it away", shown(data["key"])),
        ("its passphrase", "needed to use it" if chosen is not None else "none"),
        ("what is searched", MEANS[new.template]),
        ("names", "kept, sealed" if new.names else "not kept"),
    ]
    output.answer(data, lambda console: console.print(facts(f"Gallery {shown(new.folder)}", lines)))


def list_galleries(profile: str, as_json: bool) -> None:
    """What the server says that it has."""
    with connected(profile) as connection:
        fields = connection.get("v1/galleries", limit=64 << 20).fields()
        names = [one.id("id") for one in fields.objects("items", _MOST_GALLERIES)]
        found = [_described(connection, name) for name in names]
    data = {"profile": profile, "galleries": found}
    Output(as_json).answer(data, lambda console: _show_list(console, found))


def _described(connection: Connection, name: str) -> dict[str, Any]:
    fields = connection.get(f"v1/galleries/{name}").fields()
    counts = rows.counts(fields.inner("counts"))
    return {"name": name, "key_id": fields.shown("key_id"), **counts._asdict()}


def _show_list(console: Console, found: list[dict[str, Any]]) -> None:
    if not found:
        console.print("no galleries there: fhe-face remote gallery create FOLDER", markup=False)
        return
    lines = [
        (one["name"], one["key_id"][:8], str(one["subjects"]), str(one["templates"]))
        for one in found
    ]
    console.print(grid("Galleries", ("name", "key", "people", "photos"), lines, 2))


def check(folder: Path, passphrase_file: Path | None, threads: int | None, as_json: bool) -> None:
    """Compare everything, and look at all that the key opens."""
    output = Output(as_json)
    with opening(folder, passphrase_file, threads).opened(output) as gallery:
        assert isinstance(gallery, RemoteGallery)
        count, digest = gallery.seen()
        with output.stages() as stage:
            findings = gallery.check(stage=stage)
        data = facts_of(gallery) | {
            "checked_templates": count,
            "digest": digest,
            "findings": [finding.to_json() for finding in findings],
        }
    wrong = [finding for finding in findings if finding.severity == "error"]
    if wrong:
        raise CommandError(
            f"{counted(len(wrong), 'finding')}, such as: {wrong[0].text}", ERROR, data
        )
    said = [
        ("templates", count),
        ("as this client left it", "yes"),
        ("digest, to compare with other clients", digest),
    ]
    output.answer(data, lambda console: console.print(facts(f"Gallery {shown(folder)}", said)))


def accept(folder: Path, yes: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Forget what was known, and learn it anew."""
    output = Output(as_json)
    place = Place.load(folder)
    confirm(
        f"what the server of {place.gallery} has changed, by itself or by others, becomes right",
        yes,
        output,
    )
    path = Folder(folder).client / NAME
    before = path.with_name(f"{NAME}.before")
    if path.exists():
        path.replace(before)
    with opening(folder, passphrase_file).opened(output) as gallery:
        assert isinstance(gallery, RemoteGallery)
        count, digest = gallery.seen()
    data = {"gallery": str(folder), "templates": count, "digest": digest, "before": str(before)}
    said = [("templates", count), ("digest", digest), ("what was known before", shown(before))]
    output.answer(data, lambda console: console.print(facts(f"Gallery {shown(folder)}", said)))


def restore(source: Path, opening: Opening, name: str | None, profile: str, as_json: bool) -> None:
    """A gallery at the server from a backup; what is searched is sealed anew."""
    output = Output(as_json)
    hold_secrets(output, backup_of(source).key, opening.passphrase_file)
    with connected(profile) as connection, output.stages() as stage:
        restore_remote(
            source,
            opening.folder,
            connection=connection,
            profile=profile,
            gallery=name,
            stage=stage,
            warn=output.warn,
        )
    with opening.opened(output) as gallery:
        with output.stages() as stage:
            gallery.seal(stage)
        data = facts_of(gallery) | {"backup": str(source), "name": gallery.name}
    templates = counted(data["templates"], "template")
    people = counted(data["people"], "person", "people")
    said = f"{shown(opening.folder)}: {templates} of {people}, at the server as {data['name']}"
    output.answer(data, lambda console: console.print(said, markup=False, soft_wrap=True))


def remove(folder: Path, yes: bool, as_json: bool) -> None:
    """Delete it there; the key here opens nothing any more."""
    output = Output(as_json)
    place = Place.load(folder)
    confirm(f"gallery {place.gallery} of {place.url} is deleted for good", yes, output)
    with place.connect() as connection:
        connection.delete(f"v1/galleries/{place.gallery}")
        remove_file(connection, Room.GALLERY_KEYS, place.facts.key_id)
    data = {"gallery": str(folder), "name": place.gallery, "removed": True}
    said = f"gallery {place.gallery} is deleted; the folder {shown(folder)} is of no use any more"
    output.answer(data, lambda console: console.print(said, markup=False))
