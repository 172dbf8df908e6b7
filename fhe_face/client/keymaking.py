"""Making a client's keys: both files appear together, or neither does. Client only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from fhe_core.container import Kind, file_kind
from fhe_core.files import (
    FileError,
    explain,
    keeps_modes_private,
    publish,
    require_replaceable,
    shown,
)
from fhe_core.secret.files import save_evaluation_keys, save_secret_key
from fhe_core.secret.key import SecretKey
from fhe_face.client.ledger import SUFFIX, beside
from fhe_face.engine import Engine, key_bytes
from fhe_face.progress import Stage, silent
from fhe_face.system import require_space

CLIENT_KEY = "client.key"
EVALUATION_KEY = "evaluation.key"
#: In the order in which they get their names: the secret completes a pair.
_KINDS = {EVALUATION_KEY: Kind.EVALUATION_KEYS, CLIENT_KEY: Kind.SECRET_KEY}
LEDGER = Path(CLIENT_KEY).with_suffix(SUFFIX).name


def make_keys(
    folder: str | os.PathLike[str],
    engine: Engine,
    *,
    threads: int = 1,
    passphrase: bytes | None = None,
    overwrite: bool = False,
    stage: Stage = silent,
) -> SecretKey:
    """Make ``client.key`` (mode 0600) and ``evaluation.key`` in a folder, which is created.

    Beside them ``client.ledger``, which counts the answers of the key.

    passphrase: encrypts ``client.key``.

    Raises:
        FileError: the files exist and may not be replaced, the disk is too small, or a file
            cannot be written. Nothing half-made is left.
    """
    target = Path(folder)
    check_target(target, overwrite=overwrite)
    with _created(target):
        require_space(target, key_bytes(engine.keys(), engine.parameters))
        if passphrase is None:
            require_private_modes(target)
        with _workspace(target) as work:
            key = SecretKey.generate(engine.parameters, threads)
            write_evaluation_keys(work / EVALUATION_KEY, key, engine, stage)
            save_secret_key(work / CLIENT_KEY, key, engine.facts(), passphrase=passphrase)
            beside(work / CLIENT_KEY, key.key_id).create()
            _publish(work, target, overwrite=overwrite)
    return key


def make_more_keys(
    client_key: str | os.PathLike[str],
    key: SecretKey,
    folder: str | os.PathLike[str],
    engine: Engine,
    *,
    passphrase: bytes | None = None,
    overwrite: bool = False,
    stage: Stage = silent,
) -> None:
    """Make ``evaluation.key`` for another engine of the same circuit, with an existing secret.

    ``client.key`` then says what the new keys are for; its secret stays, and so does all that was
    encrypted with it. passphrase: the one that protects it.

    Raises:
        FileError: the file exists and may not be replaced, the disk is too small, or a file
            cannot be written. Nothing half-made is left.
    """
    target = Path(folder)
    _check(target, EVALUATION_KEY, "", overwrite=overwrite)
    with _created(target):
        require_space(target, key_bytes(engine.keys(), engine.parameters))
        with _workspace(target) as work:
            write_evaluation_keys(work / EVALUATION_KEY, key, engine, stage)
            try:
                publish(work / EVALUATION_KEY, target / EVALUATION_KEY, overwrite=overwrite)
            except OSError as error:
                raise explain(target, "write to", error) from error
    save_secret_key(client_key, key, engine.facts(), passphrase=passphrase, overwrite=True)


def check_target(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder where making keys would lose something.

    Raises:
        FileError: a key file exists and may not be replaced, because what it encrypted would be
            lost; something else has its name; or an interrupted replacement left keys behind.
    """
    for name in reversed(_KINDS):
        lost = "; without its key, nothing that it encrypted can be decrypted"
        _check(folder, name, lost, overwrite=overwrite)
        if os.path.lexists(_previous(folder, name)):
            raise FileError(
                f"{shown(_previous(folder, name))}: a replacement of keys was interrupted; this is "
                f"the previous {name}: move it back, or delete it"
            )


def _check(folder: Path, name: str, lost: str, *, overwrite: bool) -> None:
    if overwrite:
        require_replaceable(folder / name, file_kind(_KINDS[name]))
    elif os.path.lexists(folder / name):
        raise FileError(f"{shown(folder / name)} exists already{lost} (--force replaces it)")


def _previous(folder: Path, name: str) -> Path:
    """Where a key waits until those that replace it are in place."""
    return folder / f".{name}.previous"


def require_private_modes(folder: Path, name: str = CLIENT_KEY) -> None:
    """Refuse a folder where others could read a secret key, before minutes go into it.

    Raises:
        FileError: its file system has no modes of files, such as exFAT.
    """
    if not keeps_modes_private(folder):
        raise FileError(
            f"{shown(folder)}: others could read {name}, because the file system keeps no private "
            "modes; choose another folder"
            + (", or protect the key by a passphrase (--passphrase)" if name == CLIENT_KEY else "")
        )


def write_evaluation_keys(path: Path, key: SecretKey, engine: Engine, stage: Stage) -> None:
    """Make all evaluation keys that the engine's plans need."""

    def progress(done: int, total: int) -> None:
        stage("making evaluation keys", done, total)

    save_evaluation_keys(path, key, engine.keys(), engine.facts(), progress)


@contextmanager
def _created(folder: Path) -> Iterator[None]:
    """Create a folder, and remove it again when the block fails."""
    try:
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            raise explain(folder, "create", error) from error
        raise FileError(f"cannot create {shown(folder)}: the name is not valid") from error
    try:
        yield
    except BaseException:
        if new:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """A private folder inside ``folder`` that is removed at the end, whatever happens."""
    try:
        temporary = tempfile.TemporaryDirectory(
            prefix=".keygen-", suffix=".tmp", dir=folder, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise explain(folder, "write to", error) from error
    with temporary as name:
        yield Path(name)


def _publish(work: Path, target: Path, *, overwrite: bool) -> None:
    """Give both files their names, or neither.

    Keys that are replaced wait beside them until both new ones are in place, and go back when
    that fails. Should the machine stop in between, nothing is lost; `check_target` tells. A
    ledger that is there stays: it tells keys apart, and forgets none.
    """
    try:
        with _set_aside(target) if overwrite else nullcontext():
            done: list[Path] = []
            try:
                for name in (EVALUATION_KEY, LEDGER, CLIENT_KEY):
                    if name != LEDGER or not os.path.lexists(target / LEDGER):
                        publish(work / name, target / name, overwrite=False)
                        done.append(target / name)
            except BaseException:
                for path in done:
                    path.unlink()
                raise
    except OSError as error:
        raise explain(target, "write to", error) from error


@contextmanager
def _set_aside(target: Path) -> Iterator[None]:
    """Move the keys of a folder aside; delete them after the block, or move them back."""
    moved: list[str] = []
    try:
        for name in _KINDS:
            if os.path.lexists(target / name):
                os.rename(target / name, _previous(target, name))
                moved.append(name)
        yield
    except BaseException:
        for name in moved:
            os.rename(_previous(target, name), target / name)
        raise
    for name in moved:
        _previous(target, name).unlink()
