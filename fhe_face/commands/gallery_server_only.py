"""``fhe-face gallery server-only``: options and texts; the work is in the modules beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhe_face import process
from fhe_face.commands.gallery_options import Gallery
from fhe_face.commands.options import Json, PassphraseFile, Threads, Yes

KEY = "Make the switching key: from then on the server's folder alone enrols and searches."
ENROLL = "On the server: let the faces of an encrypted result wait for the gallery's owner."
SEARCH = "On the server: look the face of an encrypted result up; sealed findings come out."
ANSWER = "Who a face is, by the findings of a server: health first, then the scores."
WAITING = "Faces that a server has enrolled by itself, and whether they are healthy."
CONFIRM = "Make templates of healthy faces that wait."

app = typer.Typer(
    help="Let a server enrol and search by itself, without the gallery's owner being online.",
    no_args_is_help=True,
)

Server = Annotated[Path, typer.Argument(help="The gallery's folder server/.")]
Result = Annotated[
    Path, typer.Argument(help="Encrypted embeddings, as fhe-face embed writes them.")
]
Findings = Annotated[Path, typer.Argument(help="What server-only search has written.")]
Faces = Annotated[
    list[str] | None, typer.Argument(help="Faces that wait: the beginnings of their names.")
]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.callback()
def _group() -> None:
    process.calm_threads()


@app.command("key", help=KEY)
def key(
    gallery: Gallery,
    client_key: Annotated[
        Path | None, typer.Option("--key", help="The secret client.key of the faces' owner.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="The network; default: the gallery's.")
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the switching key away again.")
    ] = False,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    gallery_passphrase_file: Annotated[
        Path | None,
        typer.Option("--gallery-passphrase-file", help="The passphrase of gallery.key."),
    ] = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_switching as command
    from fhe_face.commands.gallery_opening import Opening

    opening = Opening(gallery, gallery_passphrase_file, threads)
    command.key(opening, client_key, passphrase_file, weights, remove, yes, json)


@app.command("enroll", help=ENROLL)
def enroll(
    server: Server,
    result: Result,
    subject: Annotated[
        str, typer.Option("--subject-id", help="An id that says nothing: whose faces they are.")
    ],
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_crossing as command

    command.enroll(server, result, subject, threads, json)


@app.command("search", help=SEARCH)
def search(
    server: Server,
    result: Result,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file of findings.")],
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_crossing as command

    command.search(server, result, output, threads, json)


@app.command("answer", help=ANSWER)
def answer(
    gallery: Gallery,
    findings: Findings,
    sent: Annotated[
        Path | None, typer.Option("--sent", help="The encrypted face that was meant.")
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Print scores: keep them.")] = False,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_waiting as command
    from fhe_face.commands.gallery_opening import Opening

    command.answer(Opening(gallery, passphrase_file), findings, sent, scores, json)


@app.command("waiting", help=WAITING)
def waiting(gallery: Gallery, passphrase_file: PassphraseFile = None, json: Json = False) -> None:
    from fhe_face.commands import gallery_waiting as command
    from fhe_face.commands.gallery_opening import Opening

    command.waiting(Opening(gallery, passphrase_file), json)


@app.command("confirm", help=CONFIRM)
def confirm(
    gallery: Gallery,
    faces: Faces = None,
    every: All = False,
    subject: Annotated[
        str | None, typer.Option("--subject", help="The person's name; default: the server's id.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_waiting as command
    from fhe_face.commands.gallery_opening import Opening

    opening = Opening(gallery, passphrase_file, threads)
    command.confirm(opening, faces or [], every, subject, json)


@app.command("drop", help="Remove faces that wait.")
def drop(
    gallery: Gallery,
    faces: Faces = None,
    every: All = False,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import gallery_waiting as command
    from fhe_face.commands.gallery_opening import Opening

    command.drop(Opening(gallery, passphrase_file), faces or [], every, json)
