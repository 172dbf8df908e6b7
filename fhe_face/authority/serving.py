"""`fhe-face authority serve`: one process, with the keys in its memory."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fhe_core.files import shown
from fhe_core.secret.files import Passphrase
from fhe_face.authority.app import build_app
from fhe_face.authority.authority import Authority
from fhe_face.authority.keys import load_keys
from fhe_face.authority.opening import opened
from fhe_face.authority.policy import load_policy
from fhe_face.failures import UsageError
from fhe_face.process import keep_memory_private
from fhe_face.service.listening import Address, log_events, run_until_signal, server_of

_LOCK: Final = "serve.lock"
_log = logging.getLogger("fhe_face.authority")


def serve(
    folder: Path,
    address: Address,
    keys: Sequence[Path],
    passphrase: Callable[[Path], Passphrase],
    *,
    answer_limit: int | None = None,
) -> None:
    """Answer until SIGTERM or SIGINT.

    Raises:
        UsageError: the address may not be listened to, or another process serves this folder.
        StoreError: there is no authority. Invalid: its policy cannot be used.
        ContainerError, LockedKey, PassphraseError: a key cannot be used.
    """
    address.check()
    keep_memory_private()
    log_events()
    with _private_files(), address.bind() as listening, opened(folder) as database, _alone(folder):
        policy = load_policy(folder)
        held = load_keys(keys, passphrase, answer_limit=answer_limit, warn=_log.warning)
        authority = Authority(database, policy, held.faces, held.searches)
        app = build_app(authority)
        run_until_signal(server_of(app, address, policy.connections), listening)


@contextmanager
def _private_files() -> Iterator[None]:
    """Whatever is made is the owner's only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No second process serves a folder; the kernel ends the lock with the process."""
    with (folder / _LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"{shown(folder)}: another `fhe-face authority serve` is running in it"
            ) from error
        yield
