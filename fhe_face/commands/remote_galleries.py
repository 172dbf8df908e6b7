"""``fhe-face remote gallery``: options and texts. Importing this module is cheap."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from fhe_face.commands import gallery
from fhe_face.commands.gallery import REBUILD, REKEY, SHOW
from fhe_face.commands.gallery_options import (
    BackupSource,
    Drop,
    EnrolledPhotos,
    Gallery,
    KeepNames,
    MaybeFlip,
    NewPassphrase,
    OfCrops,
    Searched,
)
from fhe_face.commands.options import (
    DEFAULT_WEIGHTS,
    Flip,
    Json,
    PassphraseFile,
    Threads,
    Weights,
    Yes,
)
from fhe_face.commands.remote import DEFAULT_PROFILE, ClientKeys, MaybeWeights, Profile

NewClientFolder = Annotated[Path, typer.Argument(help="A new folder, for what stays here.")]
NameThere = Annotated[
    str | None, typer.Option("--name", help="Its name at the server; default: the folder's.")
]

app = typer.Typer(
    help="Galleries at a server. Commands on people, photos and thresholds: fhe-face gallery.",
    no_args_is_help=True,
)


@app.command("create", help="Make an empty gallery at the server; its secret key stays here.")
def create(
    folder: NewClientFolder,
    name: NameThere = None,
    weights: Weights = DEFAULT_WEIGHTS,
    names: KeepNames = False,
    template: Searched = "mean",
    flip: Flip = False,
    aligned: OfCrops = False,
    passphrase: NewPassphrase = False,
    passphrase_file: PassphraseFile = None,
    profile: Profile = DEFAULT_PROFILE,
    json: Json = False,
) -> None:
    from fhe_face.commands import remote_gallery as command

    new = command.New(folder, name, weights, names, template, flip, aligned, profile)
    command.create(new, passphrase, passphrase_file, json)


@app.command("list", help="The galleries that the server has of yours.")
def list_galleries(profile: Profile = DEFAULT_PROFILE, json: Json = False) -> None:
    from fhe_face.commands import remote_gallery as command

    command.list_galleries(profile, json)


@app.command(
    "check",
    help="Read everything at the server, and compare it with what this client left there. Exit "
    "status 1 where something is wrong.",
)
def check(
    gallery: Gallery,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import remote_gallery as command

    command.check(gallery, passphrase_file, threads, json)


@app.command("accept", help="Take the gallery at the server as it is, whatever was changed.")
def accept(
    gallery: Gallery,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import remote_gallery as command

    command.accept(gallery, yes, passphrase_file, json)


@app.command("remove", help="Delete a gallery at the server, with everything in it.")
def remove(
    gallery: Annotated[Path, typer.Argument(help="The folder of the gallery. It stays.")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    from fhe_face.commands import remote_gallery as command

    command.remove(gallery, yes, json)


@app.command("restore", help="Make a gallery at the server of a backup, of one here as well.")
def restore(
    source: BackupSource,
    folder: NewClientFolder,
    name: NameThere = None,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    profile: Profile = DEFAULT_PROFILE,
    json: Json = False,
) -> None:
    from fhe_face.commands import remote_gallery as command
    from fhe_face.commands.gallery_opening import Opening

    command.restore(source, Opening(folder, passphrase_file, threads), name, profile, json)


@app.command("rebuild", help=REBUILD)
def rebuild(
    gallery: Gallery,
    photos: EnrolledPhotos,
    weights: MaybeWeights = None,
    flip: MaybeFlip = None,
    drop: Drop = False,
    yes: Yes = False,
    keys: ClientKeys = None,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_making as command
    from fhe_face.commands.remote_opening import embedding, opening

    opened = opening(gallery, passphrase_file, threads)
    command.rebuild(opened, photos, embedding(keys, weights, gallery), flip, drop, yes, json)


def _there(command: Callable[..., None]) -> Callable[..., None]:
    """A command for galleries anywhere, of those at a server only."""

    @wraps(command)
    def checked(gallery: Path, **options: Any) -> None:
        from fhe_face.remote.place import Place

        Place.load(gallery)  # says what else it is
        command(gallery, **options)

    return checked


app.command("show", help=SHOW)(_there(gallery.show))
app.command("backup", help="Copy all of a gallery there, with its key, into a new folder here.")(
    _there(gallery.backup)
)
app.command("rekey", help=REKEY)(_there(gallery.rekey))
