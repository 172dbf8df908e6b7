"""A new gallery at a server: its key is made here, and stays."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from fhe_core.files import FileError, keeps_modes_private, shown
from fhe_core.matching import MatchParameters, gallery_parameters
from fhe_core.secret.gallery_files import save_gallery_key, save_gallery_keys
from fhe_core.secret.key import SecretKey
from fhe_face.client.ledger import FileLedger
from fhe_face.gallery.creating import Model, preparation_of
from fhe_face.gallery.decisions import Decision
from fhe_face.gallery.embedders import Embedder
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.facts import Facts, Mode
from fhe_face.gallery.folders import KEY, Folder, new_folder
from fhe_face.gallery.settings import Settings
from fhe_face.gallery.vault import Vault
from fhe_face.models.faces import Preparation
from fhe_face.remote import login, rows
from fhe_face.remote.answers import ID, quoted
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import RemoteError
from fhe_face.remote.place import Place
from fhe_face.remote.pushing import push_keys
from fhe_face.remote.resources import Room
from fhe_face.system import default_threads


def create_remote(
    folder: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    *,
    connection: Connection | None = None,
    profile: str = login.DEFAULT,
    gallery: str | None = None,
    embedder: Embedder | None = None,
    names: bool = False,
    template: str = "mean",
    flip: bool = False,
    preparation: Preparation | str = "aligned",
    thresholds: tuple[float, float] | None = None,
    passphrase: bytes | None = None,
    threads: int | None = None,
    parameters: MatchParameters | None = None,
) -> None:
    """Make a gallery at a server, and the folder of its client; `RemoteGallery.open` opens it.

    connection, or profile: to the server. gallery: its name there; default: the folder's. Others:
    as `Gallery.create`.

    Raises:
        GalleryError, Refused: the folder is not new, or the server has such a gallery.
        Others: as `Gallery.create`, and RemoteError. Nothing is left then.
    """
    called = gallery or Path(folder).resolve().name
    if not ID.fullmatch(called):
        raise GalleryError(
            f"{quoted(called)} cannot be a gallery's name at a server: letters, digits and . _ - "
            "(--name)"
        )
    used = connection or login.load(profile).connect()
    chosen = parameters or gallery_parameters()
    model = Model.of_embedder(embedder) if embedder else Model.of_weights(weights, flip)
    try:
        mode = Mode(template)
    except ValueError:
        raise GalleryError(f"template is 'mean' or 'each', not {template!r}") from None
    made = preparation_of(preparation, model)
    key = SecretKey.generate(chosen.parameters, threads or default_threads())
    facts = Facts(secrets.token_hex(16), chosen.digest, key.key_id, model.digest, made, mode, names)
    decision = None if thresholds is None else Decision(thresholds[1], thresholds[0])
    settings = Settings.fresh(decision or model.decision, model.weights)
    sealed = Vault(key, facts, chosen.features).seal_settings(settings.to_bytes())
    try:
        with new_folder(folder) as own:
            _write_key(own, key, passphrase)
            Place(used.url, profile, called, facts).save(own.root)
            _put(used, called, key, chosen, facts, sealed)
    finally:
        if connection is None:
            used.close()


def _write_key(folder: Folder, key: SecretKey, passphrase: bytes | None) -> None:
    if passphrase is None and not keeps_modes_private(folder.client):
        raise FileError(
            f"{shown(folder.client)}: others could read {KEY}, because the file system keeps no "
            "private modes; choose another folder, or protect the key by a passphrase"
        )
    save_gallery_key(folder.key, key, {}, passphrase=passphrase)
    FileLedger(folder.ledger, key.key_id).create()


def _put(
    connection: Connection,
    gallery: str,
    key: SecretKey,
    parameters: MatchParameters,
    facts: Facts,
    settings: bytes,
) -> None:
    """The evaluation keys of its search, and then the gallery, to the server."""
    with tempfile.TemporaryDirectory(prefix="fhe-face-") as work:
        file = Path(work) / "gallery.evaluation.key"
        save_gallery_keys(file, key, parameters, {})
        pushed = push_keys(connection, file, room=Room.GALLERY_KEYS)
    document = {"facts": facts.to_json(), "settings": rows.encoded(settings), "keys": pushed.id}
    try:
        connection.put_json(f"v1/galleries/{gallery}", document)
    except BaseException:
        with suppress(RemoteError):
            connection.hasty().delete(f"v1/gallery-keys/{pushed.id}")
        raise
