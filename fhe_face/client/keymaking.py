"""Making a client's keys: both files appear together, or neither does. Client only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fhe_core.files import FileError, explain, shown
from fhe_core.secret.files import save_evaluation_keys, save_secret_key
from fhe_core.secret.key import SecretKey
from fhe_face.client.ledger import SUFFIX, beside
from fhe_face.engine import Engine, key_bytes
from fhe_face.progress import Stage, silent
from fhe_face.system import require_space

CLIENT_KEY = "client.key"
EVALUATION_KEY = "evaluation.key"
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
    if not overwrite:
        refuse_existing(target)
    with _created(target):
        require_space(target, key_bytes(engine.keys(), engine.parameters))
        with _workspace(target) as work:
            key = SecretKey.generate(engine.parameters, threads)
            write_evaluation_keys(work / EVALUATION_KEY, key, engine, stage)
            save_secret_key(work / CLIENT_KEY, key, engine.facts(), passphrase=passphrase)
            beside(work / CLIENT_KEY, key.key_id).create()
            _publish(work, target, overwrite=overwrite)
    return key


def refuse_existing(folder: Path) -> None:
    """Raise FileError where a key file exists: replacing it would lose what it encrypted."""
    for name in (CLIENT_KEY, EVALUATION_KEY):
        if os.path.lexists(folder / name):
            raise FileError(
                f"{shown(folder / name)} exists already; without its key, nothing that it "
                "encrypted can be decrypted (--force replaces it)"
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
    """Give the files their names; the evaluation keys go first, the secret completes them.

    A ledger that is there stays: it tells keys apart, and forgets none.
    """
    try:
        if overwrite:
            with suppress(FileExistsError):
                os.link(work / LEDGER, target / LEDGER)
            os.replace(work / EVALUATION_KEY, target / EVALUATION_KEY)
            os.replace(work / CLIENT_KEY, target / CLIENT_KEY)
            return
        refuse_existing(target)
        made: list[Path] = []
        try:
            for name in (EVALUATION_KEY, LEDGER, CLIENT_KEY):
                if name != LEDGER or not os.path.lexists(target / LEDGER):
                    os.link(work / name, target / name)
                    made.append(target / name)
        except BaseException:
            for path in made:
                path.unlink()
            raise
    except FileError:
        raise
    except OSError as error:
        raise explain(target, "write to", error) from error
