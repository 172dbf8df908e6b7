"""A new key for a gallery at a server: its secret part waits here, its evaluation keys there."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from fhe_core.secret.key import SecretKey
from fhe_face.gallery.folders import write_secret
from fhe_face.gallery.opened import Opened
from fhe_face.keyfile import NEXT
from fhe_face.remote.connection import Connection
from fhe_face.remote.creating import push_gallery_keys
from fhe_face.remote.errors import RemoteError
from fhe_face.remote.resources import Room, remove


@dataclass(frozen=True)
class RemoteKeys:
    """As `gallery.rekeying.NewKeys`."""

    opened: Opened
    connection: Connection

    def write(self, key: SecretKey, passphrase: bytes | None, /) -> None:
        """See there; RemoteError: the server does not take them."""
        write_secret(self.opened.folder, key, passphrase, NEXT)
        push_gallery_keys(self.connection, key, self.opened.parameters)

    def remove(self, key_id: str, /) -> None:
        """See there."""
        path = self.opened.folder.key
        path.with_name(path.name + NEXT).unlink(missing_ok=True)
        self._forget(key_id)

    def settle(self, key_id: str, /) -> None:
        """See there; the old key's evaluation keys are of no use at the server any more."""
        self.opened.folder.settle(key_id)
        self._forget(self.opened.facts.key_id)

    def _forget(self, key_id: str) -> None:
        with suppress(RemoteError):  # what stays there opens nothing
            remove(self.connection.hasty(), Room.GALLERY_KEYS, key_id)
