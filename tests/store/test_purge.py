"""Purging, sweeping: what is gone is gone from every file; what is being written stays."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest
from sqlalchemy import text

from fhe_face.store import Conflict, NewBlock, NotStored, Owner, Purged, Store, StoreError, Swept
from tests.store.conftest import Make
from tests.store.kit import content_of, enrol, found, record_of, seal, waiting


def files_of(store: Store, url: str | None, postgres: Path | None) -> Iterator[Path]:
    """Every file that may hold rows or blocks."""
    yield from (path for path in store.folder.rglob("*") if path.is_file())
    if url is not None:
        assert postgres is not None
        with store._database.reading() as connection:
            rows = connection.execute(
                text(
                    "SELECT pg_relation_filepath(c.oid), pg_relation_filepath(c.reltoastrelid) "
                    "FROM pg_class c WHERE relnamespace = current_schema()::regnamespace "
                    "AND relkind IN ('r', 'i')"
                )
            ).all()
            connection.exec_driver_sql("CHECKPOINT")
        yield from (postgres / name for row in rows for name in row if name)


Holding = Callable[[Store, bytes], list[str]]


@pytest.fixture
def holding(url: str | None, request: pytest.FixtureRequest) -> Holding:
    """Names the files that hold some bytes."""
    data = None if url is None else request.getfixturevalue("postgres").data

    def names(store: Store, what: bytes) -> list[str]:
        return [path.name for path in files_of(store, url, data) if what in path.read_bytes()]

    return names


def compact(store: Store) -> Purged:
    """Seal all blocks with dead positions again, as a client does, and purge."""
    partial = [block.digest for block in store.blocks() if block.live < block.count]
    owners = [entry.owner for digest in partial for entry in store.entries(digest)]
    version = store.version
    new = [NewBlock(store.write_block(content_of(store, owners)), owners)] if owners else []
    store.replace_blocks(version, partial, new)
    return store.purge()


@pytest.mark.parametrize("mode", ["mean", "each"])
def test_nothing_is_left_of_what_was_deleted(make: Make, holding: Holding, mode: str) -> None:
    store = make(mode)
    faces = {f"s{n:03}": [f"t{n:03}-{m}" for m in range(3)] for n in range(300)}
    enrol(store, **faces)
    seal(store)
    gone = [f"s{n:03}" for n in range(0, 300, 3)]
    store.delete_subjects(gone)
    store.delete_templates([f"t{n:03}-1" for n in range(1, 300, 3)])
    assert holding(store, record_of("t000-0"))
    assert holding(store, record_of("t001-1"))
    purged = compact(store)
    assert purged == Purged(100, 400, 0, [])
    for n in range(0, 300, 3):
        for what in (record_of(f"t{n:03}-0"), f"<name of s{n:03}>".encode(), b"photo-t%03d-2" % n):
            assert holding(store, what) == []
    assert holding(store, record_of("t001-1")) == []
    # What stays is all there, also in the block.
    assert len(holding(store, record_of("t002-0"))) >= 2
    assert (store.counts().subjects, store.counts().templates) == (200, 500)
    assert store.check() == []
    with pytest.raises(NotStored):
        store.undelete_subjects(["s000"])
    seal(store) if waiting(store) else None
    assert len(found(store)) == (200 if mode == "mean" else 500)


def test_purging_keeps_what_lives(make: Make) -> None:
    store = make()
    enrol(store, anna=["a1", "a2"], ben=["b1"], bert=["b2"], cleo=["c1"])
    store.merge(["bert"], "ben")
    seal(store)
    store.delete_templates(["a2"])
    store.delete_subjects(["cleo"])
    assert store.purge().unsealed == [store.blocks()[0].digest]
    assert [s.id for s in store.subjects(include_deleted=True)] == ["anna", "ben"]
    assert list(found(store)) == ["ben"]
    assert store.subject("bert").id == "ben"
    store.delete_subjects(["ben"])
    store.purge()
    with pytest.raises(NotStored):
        store.subject("bert")
    # Enrolled again, it is new: an entry made of the former one is refused.
    enrol(store, cleo=["c1"])
    assert waiting(store) == ["anna", "cleo"]
    assert store.check() == []


def test_an_id_that_was_purged_is_not_mistaken(make: Make) -> None:
    store = make()
    enrol(store, anna=["a1"])
    version, owners = store.version, list(store.pending())
    digest = store.write_block(b"of the former anna")
    store.delete_subjects(["anna"])
    store.purge()
    enrol(store, anna=["a1"])
    assert isinstance(owners[0], Owner)
    store.write_block(b"of the former anna")  # purged as well
    with pytest.raises(Conflict):
        store.replace_blocks(version, [], [NewBlock(digest, owners)])


def test_a_reader_in_the_way_of_purging_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhe_face.store.database.WAIT_SECONDS", 0.2)
    with Store.create(tmp_path / "server", {"mode": "mean"}, b"") as store:
        enrol(store, anna=["a1"])
        store.delete_subjects(["anna"])
        with closing(sqlite3.connect(tmp_path / "server" / "gallery.db")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM templates").fetchone()
            with pytest.raises(StoreError, match="another process is reading"):
                store.purge()
        assert store.purge() == Purged(0, 0, 0, [])
        files = [path for path in store.folder.rglob("*") if path.is_file()]
        assert not [path for path in files if record_of("a1") in path.read_bytes()]


# --- Sweeping ------------------------------------------------------------------------------------


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_only_old_files_without_a_row_are_swept(make: Make) -> None:
    store = make()
    enrol(store, anna=["a1"])
    used, old, young = seal(store), store.write_block(b"old"), store.write_block(b"young")
    for digest in (used, old):
        age(store.block_path(digest), 90_000)
    stray = store.folder / "blocks" / f".{'0' * 32}.tmp"
    stray.write_bytes(b"killed")
    assert store.sweep() == Swept(1, 3)
    age(stray, 90_000)
    assert store.sweep() == Swept(1, 6)
    assert store.read_block(used)
    assert store.read_block(young) == b"young"
    assert not store.block_path(old).exists()


def test_a_file_that_is_being_written_is_not_swept(make: Make) -> None:
    store = make()

    def slowly(stream: BinaryIO) -> None:
        [stray] = (store.folder / "blocks").glob(".*.tmp")
        age(stray, 90_000)
        assert store.sweep(older_than=0) == Swept(0, 0)
        stream.write(b"slow")

    assert store.read_block(store.write_block(slowly)) == b"slow"


def test_a_block_that_was_swept_before_its_row_is_a_conflict(make: Make) -> None:
    store = make()
    enrol(store, anna=["a1"])
    version, owners = store.version, list(store.pending())
    digest = store.write_block(b"swept")
    store.sweep(older_than=0)
    with pytest.raises(Conflict, match="has no file: write it again"):
        store.replace_blocks(version, [], [NewBlock(digest, owners)])
    store.write_block(b"swept")
    store.replace_blocks(version, [], [NewBlock(digest, owners)])
