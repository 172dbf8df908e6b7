"""``fhe-face remote``: options and texts; what the commands do stands in the modules beside it.

Importing this module is cheap: nothing of the network is loaded before a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhe_face import process
from fhe_face.commands.gallery_options import (
    ENCRYPTED,
    Again,
    FirstPhoto,
    GalleryOption,
    Largest,
    Match,
    MaybeGallery,
    MaybeSubject,
    PeopleFolders,
    Photos,
    Picture,
    SecondPhoto,
    TellScores,
    Top,
    Twice,
)
from fhe_face.commands.gallery_subjects import ENROLL, IDENTIFY
from fhe_face.commands.options import (
    Aligned,
    Json,
    Key,
    PassphraseFile,
    Resize,
    Threads,
    Whole,
)

Profile = Annotated[
    str, typer.Option("--profile", help="Which server and token, where there are several.")
]
DEFAULT_PROFILE = "default"
Parallel = Annotated[
    int, typer.Option("--parallel", min=1, max=32, help="Sections that are sent at a time.")
]
ClientKeys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        help="A folder from keygen, whose evaluation keys were pushed: the server embeds, "
        "encrypted. Default: in the clear, on this machine.",
    ),
]
MaybeWeights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="official|bundled|FILE",
        help="The network, here and there; default: what the gallery was made for.",
    ),
]

app = typer.Typer(
    help="A server on the network: log in, send keys, enrol, identify. Secret keys stay here.",
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    process.calm_threads()


@app.command("login", help="Remember a server and a token, which is asked for.")
def login(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The server's address: https://host[:port].")
    ],
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="A file whose one line is the token.")
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option("--ca", help="Certificates (PEM) that alone may sign the server's."),
    ] = None,
    profile: Profile = DEFAULT_PROFILE,
    json: Json = False,
) -> None:
    from fhe_face.commands import remote_login as command

    command.login(url, token_file, ca, profile, json)


@app.command("logout", help="Forget a server's token on this machine. It stays valid elsewhere.")
def logout(profile: Profile = DEFAULT_PROFILE, json: Json = False) -> None:
    from fhe_face.commands import remote_login as command

    command.logout(profile, json)


@app.command("status", help="The server, what the token allows, and what is kept there.")
def status(profile: Profile = DEFAULT_PROFILE, json: Json = False) -> None:
    from fhe_face.commands import remote_login as command

    command.status(profile, json)


@app.command(
    "push-keys",
    help="Send evaluation keys, section by section; an upload that was interrupted goes on. A "
    "secret key is never sent.",
)
def push_keys(
    keys: Annotated[Path, typer.Argument(help="A folder from keygen, or its evaluation.key.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="In place of other keys of the same secret.")
    ] = False,
    parallel: Parallel = 4,
    profile: Profile = DEFAULT_PROFILE,
    json: Json = False,
) -> None:
    from fhe_face.commands import remote_keys as command

    command.push(keys, replace, parallel, profile, json)


@app.command(
    "embed",
    help="Encrypted faces to encrypted embeddings, by the server. The same command again, after "
    "an interruption, computes nothing twice.",
)
def embed(
    faces: Annotated[Path, typer.Argument(help="From fhe-face encrypt.")],
    key: Key,
    out: Annotated[Path, typer.Option("-o", "--output", help="The file of the embeddings.")],
    cancel: Annotated[
        bool,
        typer.Option(
            "--cancel", help="On Ctrl-C cancel the job, too; default: it goes on at the server."
        ),
    ] = False,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    profile: Profile = DEFAULT_PROFILE,
    json: Json = False,
) -> None:
    from fhe_face.commands import remote_keys as command

    command.embed(faces, key, out, passphrase_file, threads, cancel, profile, json)


@app.command("enroll", help=f"{ENROLL} The gallery is at a server.")
def enroll(
    photos: PeopleFolders,
    gallery: GalleryOption,
    keys: ClientKeys = None,
    weights: MaybeWeights = None,
    again: Again = False,
    twice: Twice = False,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import enroll as command
    from fhe_face.commands.remote_opening import embedding, opening

    opened = opening(gallery, passphrase_file, threads)
    command.run(opened, photos, embedding(keys, weights, gallery, twice), json, again)


@app.command("identify", help=f"{IDENTIFY} The gallery is at a server, which searches it sealed.")
def identify(
    photos: Photos,
    gallery: GalleryOption,
    top: Top = 5,
    largest: Largest = False,
    picture: Picture = None,
    scores: TellScores = False,
    match: Match = ENCRYPTED,
    keys: ClientKeys = None,
    weights: MaybeWeights = None,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import identify as command
    from fhe_face.commands.remote_opening import embedding, opening

    opening(gallery, passphrase_file, threads)
    request = command.Request(
        *(tuple(photos), (gallery,), None, top, match, largest, scores, picture),
        *(embedding(keys, weights, gallery), passphrase_file, threads),
    )
    command.run(request, json)


@app.command(
    "verify",
    help="Do two photos show one person, or one photo somebody of a gallery? Computed by the "
    "server, encrypted. Exit status 0: same, 4: different, 5: not sure, 3: a face was refused.",
)
def verify(
    first: FirstPhoto,
    second: SecondPhoto = None,
    gallery: MaybeGallery = None,
    subject: MaybeSubject = None,
    match: Match = ENCRYPTED,
    keys: ClientKeys = None,
    weights: MaybeWeights = None,
    twice: Twice = False,
    whole: Whole = False,
    resize: Resize = False,
    aligned: Aligned = False,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    profile: Profile = DEFAULT_PROFILE,
    json: Json = False,
) -> None:
    from fhe_face.commands import remote_verify as command
    from fhe_face.commands.face_options import FaceOptions

    if second is None:
        command.somebody(
            first, gallery, subject, match, keys, weights, passphrase_file, threads, json
        )
        return
    if gallery is not None or subject is not None:
        raise typer.BadParameter("give a second photo, or --gallery and --subject")
    how = FaceOptions(whole=whole, resize=resize, aligned=aligned)
    request = command.Request(
        (first, second), keys, weights, twice, how, passphrase_file, threads, profile
    )
    command.pair(request, json)


@app.command("jobs", help="The jobs of the server; or one: show, cancel, or fetch its result.")
def jobs(
    job: Annotated[str | None, typer.Argument(help="The id of a job; default: all.")] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel it.")] = False,
    sent: Annotated[
        list[Path] | None,
        typer.Option("--sent", help="The encrypted faces that it was for: fetches the result."),
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="The secret client.key.")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file of the result.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    profile: Profile = DEFAULT_PROFILE,
    json: Json = False,
) -> None:
    from fhe_face.commands import remote_jobs as command

    request = command.Request(job, cancel, tuple(sent or ()), key, out, passphrase_file, profile)
    command.run(request, json)
