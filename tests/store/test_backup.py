"""Backups: into either database from either, while others write; altered ones leave nothing."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fhe_core.files import FileError
from fhe_face.store import BackupError, DamagedBlock, Refusal, Store, StoreError
from fhe_face.store.backup import _seal
from tests.store.conftest import Make
from tests.store.kit import enrol, found, seal, waiting
from tests.store.postgres import Postgres


def filled(store: Store) -> Store:
    """Something of everything."""
    enrol(store, anna=["a1", "a2"], ben=["b1"], bert=["b2"], cleo=["c1"], dan=["d1"])
    store.merge(["anna"], "bert")  # a row that refers to a later one
    seal(store)
    store.delete_templates(["d1"])
    store.delete_subjects(["cleo"])
    enrol(store, ben=["b3"])
    store.add(refusals=[Refusal("p", b"reason")])
    (store.folder / "keys.bin").write_bytes(b"keys")
    return store


def content(store: Store) -> object:
    """All that a store says."""
    return (
        list(store.subjects(include_deleted=True)),
        list(store.templates(include_deleted=True)),
        store.refusals(),
        store.state(),
        (store.facts, store.settings),
        store.blocks(),
        found(store),
        list(store.pending()),
        store.subject("anna"),
        {block.digest: store.read_block(block.digest) for block in store.blocks()},
    )


@pytest.mark.parametrize("into", ["sqlite", "postgres"])
def test_a_restored_store_is_the_same(
    make: Make, tmp_path: Path, into: str, request: pytest.FixtureRequest
) -> None:
    store = filled(make())
    store.backup(tmp_path / "backup", ["keys.bin"])
    target = None
    if into == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        target = server.new_database()
    with Store.restore(tmp_path / "backup", tmp_path / "again", target) as again:
        assert content(again) == content(store)
        assert (again.folder / "keys.bin").read_bytes() == b"keys"
        assert again.check() == []
        # It goes on from there: numbers are not used twice.
        enrol(again, eva=["e1"])
        seal(again)
        assert waiting(again) == []
        names = set(os.listdir(again.folder)) - {"gallery.db-wal", "gallery.db-shm"}
        database = "server.json" if target else "gallery.db"
        assert names == {"blocks", "keys.bin", database}
    assert sorted(os.listdir(tmp_path)) == ["again", "backup", "server"]


def test_a_backup_is_a_gallery_by_itself(make: Make, tmp_path: Path) -> None:
    store = filled(make())
    store.backup(tmp_path / "backup")
    with Store.open(tmp_path / "backup") as again:
        assert content(again) == content(store)


def test_a_backup_is_of_one_moment(make: Make, tmp_path: Path) -> None:
    store = make("each")
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            enrol(store, **{f"s{number}": [f"t{number}-{m}" for m in range(3)]})
            seal(store)
            if number >= 3:
                store.delete_subjects([f"s{number - 3}"])
            if number % 5 == 4:
                store.replace_blocks(store.version, [b.digest for b in store.blocks()])
                store.purge()
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(4):
            store.backup(tmp_path / f"backup{number}")
    finally:
        stop.set()
        writer.join()
    for number in range(4):
        with Store.restore(tmp_path / f"backup{number}", tmp_path / f"again{number}") as again:
            assert again.check() == []
            subjects = list(again.subjects(include_deleted=True))
            assert all(subject.templates == 3 for subject in subjects)


def test_what_stands_there_is_not_replaced(make: Make, tmp_path: Path) -> None:
    store = filled(make())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_bytes(b"mine")
    (tmp_path / "file").write_bytes(b"mine")
    for name in ("full", "file", "server"):
        with pytest.raises(StoreError, match=f"{name}: exists already"):
            store.backup(tmp_path / name)
    store.backup(tmp_path / "backup")
    for name in ("full", "file", "server"):
        with pytest.raises(StoreError, match=f"{name}: exists already"):
            Store.restore(tmp_path / "backup", tmp_path / name)
    with pytest.raises(FileError, match="no such file or folder"):
        store.backup(tmp_path / "none" / "backup")
    for also in ("gallery.db", "../x", ".hidden", "blocks", "server.json"):
        with pytest.raises(StoreError, match="could go along"):
            store.backup(tmp_path / "other", [also])
    with pytest.raises(FileError, match=r"missing\.bin: no such file"):
        store.backup(tmp_path / "other", ["missing.bin"])
    assert sorted(os.listdir(tmp_path)) == ["backup", "file", "full", "server"]


def test_a_damaged_block_is_not_backed_up(make: Make, tmp_path: Path) -> None:
    store = filled(make())
    [block] = store.blocks()
    store.block_path(block.digest).write_bytes(b"other")
    with pytest.raises(DamagedBlock, match=block.digest):
        store.backup(tmp_path / "backup")
    assert sorted(os.listdir(tmp_path)) == ["server"]


def _without(name: str) -> Callable[[Path], None]:
    return lambda backup: (backup / name).unlink()


def _cut(name: str) -> Callable[[Path], None]:
    return lambda backup: os.truncate(backup / name, (backup / name).stat().st_size - 1)


def _altered(name: str) -> Callable[[Path], None]:
    def change(backup: Path) -> None:
        content = bytearray((backup / name).read_bytes())
        content[len(content) // 2] ^= 1
        (backup / name).write_bytes(content)

    return change


def _listing(**changes: object) -> Callable[[Path], None]:
    def change(backup: Path) -> None:
        listed = json.loads((backup / "backup.json").read_text())
        listed.update(changes)
        (backup / "backup.json").write_text(json.dumps(listed))

    return change


DAMAGES = {
    "no list": (_without("backup.json"), r"backup: is no backup: backup\.json"),
    "list cut": (_cut("backup.json"), r"backup\.json: is damaged"),
    "list of nothing": (_listing(files={}), r"backup\.json: is damaged"),
    "other format": (_listing(format="zip"), r"backup\.json: is no backup"),
    "later version": (_listing(version=2), r"backup\.json: is no backup of version 1"),
    "no rows": (_without("gallery.db"), r"gallery\.db: no such file"),
    "rows cut": (_cut("gallery.db"), r"gallery\.db: is not what was backed up"),
    "rows altered": (_altered("gallery.db"), r"gallery\.db: is not what was backed up"),
    "key altered": (_altered("keys.bin"), r"keys\.bin: is not what was backed up"),
    "block missing": (_without("BLOCK"), r"[0-9a-f]{64}: no such file"),
    "block cut": (_cut("BLOCK"), r"[0-9a-f]{64}: is not what was backed up"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_an_altered_backup_is_refused_and_leaves_nothing(
    make: Make, tmp_path: Path, url: str | None, what: str
) -> None:
    store = filled(make())
    store.backup(tmp_path / "backup", ["keys.bin"])
    digest = store.blocks()[0].digest
    block = tmp_path / "backup" / "blocks" / digest[:2] / digest
    block.write_bytes(block.read_bytes())
    os.symlink(block, tmp_path / "backup" / "BLOCK")
    damage, message = DAMAGES[what]
    if what == "block missing":
        block.unlink()
    else:
        damage(tmp_path / "backup")
    before = _schemas(store) if url else []
    with pytest.raises(BackupError, match=message):
        Store.restore(tmp_path / "backup", tmp_path / "again", url)
    assert sorted(os.listdir(tmp_path)) == ["backup", "server"]
    assert (_schemas(store) if url else []) == before


def _schemas(store: Store) -> list[str]:
    query = "SELECT schema_name FROM information_schema.schemata ORDER BY 1"
    with store._database.reading() as connection:
        return list(connection.exec_driver_sql(query).scalars())


def test_a_list_cannot_name_files_elsewhere(make: Make, tmp_path: Path) -> None:
    store = filled(make())
    store.backup(tmp_path / "backup")
    (tmp_path / "secret").write_bytes(b"x")
    place = tmp_path / "backup" / "backup.json"
    sound = json.loads(place.read_text())
    sound.pop("sha256")
    for name in ("../secret", "/etc/passwd", "server.json", "blocks/aa/" + "b" * 64, "a/b", ""):
        listed = {**sound, "files": {**sound["files"], name: {"bytes": 1, "sha256": "x"}}}
        place.write_text(json.dumps({**listed, "sha256": _seal(listed)}))
        with pytest.raises(BackupError, match=r"backup\.json: is damaged"):
            Store.restore(tmp_path / "backup", tmp_path / "again")
