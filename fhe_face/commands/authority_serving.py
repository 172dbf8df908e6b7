"""``fhe-face authority serve``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fhe_core.secret.files import Passphrase
from fhe_face.client import passphrases
from fhe_face.commands.secrecy import hold_secrets
from fhe_face.extras import require_extra
from fhe_face.output import Output

if TYPE_CHECKING:
    from fhe_face.service.listening import Address


@dataclass(frozen=True)
class Options:
    """What is served, and how its keys are opened."""

    folder: Path
    keys: tuple[Path, ...]
    passphrase_file: Path | None
    answer_limit: int | None


def require_packages() -> None:
    """MissingExtra: a package of the service is missing."""
    require_extra("the authority", "service", "fastapi", "uvicorn", "prometheus_client", "limits")


def run(options: Options, address: Address) -> None:
    """Until a signal."""
    from fhe_face.authority.serving import serve

    hold_secrets(Output(False), *options.keys, options.passphrase_file)

    def passphrase(key: Path) -> Passphrase:
        return passphrases.opener(options.passphrase_file, key)

    serve(options.folder, address, options.keys, passphrase, answer_limit=options.answer_limit)


def print_unit(options: Options, address: Address, memory: str) -> None:
    """For systemd."""
    from fhe_face.service.unit import address_options, unit_of

    if address.certificate is None:
        address.check()
    keys = [key.absolute() for key in options.keys]
    words = ["authority", "serve", str(options.folder.absolute())]
    for key in keys:
        words += ["--key", str(key)]
    words += address_options(address)
    if options.passphrase_file is not None:
        words += ["--passphrase-file", str(options.passphrase_file.absolute())]
    if options.answer_limit is not None:
        words += ["--answer-limit", str(options.answer_limit)]
    # Ledgers stand beside the keys.
    beside = sorted({str(key.parent) for key in keys} - {str(options.folder.absolute())})
    what = "fhe-face authority: holds the secret, answers in words"
    print(unit_of(what, words, options.folder, memory, writes=beside), end="")
