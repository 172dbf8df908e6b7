"""The client's and the server's commands on files: options and their texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhe_face.commands.options import (
    DEFAULT_WEIGHTS,
    FACE_SIZE_HELP,
    Aligned,
    ClientNormalises,
    Coefficients,
    Flip,
    Json,
    Key,
    Keys,
    MaybeFaceSize,
    PassphraseFile,
    Resize,
    Threads,
    Weights,
    Whole,
    gigabytes,
)

app = typer.Typer()


@app.command(help="Make a secret client.key and an evaluation.key for the server.")
def keygen(
    out: Annotated[Path, typer.Option("--out", help="Folder for client.key and evaluation.key.")],
    key: Annotated[
        Path | None,
        typer.Option("--key", help="Further evaluation keys for this client.key, no new one."),
    ] = None,
    face_size: MaybeFaceSize = None,
    flip: Flip = False,
    batch: Annotated[
        bool, typer.Option("--batch", help="Keys for batches of up to 64 faces, too.")
    ] = False,
    coefficients: Coefficients = None,
    client_normalises: ClientNormalises = False,
    passphrase: Annotated[
        bool,
        typer.Option("--passphrase", help="Ask for a passphrase that protects the secret key."),
    ] = False,
    passphrase_file: PassphraseFile = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing keys.")] = False,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.client import passphrases
    from fhe_face.commands import keygen as command
    from fhe_face.commands.secrecy import hold_secrets
    from fhe_face.output import Output

    hold_secrets(Output(json), passphrase_file)

    request = command.Request(
        *(out, key, face_size, flip, batch, coefficients, client_normalises, force, threads)
    )
    if key is None:
        command.run(request, passphrases.chosen(passphrase_file, passphrase), json)
    else:
        command.run(request, passphrases.opener(passphrase_file, key), json)


@app.command(help="Encrypt one face or many for the server, in one file.")
def encrypt(
    images: Annotated[
        list[Path],
        typer.Argument(help="Photos; aligned 64x64 faces or .npy are taken as they are."),
    ],
    key: Annotated[
        Path, typer.Option("--key", help="The secret client.key, or the key of a device.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The ciphertext to write.")],
    face: Annotated[
        int | None, typer.Option("--face", min=1, help="Which face, from the largest, 1.")
    ] = None,
    whole: Whole = False,
    resize: Resize = False,
    aligned: Aligned = False,
    names: Annotated[Path | None, typer.Option(help="Keep the images' names in this file.")] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Compute every face alone: none can disturb another.")
    ] = False,
    memory: Annotated[
        float | None, typer.Option("--memory", min=1, help="Memory that the server has, in GB.")
    ] = None,
    contrast: Annotated[
        float,
        typer.Option(
            min=0.1, max=1, help="Less of it, 0.9 say, for a face that the network diverged on."
        ),
    ] = 1.0,
    receipt: Annotated[
        Path | None,
        typer.Option("--receipt", help="Write what decrypt --sent needs, in a small file."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.client import passphrases
    from fhe_face.commands import encrypt as command
    from fhe_face.commands.face_options import FaceOptions
    from fhe_face.commands.secrecy import hold_secrets
    from fhe_face.output import Output

    hold_secrets(Output(json), key, passphrase_file)
    how = FaceOptions(face, whole, resize, aligned)
    ask = passphrases.opener(passphrase_file, key)
    room = gigabytes("--memory", memory)
    request = command.Request(
        images, key, output, how, names, alone, room, threads, contrast, receipt
    )
    command.run(request, ask, json)


@app.command(
    help="Find faces in photos and cut them out, aligned, with a contact sheet to look at."
)
def align(
    images: Annotated[
        list[Path], typer.Argument(help="Photos, or folders: subfolders stay apart.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A new or empty folder for the crops.")
    ],
    face_size: Annotated[int, typer.Option("--size", help=FACE_SIZE_HELP)] = 64,
    all_faces: Annotated[
        bool, typer.Option("--all-faces", help="Cut out every face, not only the largest.")
    ] = False,
    whole: Whole = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what an earlier align wrote there.")
    ] = False,
    json: Json = False,
) -> None:
    from fhe_face.commands import align as command

    command.run(images, output, face_size, all_faces, whole, force, json)


@app.command(help="Server: compute encrypted embeddings of encrypted faces.")
def embed(
    faces: Annotated[list[Path], typer.Argument(help="Files of encrypted faces.")],
    keys: Keys,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The embeddings to write; a folder for several.")
    ],
    weights: Weights = DEFAULT_WEIGHTS,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import embed as command

    command.run(faces, keys, weights, output, threads, json)


@app.command(help="Server: compute the encrypted scores of encrypted embeddings, face by face.")
def match(
    left: Annotated[Path, typer.Argument(help="Encrypted embeddings.")],
    right: Annotated[Path, typer.Argument(help="As many others, or one side only one.")],
    keys: Keys,
    output: Annotated[Path, typer.Option("-o", "--output", help="The score to write.")],
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import match as command

    command.run(left, right, keys, output, threads, json)


@app.command(help="Decrypt a result and check its health; exit status 3 when it must not be used.")
def decrypt(
    file: Annotated[Path, typer.Argument(help="Encrypted embeddings or scores.")],
    key: Key,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the numbers as .npy.")
    ] = None,
    names: Annotated[Path | None, typer.Option(help="The names that encrypt kept.")] = None,
    decision_only: Annotated[
        bool, typer.Option("--decision-only", help="Print same or different, and no number.")
    ] = False,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Cosine from which faces are the same.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="official|bundled|FILE",
            help="Whose thresholds decide: the server's weights; default: the bundled ones.",
        ),
    ] = None,
    share: Annotated[
        str | None, typer.Option("--share", help="Print a cosine to share: round or flood.")
    ] = None,
    digits: Annotated[
        int | None, typer.Option("--digits", help="With --share round: how many digits, 1 or 2.")
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option("--queries", help="With --share flood: how many values will ever be shared."),
    ] = None,
    bits: Annotated[
        float | None,
        typer.Option("--bits", help="With --share flood: bits of statistical security."),
    ] = None,
    sent: Annotated[
        list[Path] | None,
        typer.Option(
            "--sent", help="The encrypted face it answers, or its receipt; of a score, twice."
        ),
    ] = None,
    answer_limit: Annotated[
        int | None,
        typer.Option(min=1, help="Answers that the key may give in its life; default: 4096."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    json: Json = False,
) -> None:
    from fhe_face.client import passphrases
    from fhe_face.commands import decrypt as command
    from fhe_face.commands.decrypt_shared import release_of
    from fhe_face.commands.judging import Judge
    from fhe_face.commands.secrecy import hold_secrets
    from fhe_face.output import Output

    judge = Judge(threshold, weights)
    release = release_of(share, digits, queries, bits, decision_only, judge)
    hold_secrets(Output(json), key, passphrase_file)
    ask = passphrases.opener(passphrase_file, key)
    opening = command.Opening(key, ask, answer_limit, tuple(sent or ()))
    command.run(file, opening, output, names, release, judge, json)


@app.command(
    help="Say what a file is: kind, parameters, security margin, sizes. Never secret content."
)
def info(
    file: Annotated[Path, typer.Argument(help="A key or ciphertext file.")], json: Json = False
) -> None:
    from fhe_face.commands import info as command

    command.run(file, json)
