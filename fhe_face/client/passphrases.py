"""Where a passphrase comes from: the first line of a file, or a prompt. Never an argument or the
environment, which other processes can read. Client only.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from pathlib import Path

from fhe_core.errors import Failure
from fhe_core.files import FileError, open_regular, shown
from fhe_face.failures import UsageError

MAX_BYTES = 1024


class PassphraseError(Failure):
    """A passphrase is needed, and none that can be used was given."""

    code = "passphrase"


def read(path: Path) -> bytes:
    """The file's content without one line break at its end, as bytes.

    Raises:
        FileError: the file cannot be read, or holds no passphrase: nothing, too much, or several
            lines.
    """
    with open_regular(path) as file:
        content = file.read(MAX_BYTES + 2) or b""
    passphrase = content.removesuffix(b"\n").removesuffix(b"\r")
    if not passphrase or len(passphrase) > MAX_BYTES or b"\n" in passphrase:
        raise FileError(f"{shown(path)}: must hold one line of 1 to {MAX_BYTES} bytes")
    return passphrase


def opener(path: Path | None, key: Path) -> Callable[[], bytes]:
    """What gives the passphrase of a key when it turns out to be needed."""

    def ask() -> bytes:
        if path is not None:
            return read(path)
        if not sys.stdin.isatty():
            raise PassphraseError(
                f"{shown(key)}: is protected by a passphrase; give --passphrase-file"
            )
        return _prompt(f"passphrase of {shown(key)}: ")

    return ask


def chosen(path: Path | None, prompt: bool) -> bytes | None:
    """The passphrase for a new key, or None.

    Raises:
        UsageError: both ways at once, or no terminal to ask on.
        PassphraseError: none was given, it is too long, or the two differ.
        FileError: see `read`.
    """
    if path is not None and prompt:
        raise UsageError("--passphrase asks, --passphrase-file reads: give one of them")
    if path is not None:
        return read(path)
    if not prompt:
        return None
    if not sys.stdin.isatty():
        raise UsageError("--passphrase needs a terminal; give --passphrase-file")
    first = _prompt("new passphrase: ")
    if not 1 <= len(first) <= MAX_BYTES:
        raise PassphraseError(f"a passphrase has 1 to {MAX_BYTES} bytes")
    if _prompt("once more: ") != first:
        raise PassphraseError("the two passphrases differ")
    return first


def _prompt(text: str) -> bytes:
    try:
        return getpass.getpass(text).encode("utf-8", "surrogateescape")
    except EOFError:
        raise PassphraseError("no passphrase was given") from None
