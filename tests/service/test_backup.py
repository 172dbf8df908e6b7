"""Backups of a whole service: what is in them, what is refused, and moving between databases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fhe_face.service.backup import back_up
from fhe_face.service.jobs.queue import open_queue
from fhe_face.service.opening import Service, open_service
from fhe_face.service.restoring import restore
from fhe_face.service.rows import Room
from fhe_face.service.settings import Settings
from fhe_face.service.tokens import authenticate
from fhe_face.store import BackupError, Store, StoreError
from fhe_face.store.rows import Subject, Template
from tests.service import kit
from tests.store.postgres import Postgres


@pytest.fixture
def filled(service: Service) -> Service:
    """A service with keys, a gallery, and an upload that is not complete."""
    part, sent = kit.uploads(service), kit.files()
    kit.send(part, "anna", Room.GALLERY_KEYS, "mine", sent.gallery_keys)
    part.begin("ben", Room.GALLERY_KEYS, "begun", sent.gallery_keys.front)
    path = service.blobs.path("anna", Room.GALLERY_KEYS, "mine")
    key_id = sent.gallery_keys.header.key_id
    service.galleries.create("anna", "home", {"mode": "mean"}, b"sealed", path, key_id)
    with service.galleries.open("anna", "home") as store:
        store.add([Subject("s")], [Template("t", "s", None, b"record")])
    return service


def test_a_backup_is_restored(filled: Service, tmp_path: Path) -> None:
    secret = kit.token(filled)
    back_up(filled, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "new")
    with open_service(tmp_path / "new") as service:
        assert service.url is None
        _require_filled(service, secret)
        assert (tmp_path / "new").stat().st_mode & 0o077 == 0
        with pytest.raises(StoreError, match="exists already"):
            restore(tmp_path / "backup", tmp_path / "new")


def test_a_backup_moves_to_postgres(filled: Service, tmp_path: Path, postgres: Postgres) -> None:
    secret = kit.token(filled)
    back_up(filled, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "new", postgres.new_database())
    with open_service(tmp_path / "new") as service:
        assert service.url is not None
        _require_filled(service, secret)
        # New rows get new numbers.
        kit.send(kit.uploads(service), "ben", Room.GALLERY_KEYS, "x", kit.files(1).gallery_keys)
        assert not list((tmp_path / "new").glob("*.db"))


def _require_filled(service: Service, secret: str) -> None:
    sent = kit.files().gallery_keys
    path = service.blobs.path("anna", Room.GALLERY_KEYS, "mine")
    assert path.read_bytes() == sent.path.read_bytes()
    assert authenticate(service.database, f"Bearer {secret}").tenant == "anna"
    assert service.blobs.page("ben", Room.GALLERY_KEYS, 10) == []
    with service.galleries.open("anna", "home") as store:
        assert store.settings == b"sealed"
        assert [t.record for t in store.templates()] == [b"record"]
        assert (store.folder / "gallery.evaluation.key").read_bytes() == sent.path.read_bytes()


def test_jobs_that_wait_go_along(service: Service, tmp_path: Path) -> None:
    part, sent = kit.uploads(service), kit.files()
    kit.send(part, "anna", Room.KEYS, "mine", sent.keys)
    kit.send(part, "anna", Room.FACES, "one", sent.faces)
    queue = open_queue(service, Settings())
    inputs = {"faces": "one", "key": "mine", "model": "default"}
    job = queue.submit("anna", "embedding", inputs, (Room.EMBEDDINGS, "e"))
    queue.close()
    back_up(service, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "new")
    with open_service(tmp_path / "new") as restored:
        queue = open_queue(restored, Settings())
        assert [one.id for one in queue.list("anna", 10)] == [job]
        assert queue.waiting("anna") == 1
        queue.close()


def test_what_is_no_backup_is_refused(filled: Service, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no backup of a service"):
        restore(filled.folder, tmp_path / "new")
    back_up(filled, tmp_path / "backup")
    with pytest.raises(StoreError, match="exists already"):
        back_up(filled, tmp_path / "backup")
    (blob,) = (tmp_path / "backup" / "blobs").rglob("*.fhec")
    content = blob.read_bytes()
    blob.unlink()
    with pytest.raises(BackupError):
        restore(tmp_path / "backup", tmp_path / "new")
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BackupError, match="not what was backed up"):
        restore(tmp_path / "backup", tmp_path / "new")
    blob.write_bytes(kit.files(1).gallery_keys.path.read_bytes())
    with pytest.raises(BackupError, match="not what was backed up"):
        restore(tmp_path / "backup", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    blob.write_bytes(content)
    restore(tmp_path / "backup", tmp_path / "new")
    with Store.open(next((tmp_path / "new" / "galleries").glob("*/*"))) as store:
        assert store.counts().templates == 1


@pytest.mark.parametrize(
    ("file", "table", "column"),
    [
        ("service.db", "galleries", "folder"),
        ("service.db", "galleries", "tenant"),
        ("service.db", "resources", "digest"),
        ("service.db", "tenants", "name"),
        ("jobs.db", "jobs", "id"),
    ],
)
def test_a_backup_writes_nowhere_else(
    tmp_path: Path, filled: Service, file: str, table: str, column: str
) -> None:
    """Rows of a backup that somebody has altered name a place outside of the new service."""
    part, queue = kit.uploads(filled), open_queue(filled, Settings())
    kit.send(part, "anna", Room.KEYS, "mine", kit.files().keys)
    kit.send(part, "anna", Room.FACES, "one", kit.files().faces)
    queue.submit("anna", "embedding", {"faces": "one", "key": "mine"}, (Room.EMBEDDINGS, "e"))
    queue.close()
    back_up(filled, tmp_path / "backup")
    (tmp_path / "backup" / "outside").mkdir()
    with closing(sqlite3.connect(tmp_path / "backup" / file)) as rows, rows:
        rows.execute(f"UPDATE {table} SET {column} = '../../outside' WHERE rowid = 1")

    def files() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*") if ".db" not in path.name)

    before = files()
    with pytest.raises(BackupError, match=f"names no {column}"):
        restore(tmp_path / "backup", tmp_path / "new")
    assert files() == before
