"""A gallery's folder: `client/` has the secret and stays, `server/` may go anywhere.

G/client/gallery.key       the secret key of the small ring, mode 0600
G/client/gallery.ledger    counts answers that came from another party
G/server/                  the store, its blocks, and gallery.evaluation.key
G/remote.json              instead of server/: at which server it is (fhe_face.remote.place)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fhe_core.container import Kind, read_header
from fhe_core.errors import Failure
from fhe_core.files import FileError, explain, keeps_modes_private, shown
from fhe_core.matching import MatchParameters
from fhe_core.secret.files import Passphrase
from fhe_core.secret.gallery_files import load_gallery_key, save_gallery_key, save_gallery_keys
from fhe_core.secret.key import SecretKey
from fhe_face.client.ledger import SUFFIX
from fhe_face.gallery.errors import GalleryError
from fhe_face.keyfile import EVALUATION_KEY, NEXT
from fhe_face.store.backup import whole_folder

KEY: Final = "gallery.key"
REMOTE: Final = "remote.json"


@dataclass(frozen=True)
class Folder:
    """Where the parts of a gallery are."""

    root: Path

    @property
    def client(self) -> Path:
        return self.root / "client"

    @property
    def server(self) -> Path:
        return self.root / "server"

    @property
    def is_here(self) -> bool:
        """Whether the gallery lies on this machine."""
        return self.server.is_dir()

    @property
    def is_remote(self) -> bool:
        """Whether it is at a server, and this folder is its client's."""
        return (self.root / REMOTE).is_file()

    @property
    def key(self) -> Path:
        return self.client / KEY

    @property
    def ledger(self) -> Path:
        return self.key.with_suffix(SUFFIX)

    @property
    def evaluation_key(self) -> Path:
        return self.server / EVALUATION_KEY

    def load_key(
        self, parameters: MatchParameters, key_id: str, threads: int, passphrase: Passphrase
    ) -> SecretKey:
        """The key that the store was sealed with.

        A rekeying that was interrupted is finished, or undone, by what the store says.

        Raises:
            GalleryError: there is no key here, or it is another gallery's.
            LockedKey, ContainerError: as `load_gallery_key`.
        """
        self.settle(key_id)
        if not self.key.is_file():
            raise self.no_key()
        key = load_gallery_key(self.key, parameters, threads, passphrase)
        if key.key_id != key_id:
            raise GalleryError(
                f"{shown(self.key)} is key {key.key_id[:8]}, the gallery was sealed with "
                f"{key_id[:8]}: bring the client/ folder that belongs to it"
            )
        return key

    def no_key(self) -> GalleryError:
        """What a gallery without its key says."""
        return GalleryError(
            f"{shown(self.key)} is missing: without it nothing in the gallery can be opened; "
            "bring the folder client/ along"
        )

    def settle(self, key_id: str) -> None:
        """Finish or undo a rekeying: only files of this key stay."""
        self._settle(self.evaluation_key, Kind.EVALUATION_KEYS, key_id)
        self._settle(self.key, Kind.SECRET_KEY, key_id)

    def _settle(self, path: Path, kind: Kind, key_id: str) -> None:
        after = path.with_name(path.name + NEXT)
        if not after.is_file():
            return
        with suppress(Failure):
            if read_header(after, expect_kind=kind).key_id == key_id:
                os.replace(after, path)
                return
        with suppress(OSError):
            after.unlink()


def write_keys(
    folder: Folder,
    key: SecretKey,
    parameters: MatchParameters,
    passphrase: bytes | None,
    suffix: str = "",
) -> None:
    """Both key files, the secret one with mode 0600; suffix: of their names.

    Raises:
        FileError: they exist, or cannot be written, or others could read the secret.
    """
    public = folder.evaluation_key.with_name(folder.evaluation_key.name + suffix)
    save_gallery_keys(public, key, parameters, {})
    write_secret(folder, key, passphrase, suffix)


def write_secret(
    folder: Folder, key: SecretKey, passphrase: bytes | None, suffix: str = ""
) -> None:
    """The secret key's file alone, with mode 0600. Errors: as `write_keys`."""
    if passphrase is None and not keeps_modes_private(folder.client):
        raise FileError(
            f"{shown(folder.client)}: others could read {KEY}, because the file system keeps no "
            "private modes; choose another folder, or protect the key by a passphrase"
        )
    secret = folder.key.with_name(folder.key.name + suffix)
    save_gallery_key(secret, key, {}, passphrase=passphrase)


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Folder]:
    """A folder that appears complete at the end of the block, or not at all.

    Raises:
        FileError: something is there already, or it cannot be made.
    """
    target = Path(path)
    if os.path.lexists(target) and (not target.is_dir() or any(target.iterdir())):
        raise FileError(f"{shown(target)}: exists and is not empty; a gallery takes a new folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(target, "create", error) from error
    with whole_folder(target, 0o700) as work:
        (work / "client").mkdir(mode=0o700)
        yield Folder(work)
