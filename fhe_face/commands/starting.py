"""The first commands to try: options and their texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhe_face import process
from fhe_face.commands.gallery_options import (
    EngineKeys,
    FirstPhoto,
    MaybeEmbed,
    MaybeGallery,
    MaybeMatch,
    MaybeSubject,
    MaybeWeights,
    SecondPhoto,
    Twice,
)
from fhe_face.commands.options import (
    DEFAULT_WEIGHTS,
    Aligned,
    Coefficients,
    Flip,
    Json,
    PassphraseFile,
    Resize,
    Threads,
    Weights,
    Whole,
)

app = typer.Typer()


@app.command(
    help="Two faces through the whole pipeline, with fresh keys and a separate server process."
)
def demo(
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Two photos, or two aligned faces; default: two drawn ones."),
    ] = None,
    weights: Weights = DEFAULT_WEIGHTS,
    flip: Flip = False,
    coefficients: Coefficients = None,
    keep: Annotated[
        Path | None, typer.Option(help="Keep keys and ciphertexts in this new folder.")
    ] = None,
    whole: Whole = False,
    resize: Resize = False,
    aligned: Aligned = False,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import demo as command
    from fhe_face.commands.face_options import FaceOptions
    from fhe_face.commands.secrecy import hold_secrets
    from fhe_face.output import Output

    hold_secrets(Output(json))

    how = FaceOptions(whole=whole, resize=resize, aligned=aligned)
    command.run(images or [], weights, keep, flip, coefficients, how, threads, json)


@app.command(
    help="Do two photos show one person, or one photo somebody of a gallery? Computed encrypted; "
    "both sides run on this machine, the server of two photos as a process that cannot decrypt. "
    "Exit status 0: same, 4: different, 5: not sure, 3: a face was refused."
)
def verify(
    first: FirstPhoto,
    second: SecondPhoto = None,
    gallery: MaybeGallery = None,
    subject: MaybeSubject = None,
    match: MaybeMatch = None,
    embed: MaybeEmbed = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="official|bundled|FILE",
            help="The network; default: that of the gallery, or the bundled one.",
        ),
    ] = None,
    keys: EngineKeys = None,
    flip: Flip = False,
    coefficients: Coefficients = None,
    twice: Twice = False,
    whole: Whole = False,
    resize: Resize = False,
    aligned: Aligned = False,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import verify_options as command

    command.run(
        command.Given(
            *(first, second, gallery, subject, match, embed, weights, keys, flip, coefficients),
            *(twice, whole, resize, aligned, passphrase_file, threads),
        ),
        json,
    )


@app.command(
    help="A page on this machine: drop two photos and see how they are compared encrypted; enrol "
    "and identify a few people."
)
def studio(
    gallery: Annotated[
        Path | None,
        typer.Option("--gallery", help="A gallery's folder, or a new one; default: none is kept."),
    ] = None,
    weights: MaybeWeights = None,
    keys: EngineKeys = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="PROFILE",
            help="Compute at this server (fhe-face remote login), encrypted; all else stays here.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0: one that is free.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
) -> None:
    process.calm_threads()
    from fhe_face.client import passphrases
    from fhe_face.commands import studio as command
    from fhe_face.commands.secrecy import hold_secrets
    from fhe_face.output import Output
    from fhe_face.system import default_threads

    output = Output(False)
    own = None if keys is None else keys / "client.key"
    kept = None if gallery is None else gallery / "client" / "gallery.key"
    hold_secrets(output, own, kept, passphrase_file)
    asks = [
        None if key is None else passphrases.opener(passphrase_file, key) for key in (own, kept)
    ]
    count = threads or default_threads()
    command.run(
        command.Request(*(weights, keys, asks[0], gallery, asks[1], server, port, browser, count)),
        output,
    )
