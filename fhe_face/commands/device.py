"""``fhe-face device``: options and texts; what the commands do stands beside it.

Importing this module is cheap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhe_face import process
from fhe_face.commands.options import Json, Key, PassphraseFile, Threads

Name = Annotated[str, typer.Argument(help="Its label, its id, or how the id begins.")]

app = typer.Typer(
    help="Cameras, kiosks, phones: they encrypt faces and can open nothing.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    process.calm_threads()


@app.command("create", help="Make a device: its own key, and a switching key for the server.")
def create(
    key: Key,
    label: Annotated[str, typer.Option("--label", help="What you call it; stays with you.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The device's own key: a new, secret file.")
    ],
    passphrase_file: PassphraseFile = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.client import passphrases
    from fhe_face.commands import device_making as command
    from fhe_face.commands.secrecy import hold_secrets
    from fhe_face.output import Output

    hold_secrets(Output(json), key, passphrase_file)
    ask = passphrases.opener(passphrase_file, key)
    command.create(key, label, output, ask, threads, json)


@app.command("list", help="The devices of a key, revoked ones too. Asks for no passphrase.")
def list_devices(key: Key, json: Json = False) -> None:
    from fhe_face.commands import device_making as command

    command.list_devices(key, json)


@app.command("show", help="One device: its files, sizes, and whether it is revoked.")
def show(name: Name, key: Key, json: Json = False) -> None:
    from fhe_face.commands import device_making as command

    command.show(name, key, json)


@app.command(
    "revoke",
    help="Delete a device's switching key here, and refuse its results from now on. A server "
    "elsewhere has a copy: delete that, too.",
)
def revoke(name: Name, key: Key, json: Json = False) -> None:
    from fhe_face.commands import device_making as command

    command.revoke(name, key, json)
