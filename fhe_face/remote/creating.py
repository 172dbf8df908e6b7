"""A new gallery at a server: its key is made here, and stays."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fhe_core.matching import MatchParameters, gallery_parameters
from fhe_core.secret.gallery_files import save_gallery_keys
from fhe_core.secret.key import SecretKey
from fhe_face.client.ledger import FileLedger
from fhe_face.gallery.creating import Model, preparation_of
from fhe_face.gallery.decisions import Decision
from fhe_face.gallery.embedders import Embedder
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.facts import Facts, Mode
from fhe_face.gallery.folders import new_folder, write_secret
from fhe_face.gallery.settings import Settings
from fhe_face.gallery.vault import Vault
from fhe_face.keyfile import EVALUATION_KEY
from fhe_face.models.faces import Preparation
from fhe_face.remote import login, rows
from fhe_face.remote.answers import ID, quoted
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import RemoteError
from fhe_face.remote.place import Place
from fhe_face.remote.pushing import Pushed, push_keys
from fhe_face.remote.resources import Room, find
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
    called = name_for(folder, gallery)
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
            write_secret(own, key, passphrase)
            FileLedger(own.ledger, key.key_id).create()
            Place(used.url, profile, called, facts).save(own.root)
            with keys_at(used, key.key_id, lambda: push_gallery_keys(used, key, chosen)) as keys:
                put_gallery(used, called, keys, facts, sealed)
    finally:
        if connection is None:
            used.close()


def name_for(folder: str | os.PathLike[str], chosen: str | None) -> str:
    """A gallery's name at a server: as chosen, or its folder's. GalleryError: it cannot be one."""
    called = chosen or Path(folder).resolve().name
    if not ID.fullmatch(called):
        raise GalleryError(
            f"{quoted(called)} cannot be a gallery's name at a server: letters, digits and . _ - "
            "(--name)"
        )
    return called


def push_gallery_keys(
    connection: Connection, key: SecretKey, parameters: MatchParameters
) -> Pushed:
    """The evaluation keys of a gallery's search, to the server, under the key's id."""
    with tempfile.TemporaryDirectory(prefix="fhe-face-") as work:
        file = Path(work) / EVALUATION_KEY
        save_gallery_keys(file, key, parameters, {})
        return push_keys(connection, file, room=Room.GALLERY_KEYS)


@contextmanager
def keys_at(connection: Connection, key_id: str, push: Callable[[], Pushed]) -> Iterator[str]:
    """The name of a key's evaluation keys at the server: those that are there, or those that `push`
    sends, which are removed again if the block raises."""
    there = find(connection, Room.GALLERY_KEYS, key_id)
    if there is not None and there.complete and there.key_id == key_id:
        yield there.id
        return
    pushed = push()
    try:
        yield pushed.id
    except BaseException:
        with suppress(RemoteError):
            connection.hasty().delete(f"v1/gallery-keys/{pushed.id}")
        raise


def put_gallery(
    connection: Connection, gallery: str, keys: str, facts: Facts, settings: bytes
) -> None:
    """An empty gallery at the server. Refused: there is one of that name."""
    document = {"facts": facts.to_json(), "settings": rows.encoded(settings), "keys": keys}
    connection.put_json(f"v1/galleries/{gallery}", document)
