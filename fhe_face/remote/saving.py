"""Copies of a gallery at a server: all of its rows and the key, in a folder as `gallery.saving`'s.

Such a copy, and one of a gallery on one machine, may be restored here or at a server. Blocks are
not in it: whoever has the key seals them anew.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from fhe_core.container import Kind, read_header
from fhe_core.files import shown
from fhe_core.secret.gallery_files import save_gallery_keys
from fhe_face.client.ledger import Warn, warn_in_python
from fhe_face.gallery.copying import copy_rows
from fhe_face.gallery.creating import backup_of
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.facts import Facts
from fhe_face.gallery.folders import new_folder
from fhe_face.gallery.opened import ATTEMPTS, Opened, busy
from fhe_face.gallery.saving import copy_client
from fhe_face.keyfile import EVALUATION_KEY
from fhe_face.progress import Stage, silent
from fhe_face.remote import login
from fhe_face.remote.asking import BLOCK_SLACK
from fhe_face.remote.connection import Connection
from fhe_face.remote.creating import keys_at, name_for, put_gallery
from fhe_face.remote.errors import BadAnswer, Refused, RemoteError
from fhe_face.remote.listing import Listing
from fhe_face.remote.place import Place
from fhe_face.remote.pushing import push_keys
from fhe_face.remote.resources import NOT_HERE, Room
from fhe_face.remote.watched import WatchedStore
from fhe_face.remote.witness import Witness
from fhe_face.store import Store
from fhe_face.system import temporary_folder


def back_up(opened: Opened, target: Path, stage: Stage = silent) -> None:
    """Copy an open gallery at a server, as of one moment, into a new folder here.

    Raises:
        TamperedError: what the server says is not what this client left there.
        Busy: others change it all the time. FileError: the folder is not empty, or cannot be
            written. Nothing is left then.
    """
    facts = opened.facts.to_json()  # what the server says of itself would be found at restoring
    with new_folder(target) as folder, temporary_folder("fhe-face-") as work:
        for attempt in range(ATTEMPTS):
            place = work / str(attempt)
            before = opened.store.state()
            with Store.create(place, facts, opened.store.settings) as copy:
                copy_rows(opened.store, copy, stage)
                if opened.store.state() == before:
                    save_gallery_keys(place / EVALUATION_KEY, opened.key, opened.parameters, {})
                    copy.backup(folder.server, also=[EVALUATION_KEY])
                    copy_client(opened.folder, folder)
                    return
        raise busy()


def restore_remote(
    backup: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    connection: Connection | None = None,
    profile: str = login.DEFAULT,
    gallery: str | None = None,
    stage: Stage = silent,
    warn: Warn = warn_in_python,
) -> int:
    """Make a gallery at a server from a backup, and the folder of its client; how many templates.

    connection, or profile: to the server. gallery: its name there; default: the folder's.

    Raises:
        GalleryError: it is no backup, or the name cannot be one, or is taken.
        BackupError: it is incomplete or altered.
        FileError: the folder is not empty, or cannot be written.
        RemoteError: the server cannot be used.
        Nothing is left then, here or there.
    """
    called = name_for(folder, gallery)
    source = backup_of(backup)
    used = connection or login.load(profile).connect()
    try:
        _require_new(used, called)
        with (
            new_folder(folder) as own,
            temporary_folder("fhe-face-") as work,
            Store.restore(source.server, work / "server") as rows,
        ):
            facts = Facts.from_json(rows.facts)
            copy_client(source, own)
            Place(used.url, profile, called, facts).save(own.root)
            stage("sending keys", 0, 0)
            file = work / "server" / EVALUATION_KEY
            _require_key(file, facts.key_id)
            with keys_at(
                used, facts.key_id, lambda: push_keys(used, file, room=Room.GALLERY_KEYS)
            ) as keys:
                put_gallery(used, called, keys, facts, rows.settings)
                return _filled(used, called, rows, facts, own.client, stage, warn)
    finally:
        if connection is None:
            used.close()


def _require_new(connection: Connection, gallery: str) -> None:
    """Nothing is put into a gallery that is there, were it the same one: what was deleted in it
    would come back."""
    try:
        connection.get(f"v1/galleries/{gallery}")
    except Refused as error:
        if error.status == NOT_HERE:
            return
        raise
    raise GalleryError(
        f"the server has a gallery {gallery} already: give another --name, or remove it first"
    )


def _require_key(file: Path, key_id: str) -> None:
    found = read_header(file, expect_kind=Kind.EVALUATION_KEYS).key_id
    if found != key_id:
        raise GalleryError(f"{shown(file.name)} in the backup is of key {found[:8]}, not its own")


def _filled(
    connection: Connection,
    gallery: str,
    rows: Store,
    facts: Facts,
    client: Path,
    stage: Stage,
    warn: Warn,
) -> int:
    """Give a new gallery its rows; it is removed where that fails. What was sent is known.

    BadAnswer: the server did not take all of it.
    """
    witness = Witness(facts.gallery)
    store = WatchedStore(connection, gallery, BLOCK_SLACK, 1, witness=witness, tell=warn)
    try:
        changes = store.state().changes
        store.sealed_settings()
        witness.listing, witness.listing_changes = Listing(), changes
        count = copy_rows(rows, store, stage)
        _require_same(rows, witness.listing)
        witness.save(client)
    except BaseException:
        with suppress(RemoteError):
            connection.hasty().delete(f"v1/galleries/{gallery}")
        raise
    return count


def _require_same(rows: Store, taken: Listing) -> None:
    """By the server's own answers: what it says it has not taken, a witness would not miss."""
    sent = Listing.of(rows.subjects(include_deleted=True), rows.templates(include_deleted=True))
    missing = sent.differences(taken)
    if missing:
        raise BadAnswer(f"the server did not take all of the backup: {missing.summary()}")
