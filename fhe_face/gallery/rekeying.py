"""A new secret key for a gallery; names, ids, thresholds and templates stay.

The new key files lie beside the old ones first. One transaction then gives every record, name and
reason its new seal; before it the old key counts, after it the new one, and whoever opens the
gallery next puts the files in order by that (`Folder.load_key`). All blocks are sealed anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from fhe_core.errors import Failure
from fhe_core.secret.key import SecretKey
from fhe_face.gallery.folders import write_keys
from fhe_face.gallery.opened import ATTEMPTS, Opened, busy
from fhe_face.gallery.vault import Vault
from fhe_face.keyfile import NEXT, SWITCH_KEY
from fhe_face.store import Conflict, Refusal, Replacement, Resealed


class NewKeys(Protocol):
    """Where a new key's files wait beside the old ones."""

    def write(self, key: SecretKey, passphrase: bytes | None, /) -> None:
        """Put them there. FileError: they cannot be written."""

    def remove(self, key_id: str, /) -> None:
        """Take them away: the old key counts still."""

    def settle(self, key_id: str, /) -> None:
        """Put them in place of the old ones."""


@dataclass(frozen=True)
class FolderKeys:
    """Of a gallery whose store lies beside its key."""

    opened: Opened

    def write(self, key: SecretKey, passphrase: bytes | None, /) -> None:
        """See `NewKeys`."""
        write_keys(self.opened.folder, key, self.opened.parameters, passphrase, NEXT)

    def remove(self, _key_id: str, /) -> None:
        """See `NewKeys`."""
        for path in (self.opened.folder.key, self.opened.folder.evaluation_key):
            path.with_name(path.name + NEXT).unlink(missing_ok=True)

    def settle(self, key_id: str, /) -> None:
        """See `NewKeys`. A switching key leads to the old key, and nowhere now."""
        self.opened.folder.settle(key_id)
        (self.opened.folder.server / SWITCH_KEY).unlink(missing_ok=True)


def rekey(opened: Opened, passphrase: bytes | None, files: NewKeys) -> Opened:
    """The gallery with a new key, without blocks: seal and compact it next.

    Raises:
        RecordError: something cannot be opened; nothing has changed.
        Busy, StoreError, FileError: it cannot be written; then the old key counts still.
    """
    key = SecretKey.generate(opened.parameters.parameters, opened.threads)
    facts = replace(opened.facts, key_id=key.key_id)
    vault = Vault(key, facts, opened.parameters.features)
    files.remove(key.key_id)
    try:
        files.write(key, passphrase)
        _replace(opened, vault)
    except BaseException:
        with suppress(Failure):  # where it cannot be asked, whoever opens it next decides
            if opened.store.facts.get("key_id") != key.key_id:
                files.remove(key.key_id)
        raise
    files.settle(key.key_id)
    return replace(opened, key=key, facts=facts)


def _replace(opened: Opened, vault: Vault) -> None:
    for _ in range(ATTEMPTS):
        version = opened.store.state().version
        # A switching key leads to the old key only; blocks are sealed anew without it.
        settings = vault.seal_settings(replace(opened.settings, crossing=None).to_bytes())
        new = Replacement(
            _records(opened, vault),
            _names(opened, vault),
            _refusals(opened, vault),
            [],
            settings,
            vault.facts.to_json(),
            [],
        )
        with suppress(Conflict):
            opened.store.replace_all(version, new)
            return
    raise busy()


def _records(opened: Opened, vault: Vault) -> Iterator[Resealed]:
    for row in opened.store.templates(include_deleted=True):
        embedding = opened.vault.open_record(row.id, row.record)
        yield Resealed(row.id, row.source, vault.seal_record(row.id, embedding))


def _names(opened: Opened, vault: Vault) -> Iterator[tuple[str, bytes]]:
    for row in opened.store.subjects(include_deleted=True):
        if row.name is not None:
            yield row.id, vault.seal_name(row.id, opened.vault.open_name(row.id, row.name))


def _refusals(opened: Opened, vault: Vault) -> Iterator[Refusal]:
    for row in opened.store.refusals():
        reason = opened.vault.open_reason(row.source, row.reason)
        yield Refusal(row.source, vault.seal_reason(row.source, reason))
