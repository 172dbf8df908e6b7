"""``fhe-face gallery``: the commands on people and photos, hooked into its app by importing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhe_face import process
from fhe_face.commands.gallery import app
from fhe_face.commands.gallery_options import (
    ENCRYPTED,
    Again,
    Embed,
    EngineKeys,
    Gallery,
    GalleryOption,
    Largest,
    Match,
    MaybeWeights,
    PeopleFolders,
    Photos,
    Picture,
    Subject,
    Subjects,
    TellScores,
    Templates,
    Top,
    Twice,
)
from fhe_face.commands.options import Json, PassphraseFile, Threads


@app.command("add", help="Enrol photos of one person, who is made where there is none.")
def add(
    gallery: Gallery,
    subject: Annotated[str, typer.Argument(help="Whose photos they are: a name or id.")],
    photos: Photos,
    embed: Embed = ENCRYPTED,
    keys: EngineKeys = None,
    weights: MaybeWeights = None,
    again: Again = False,
    twice: Twice = False,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import enroll as command
    from fhe_face.commands.gallery_embedding import EmbedOptions
    from fhe_face.commands.gallery_opening import Opening

    opening = Opening(gallery, passphrase_file, threads)
    how = EmbedOptions(embed, keys, weights, twice)
    command.run(opening, photos, how, json, again, subject)


@app.command("move", help="Give photos to another person, without computing anything again.")
def move(
    gallery: Gallery,
    templates: Annotated[
        list[str],
        typer.Argument(help="Templates: their ids, the starts of them, or their photos."),
    ],
    to: Annotated[str, typer.Option("--to", help="The person who gets them, by name or id.")],
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_correcting as command
    from fhe_face.commands.gallery_opening import Opening

    command.move(Opening(gallery, passphrase_file), templates, to, json)


@app.command("rename", help="Change the name of a person; the id stays.")
def rename(
    gallery: Gallery,
    subject: Subject,
    name: Annotated[str, typer.Argument(help="The new name.")],
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_correcting as command
    from fhe_face.commands.gallery_opening import Opening

    command.rename(Opening(gallery, passphrase_file), subject, name, json)


@app.command("merge", help="Make one person of several, who turned out to be the same.")
def merge(
    gallery: Gallery,
    subjects: Annotated[list[str], typer.Argument(help="People, by name or id.")],
    into: Annotated[str, typer.Option("--into", help="The person who stays, by name or id.")],
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_correcting as command
    from fhe_face.commands.gallery_opening import Opening

    command.merge(Opening(gallery, passphrase_file), subjects, into, json)


@app.command(
    "delete", help="Delete people or photos: found no more at once; undelete works until compact."
)
def delete(
    gallery: Gallery,
    subjects: Subjects = None,
    templates: Templates = None,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_correcting as command
    from fhe_face.commands.gallery_opening import Opening

    opening = Opening(gallery, passphrase_file)
    command.delete(opening, subjects or [], templates or [], json)


@app.command("undelete", help="Bring deleted people or photos back, until compact removes them.")
def undelete(
    gallery: Gallery,
    subjects: Subjects = None,
    templates: Templates = None,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_correcting as command
    from fhe_face.commands.gallery_opening import Opening

    opening = Opening(gallery, passphrase_file)
    command.undelete(opening, subjects or [], templates or [], json)


ENROLL = (
    "Enrol the people of a folder in a gallery: one folder of photos for each. Running it again "
    "adds only what is new. Photos that cannot be used are listed with the reason."
)
IDENTIFY = (
    "Who of a gallery is on photos? Match, uncertain or unknown for every face. Exit status 0: "
    "all match, 4: one is unknown, 5: one is uncertain, 3: one was refused, 1: a photo cannot be "
    "used."
)


def enroll(
    photos: PeopleFolders,
    gallery: GalleryOption,
    embed: Embed = ENCRYPTED,
    keys: EngineKeys = None,
    weights: MaybeWeights = None,
    again: Again = False,
    twice: Twice = False,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    process.calm_threads()
    from fhe_face.commands import enroll as command
    from fhe_face.commands.gallery_embedding import EmbedOptions
    from fhe_face.commands.gallery_opening import Opening

    opening = Opening(gallery, passphrase_file, threads)
    command.run(opening, photos, EmbedOptions(embed, keys, weights, twice), json, again)


def identify(
    photos: Photos,
    galleries: Annotated[
        list[Path],
        typer.Option("--gallery", help="The folder of a gallery; several are looked up together."),
    ],
    fuse: Annotated[
        str | None,
        typer.Option(
            "--fuse", metavar="W,W", help="Weights of several galleries; default: equal ones."
        ),
    ] = None,
    top: Top = 5,
    largest: Largest = False,
    picture: Picture = None,
    scores: TellScores = False,
    match: Match = ENCRYPTED,
    embed: Embed = ENCRYPTED,
    keys: EngineKeys = None,
    weights: MaybeWeights = None,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    process.calm_threads()
    from fhe_face.commands import identify as command
    from fhe_face.commands.gallery_embedding import EmbedOptions

    request = command.Request(
        *(tuple(photos), tuple(galleries), fuse, top, match, largest, scores, picture),
        *(EmbedOptions(embed, keys, weights), passphrase_file, threads),
    )
    command.run(request, json)
