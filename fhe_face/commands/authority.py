"""``fhe-face authority``: options and texts; what the commands do stands beside.

Hooked in by ``app.add_typer(authority.app, name="authority")``; importing this module is cheap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhe_face.commands.authority_asking import app as asking
from fhe_face.commands.authority_tokens import token_app
from fhe_face.commands.options import Json, PassphraseFile

app = typer.Typer(
    help="Hold the secret, and answer in words: match, uncertain, unknown.", no_args_is_help=True
)
app.add_typer(token_app, name="token")
app.registered_commands += asking.registered_commands

Folder = Annotated[Path, typer.Argument(help="The authority's folder.")]
ThresholdWeights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="official|bundled|FILE",
        help="Take the two thresholds of matches from these weights.",
    ),
]
TwoThresholds = Annotated[
    str | None,
    typer.Option(
        "--thresholds",
        metavar="MATCH,UNKNOWN",
        help="A match from the first cosine on, unknown below the second.",
    ),
]
CircuitKey = Annotated[
    Path | None,
    typer.Option(
        "--key", help="The client.key: results of other weights than --weights are refused then."
    ),
]


@app.command(help="Make an authority in a new folder, with thresholds for matches.")
def create(
    folder: Folder,
    weights: ThresholdWeights = None,
    thresholds: TwoThresholds = None,
    key: CircuitKey = None,
) -> None:
    """Mode 0700; policy.json in it has limits to edit."""
    from fhe_face.commands import authority_keeping

    authority_keeping.create(folder, weights, thresholds, key)


@app.command(help="Change the thresholds of matches. Answers that were given stay.")
def thresholds(
    folder: Folder,
    weights: ThresholdWeights = None,
    thresholds: TwoThresholds = None,
    key: CircuitKey = None,
) -> None:
    """From weights, or given."""
    from fhe_face.commands import authority_keeping

    authority_keeping.change_thresholds(folder, weights, thresholds, key)


@app.command(help="Tell the authority what a gallery holds now: blocks, people, thresholds.")
def gallery(
    folder: Folder,
    gallery: Annotated[Path, typer.Argument(help="The gallery's folder, with its key.")],
    name: Annotated[
        str | None,
        typer.Option("--name", help="What requests call it; default: the folder's name."),
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Run it after every change of the gallery; the server is never asked."""
    from fhe_face.commands import authority_keeping

    authority_keeping.tell_gallery(folder, gallery, name, passphrase_file)


@app.command(help="Answer over HTTP until SIGTERM, with the keys in memory.")
def serve(
    folder: Folder,
    key: Annotated[
        list[Path], typer.Option("--key", help="A client.key or gallery.key; may be repeated.")
    ],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on; 0: any that is free.")
    ] = 8444,
    certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", help="A PEM file, with its chain.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", help="The certificate's key.")
    ] = None,
    proxy: Annotated[
        bool,
        typer.Option("--behind-proxy", help="A proxy on this machine does TLS: listen without it."),
    ] = False,
    passphrase_file: PassphraseFile = None,
    answer_limit: Annotated[
        int | None,
        typer.Option(
            "--answer-limit",
            min=1,
            help="Answers of each key in its life; default: 4096 (docs/security.md).",
        ),
    ] = None,
    print_unit: Annotated[
        bool, typer.Option("--print-unit", help="Print a unit for systemd, and end.")
    ] = False,
    memory: Annotated[
        str, typer.Option("--memory-max", help="The limit of memory in the printed unit.")
    ] = "2G",
) -> None:
    """The first line on stdout says where it listens."""
    from fhe_face.commands import authority_serving

    authority_serving.require_packages()
    from fhe_face.service.listening import Address

    address = Address(host, port, certificate, tls_key, proxy)
    options = authority_serving.Options(folder, tuple(key), passphrase_file, answer_limit)
    if print_unit:
        authority_serving.print_unit(options, address, memory)
    else:
        authority_serving.run(options, address)


@app.command(help="Show what devices and people have used of their limits, and alarms.")
def status(folder: Folder, json: Json = False) -> None:
    """Of the last day."""
    from fhe_face.commands import authority_keeping

    authority_keeping.status(folder, json)


@app.command(help="End with status 1 where an alarm is open, or the log was changed.")
def check(
    folder: Folder,
    close: Annotated[
        list[int] | None,
        typer.Option("--close", help="Close an alarm by its number; may be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """For a timer."""
    from fhe_face.commands import authority_keeping

    authority_keeping.check(folder, close or [], json)


@app.command(help="Show the log: who asked what, and what was said.")
def log(
    folder: Folder,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check that no line was changed, and print its hash.")
    ] = False,
    head: Annotated[
        str | None,
        typer.Option("--head", help="A hash from an earlier --verify: it must be of this log."),
    ] = None,
    last: Annotated[
        int, typer.Option("--last", min=1, max=1_000_000, help="How many lines.")
    ] = 100,
    json: Json = False,
) -> None:
    """It holds no score."""
    from fhe_face.commands import authority_keeping

    if verify or head is not None:
        authority_keeping.verify_log(folder, head, json)
    else:
        authority_keeping.show_log(folder, last, json)
