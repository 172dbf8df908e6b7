"""The command line: options and their texts. What a command does stands in fhe_face.commands.

Commands are imported when they run, so that help is quick and a server process never loads
what only a client needs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from fhe_core import streams
from fhe_face import guide, process
from fhe_face.bench.commands import app as bench
from fhe_face.commands import (
    coeffs,
    gallery,
    gallery_subjects,
    remote,
    remote_galleries,
    serve,
    weights,
    worker,
)
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
    FACE_SIZE_HELP,
    Aligned,
    Batch,
    Coefficients,
    Compiled,
    Device,
    Flip,
    Half,
    HeldOut,
    Json,
    Key,
    Keys,
    MaybeFaceSize,
    PassphraseFile,
    PredictedWeights,
    Rate,
    Resize,
    Seed,
    Threads,
    TrainData,
    TrainOut,
    TrainPlot,
    Weights,
    Whole,
)

app = typer.Typer(
    name="fhe-face",
    help="Face embeddings computed under CKKS homomorphic encryption.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from fhe_face import __version__

        print(f"fhe-face {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Face embeddings computed under CKKS homomorphic encryption."""


app.add_typer(bench.app, name="bench")
app.add_typer(coeffs.app, name="coeffs")
app.add_typer(weights.app, name="weights")
app.command("worker", help=worker.HELP)(worker.worker)
app.add_typer(serve.app, name="serve")
app.add_typer(gallery.app, name="gallery")
remote.app.add_typer(remote_galleries.app, name="gallery")
app.add_typer(remote.app, name="remote")
app.command(help=gallery_subjects.ENROLL)(gallery_subjects.enroll)
app.command(help=gallery_subjects.IDENTIFY)(gallery_subjects.identify)


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
        command.Request(weights, keys, asks[0], gallery, asks[1], port, browser, count), output
    )


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

    request = command.Request(out, key, face_size, flip, batch, coefficients, force, threads)
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
    key: Key,
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
    request = command.Request(images, key, output, how, names, alone, memory, threads)
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
        typer.Option("--sent", help="The encrypted face it answers; of a score, twice."),
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


@app.command(help="Print the bounds and estimated attack costs of every parameter set.")
def security(weights: PredictedWeights = None, json: Json = False) -> None:
    from fhe_face.commands import security as command

    command.run(weights, json)


@app.command(
    help="Print what computing a face takes: levels, key switches, bytes and estimated time."
)
def plan(
    weights: PredictedWeights = None,
    face_size: MaybeFaceSize = None,
    flip: Flip = False,
    batch: Batch = False,
    coefficients: Coefficients = None,
    steps: Annotated[
        bool, typer.Option("--steps", help="Print every step, with its level and scale.")
    ] = False,
    json: Json = False,
) -> None:
    from fhe_face.commands import plan as command

    command.run(weights, face_size, flip, batch, coefficients, steps, json)


@app.command(help="Bits of precision of every layer, predicted and measured, and the room left.")
def precision(
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Photos or aligned faces; default: two drawn ones."),
    ] = None,
    weights: Weights = DEFAULT_WEIGHTS,
    flip: Flip = False,
    batch: Batch = False,
    coefficients: Coefficients = None,
    whole: Whole = False,
    resize: Resize = False,
    aligned: Aligned = False,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Add the model's noise in the clear; no keys.")
    ] = False,
    table: Annotated[
        Path | None, typer.Option("--table", help="Write the layers (.md, .csv).")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw the layers (.png, .svg, .pdf); needs matplotlib."),
    ] = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands.face_options import FaceOptions
    from fhe_face.precision import command as command

    how = FaceOptions(whole=whole, resize=resize, aligned=aligned)
    request = command.Request(
        *(images or [], weights, flip, batch, coefficients),
        *(how, simulate, table, plot, threads),
    )
    command.run(request, json)


@app.command(help="Measure how well a network tells the people of a folder apart.")
def evaluate(
    folder: Annotated[Path, typer.Argument(help="Photos: one folder for each person.")],
    weights: Weights = DEFAULT_WEIGHTS,
    mode: Annotated[
        str, typer.Option(help="How to compute: cleartext, polynomial, encrypted or all.")
    ] = "cleartext",
    flip: Flip = False,
    aligned: Aligned = False,
    limit: Annotated[
        int | None, typer.Option(min=4, help="At most so many images, evenly over people.")
    ] = None,
    coefficients: Coefficients = None,
    cache: Annotated[
        Path | None, typer.Option(help="Keep encrypted results in this folder, to go on later.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw scores and ROC (.png, .svg, .pdf); needs matplotlib."),
    ] = None,
    set_thresholds: Annotated[
        str | None,
        typer.Option(
            "--set-thresholds",
            metavar="NAME",
            help="Keep the thresholds in the weights file, under this name of the faces.",
        ),
    ] = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands import evaluate as command
    from fhe_face.commands.secrecy import hold_secrets
    from fhe_face.output import Output

    hold_secrets(Output(json))

    request = command.Request(
        *(folder, weights, mode, flip, aligned, limit, coefficients, cache, plot, threads),
        set_thresholds,
    )
    command.run(request, json)


@app.command(help="Train a network from scratch on labelled faces: ArcFace and jigsaw losses.")
def train(
    data: TrainData,
    out: TrainOut,
    epochs: Annotated[int, typer.Option(min=1, help="How often each image is seen.")] = 20,
    batch: Annotated[
        int | None, typer.Option(min=2, help="Images per step. Default: 128, fewer of few.")
    ] = None,
    rate: Rate = 1e-3,
    held_out: HeldOut = None,
    seed: Seed = 0,
    aligned: Aligned = False,
    plot: TrainPlot = None,
    half: Half = False,
    compiled: Compiled = False,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    from fhe_face.commands import train as command

    options: dict[str, Any] = {
        "epochs": epochs,
        "batch": batch,
        "rate": rate,
        "held_out": held_out,
        "seed": seed,
    }
    options |= {"half": half, "compiled": compiled, "device": device}
    command.train(data, out, plot, aligned, options, json)


@app.command(
    help="Fine-tune a network on labelled faces: InfoNCE over different images of each person."
)
def finetune(
    data: TrainData,
    out: TrainOut,
    weights: Weights = DEFAULT_WEIGHTS,
    epochs: Annotated[int, typer.Option(min=1, help="How often each person is seen.")] = 20,
    people: Annotated[
        int | None, typer.Option(min=2, help="People per step. Default: 16, fewer of few.")
    ] = None,
    images: Annotated[int, typer.Option(min=2, help="Images of each of them.")] = 4,
    rate: Rate = 1e-4,
    held_out: HeldOut = None,
    seed: Seed = 0,
    aligned: Aligned = False,
    plot: TrainPlot = None,
    half: Half = False,
    compiled: Compiled = False,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    from fhe_face.commands import train as command

    options: dict[str, Any] = {
        "epochs": epochs,
        "groups": people,
        "images": images,
        "rate": rate,
        "seed": seed,
    }
    options |= {"held_out": held_out, "half": half, "compiled": compiled, "device": device}
    command.finetune(data, weights, out, plot, aligned, options, json)


guide.arrange(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line: errors are one line on stderr, `error: ...`, and a status.

    1: error; 2: wrong usage; 3: an unhealthy result; 130, 143, 129: interrupted, terminated, the
    terminal closed. With --json, stdout gets one JSON object with "error" and "error_type" (and
    for an unhealthy result "healthy": false and the reason).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with process.tidy_end(), process.any_names():
        status = _run(given)
    sys.exit(status)


_INTERRUPTED = 130
# Typer brings its own copy of click, or uses the real one, depending on its version.
_USAGE_ERROR = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _run(given: list[str]) -> int:
    """The exit status."""
    as_json = "--json" in given
    process.spare_threads()
    try:
        status = typer.main.get_command(app).main(given, "fhe-face", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        return _report(error, as_json=as_json)
    # Some versions turn an interruption into a returned status.
    if status == _INTERRUPTED:
        return _report(KeyboardInterrupt(), as_json=as_json)
    return status if isinstance(status, int) else 0


def _report(error: BaseException, *, as_json: bool) -> int:
    from fhe_face import failures
    from fhe_face.output import print_json

    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else failures.ERROR
    if isinstance(error, BrokenPipeError):  # whoever read our answer has stopped
        streams.silence_stdout()
        return streams.CLOSED_STATUS
    if type(error).__name__ == "NoArgsIsHelpError":  # typer has printed the help
        return failures.USAGE
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        failure = failures.CommandError("interrupted", failures.INTERRUPTED)
    elif isinstance(error, _USAGE_ERROR):
        failure = failures.CommandError(_usage(error), failures.USAGE)
    else:
        failures.show_traceback(error)
        failure = failures.describe(error)
    print(f"error: {failures.one_line(failure)}", file=sys.stderr)
    if as_json:
        usage = failure.status == failures.USAGE
        kind = "UsageError" if usage else type(error).__name__
        print_json({"error": str(failure), "error_type": kind, **failure.details()})
    return failure.status


def _usage(error: Any) -> str:
    text = str(error.format_message()).strip().rstrip(".")
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "fhe-face"
    return f"{text} (see {where} --help)"


if __name__ == "__main__":
    main()
