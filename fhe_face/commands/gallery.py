"""``fhe-face gallery``: options and texts; what the commands do stands in the modules beside it.

Hooked in by ``app.add_typer(gallery.app, name="gallery")``; importing this module is cheap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhe_face import process
from fhe_face.commands import gallery_server_only
from fhe_face.commands.gallery_options import (
    ENCRYPTED,
    BackupSource,
    BackupTarget,
    Database,
    Deleted,
    Drop,
    Embed,
    EngineKeys,
    EnrolledPhotos,
    Gallery,
    KeepNames,
    MaybeFlip,
    MaybeWeights,
    NewPassphrase,
    NewPassphraseFile,
    OfCrops,
    Searched,
    SubjectOrAll,
)
from fhe_face.commands.options import (
    DEFAULT_WEIGHTS,
    Flip,
    Json,
    NewFolder,
    PassphraseFile,
    Threads,
    Weights,
    Yes,
)

SHOW = "A gallery: its people, thresholds and sizes; or one person's photos."
REBUILD = "Embed all photos again, for another network; names, ids and people stay."
REKEY = "Seal everything anew with a new key. The old key then opens nothing in the gallery."

app = typer.Typer(
    help="Sealed galleries: make, look after, correct, back up.", no_args_is_help=True
)

app.add_typer(gallery_server_only.app, name="server-only")


@app.callback()
def _group() -> None:
    process.calm_threads()


@app.command("create", help="Make an empty gallery, with a secret key of its own.")
def create(
    gallery: NewFolder,
    weights: Weights = DEFAULT_WEIGHTS,
    names: KeepNames = False,
    template: Searched = "mean",
    flip: Flip = False,
    aligned: OfCrops = False,
    database: Database = None,
    passphrase: NewPassphrase = False,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_making as command

    request = command.New(gallery, weights, names, template, flip, aligned, database)
    command.create(request, passphrase, passphrase_file, json)


@app.command("list", help="The galleries in folders: people, photos, network. Needs no key.")
def list_galleries(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders to look in; default: the current one."),
    ] = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_showing as command

    command.list_galleries(folders or [Path()], json)


@app.command("show", help=SHOW)
def show(
    gallery: Gallery,
    subject: SubjectOrAll = None,
    deleted: Deleted = False,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_showing as command
    from fhe_face.commands.gallery_opening import Opening

    command.show(Opening(gallery, passphrase_file), subject, deleted, json)


@app.command("check", help="Look for damage; exit status 1 where something is left to mend.")
def check(
    gallery: Gallery,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; nothing good is lost.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_care as command
    from fhe_face.commands.gallery_opening import Opening

    command.check(Opening(gallery, passphrase_file, threads), repair, json)


@app.command(
    "compact", help="Remove what was deleted, for good: afterwards no file holds any of it."
)
def compact(
    gallery: Gallery,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_care as command
    from fhe_face.commands.gallery_opening import Opening

    command.compact(Opening(gallery, passphrase_file, threads), yes, json)


@app.command(
    "calibrate", help="Set the thresholds for match and unknown by the gallery's own photos."
)
def calibrate(
    gallery: Gallery,
    centre_from: Annotated[
        int | None,
        typer.Option(
            "--centre-from",
            min=2,
            metavar="PEOPLE",
            help="Subtract the gallery's mean from so many people on. Default: 10.",
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_care as command
    from fhe_face.commands.gallery_opening import Opening

    command.calibrate(Opening(gallery, passphrase_file, threads), centre_from, json)


@app.command(
    "export", help="Write the templates in the clear: .npy, an index, and a report. Keep it safe."
)
def export(
    gallery: Gallery,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A new or empty folder for the files.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            "--type", metavar="float32|int8", help="Numbers of the matrix; int8 loses a little."
        ),
    ] = "float32",
    parquet: Annotated[
        bool, typer.Option("--parquet", help="The index as Parquet too; needs pyarrow.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_care as command
    from fhe_face.commands.gallery_opening import Opening

    command.export(Opening(gallery, passphrase_file, threads), output, kind, parquet, json)


@app.command(
    "backup", help="Copy a gallery as it is at one moment, with its key: keep the copy private."
)
def backup(
    gallery: Gallery,
    target: BackupTarget,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_making as command
    from fhe_face.commands.gallery_opening import Opening

    command.backup(Opening(gallery, passphrase_file), target, json)


@app.command("restore", help="Make a gallery of a backup.")
def restore(
    source: BackupSource,
    gallery: NewFolder,
    database: Database = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_making as command

    command.restore(source, gallery, database, json)


@app.command("rekey", help=REKEY)
def rekey(
    gallery: Gallery,
    passphrase: NewPassphrase = False,
    new_passphrase_file: NewPassphraseFile = None,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_making as command
    from fhe_face.commands.gallery_opening import Opening

    opening = Opening(gallery, passphrase_file, threads)
    command.rekey(opening, passphrase, new_passphrase_file, yes, json)


@app.command("rebuild", help=REBUILD)
def rebuild(
    gallery: Gallery,
    photos: EnrolledPhotos,
    weights: MaybeWeights = None,
    flip: MaybeFlip = None,
    drop: Drop = False,
    yes: Yes = False,
    embed: Embed = ENCRYPTED,
    keys: EngineKeys = None,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_making as command
    from fhe_face.commands.gallery_embedding import EmbedOptions
    from fhe_face.commands.gallery_opening import Opening

    opening = Opening(gallery, passphrase_file, threads)
    command.rebuild(opening, photos, EmbedOptions(embed, keys, weights), flip, drop, yes, json)
