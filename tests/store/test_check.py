"""Damage: what is found, what is mended, and that everything else can still be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from fhe_face.store import DamagedBlock, Store, StoreError, check
from fhe_face.store.blocks import LARGEST_BLOCK, BlockFiles
from tests.store.conftest import Make
from tests.store.kit import enrol, found, record_of, seal, waiting


def codes(store: Store) -> list[str]:
    return sorted(finding.code for finding in store.check())


def run(store: Store, *statements: str) -> None:
    """What only a fault of the program, or somebody else's hands, could do."""
    with store._database.locked() as connection:
        for statement in statements:
            connection.execute(text(statement))


def two_blocks(store: Store) -> tuple[str, str]:
    enrol(store, anna=["a1"], ben=["b1"])
    first = seal(store)
    enrol(store, cleo=["c1"])
    return first, seal(store)


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, 3)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [remove, truncate, flip, replace_by_folder])
def test_one_damaged_block_is_named_and_mended(make: Make, damage: Callable[[Path], None]) -> None:
    store = make()
    first, second = two_blocks(store)
    damage(store.block_path(first))
    with pytest.raises(DamagedBlock, match=first) as caught:
        store.read_block(first)
    assert caught.value.details() == {"digest": first}
    assert [block.digest for block in store.blocks()] == [first, second]
    assert store.read_block(second)
    assert len(store.entries(first)) == 2
    [finding] = store.check()
    assert (finding.code, finding.severity, finding.about) == ("damaged-block", "error", first)
    assert finding.text.startswith(f"block {first[:12]} ")
    version = store.version
    repaired = store.repair()
    assert [f.code for f in repaired.before] == ["damaged-block"]
    assert [f for f in repaired.after if f.severity == "error"] == []
    assert store.version > version
    assert waiting(store) == ["anna", "ben"]
    seal(store)
    assert len(found(store)) == 3


def test_a_store_in_order_has_no_findings_and_is_not_changed(make: Make) -> None:
    store = make()
    two_blocks(store)
    store.delete_subjects(["anna"])
    store.merge(["ben"], "cleo")
    state = store.state()
    assert store.check() == []
    assert store.repair() == ([], [])
    assert store.state() == state


def test_a_file_that_is_larger_than_any_block_is_not_read(
    make: Make,
) -> None:
    store = make()
    digest, _ = two_blocks(store)
    os.truncate(store.block_path(digest), LARGEST_BLOCK + 1)
    with pytest.raises(DamagedBlock, match="larger than any block"):
        store.read_block(digest)
    (finding,) = store.check()
    assert "larger than any block" in finding.text


def test_leftovers_are_noticed(make: Make) -> None:
    store = make()
    two_blocks(store)
    digest = store.write_block(b"nobody's")
    (store.folder / "blocks" / ".0123.tmp").touch()
    (store.folder / "blocks" / "notes.txt").touch()  # somebody else's: not ours to judge
    (store.folder / "blocks" / "ab").mkdir(exist_ok=True)
    (store.folder / "blocks" / "ab" / ("cd" * 32)).touch()
    assert codes(store) == ["stray-file", "unreferenced-file"]
    assert all(finding.severity == "notice" for finding in store.check())
    store.repair()
    assert store.block_path(digest).exists()  # younger than an hour: perhaps a writer's
    for path in (store.block_path(digest), store.folder / "blocks" / ".0123.tmp"):
        os.utime(path, (0, 0))
    store.repair()
    assert store.check() == []
    assert (store.folder / "blocks" / "notes.txt").exists()


CONTRADICTIONS = {
    "an entry of nobody": ("stale-entry", "UPDATE entries SET owner = 99 WHERE owner = 2"),
    "an entry of a former state": ("stale-entry", "UPDATE entries SET revision = revision - 1"),
    "an entry of a deleted subject": ("stale-entry", "UPDATE subjects SET deleted = {true}"),
    "an entry behind its block": ("outside-entry", "UPDATE entries SET position = position + 7"),
    "nobody waits who should": ("waiting-mark", "DELETE FROM entries WHERE owner = 1"),
    "everybody waits": ("waiting-mark", "UPDATE subjects SET waiting = {true}"),
    "templates wait": ("waiting-mark", "UPDATE templates SET waiting = {true}"),
    "a merged subject has templates": (
        "merged-subject",
        "UPDATE subjects SET merged_into = 1, name = NULL WHERE number = 2",
    ),
    "merged into itself": (
        "merged-subject",
        "UPDATE subjects SET merged_into = 1 WHERE number = 1",
    ),
    "merged in a circle": (
        "merged-subject",
        "UPDATE subjects SET merged_into = 2 WHERE number = 1; "
        "UPDATE subjects SET merged_into = 3 WHERE number = 2; "
        "UPDATE subjects SET merged_into = 1 WHERE number = 3",
    ),
    "merged into a merged one": (
        "merged-subject",
        "UPDATE subjects SET merged_into = 2 WHERE number = 1; "
        "UPDATE subjects SET merged_into = 3 WHERE number = 2",
    ),
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_rows_that_contradict_each_other_are_mended(make: Make, url: str | None, what: str) -> None:
    store = make()
    two_blocks(store)
    code, statements = CONTRADICTIONS[what]
    run(store, *statements.format(true="1" if url is None else "true").split("; "))
    assert code in codes(store)
    store.repair()
    assert store.check() == []
    seal(store) if waiting(store) else None
    live = [subject.id for subject in store.subjects() if subject.templates]
    assert sorted(found(store)) == live
    assert sum(subject.templates for subject in store.subjects(include_deleted=True)) == 3


def test_a_writer_at_work_is_no_damage(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make()
    two_blocks(store)
    verify = BlockFiles.verify
    met: list[str] = []

    def while_it_is_replaced(files: BlockFiles, digest: str) -> int:
        if not met:
            met.append(digest)
            store.replace_blocks(store.version, [block.digest for block in store.blocks()])
            seal(store)
        return verify(files, digest)

    monkeypatch.setattr(BlockFiles, "verify", while_it_is_replaced)
    assert store.check() == []
    assert not store.block_path(met[0]).exists()


def test_wrong_files_beside_a_sound_database_and_the_reverse(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    with Store.create(folder, {"mode": "mean"}, b"") as store:
        first, second = two_blocks(store)
    flip(store.block_path(second))
    database = folder / "gallery.db"
    sound = database.read_bytes()
    for content in (b"", b"no database", sound[: len(sound) // 2], sound[:5000] + bytes(9000)):
        database.write_bytes(content)
        findings = check(folder)
        assert {f.code for f in findings} >= {"database", "damaged-block"}, content[:20]
        assert [f.about for f in findings if f.code == "damaged-block"] == [second]
        assert "backup" in {f.mend for f in findings}
        assert database.read_bytes() == content
    database.unlink()
    assert [f.code for f in check(folder)] == ["no-database", "damaged-block"]
    assert not database.exists()
    database.write_bytes(sound)
    assert [f.about for f in check(folder)] == [second]
    with Store.open(folder) as store:
        assert store.read_block(first)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no gallery's database"),
        (b"SQLite format 3\0" + bytes(100), "damaged or no database"),
        (b"x" * 5000, "damaged or no database"),
    ],
)
def test_what_is_no_database_is_not_opened(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "gallery.db").write_bytes(content)
    with pytest.raises(StoreError, match=f"gallery.db: .*{message}"):
        Store.open(tmp_path)
    assert (tmp_path / "gallery.db").read_bytes() == content


def test_damaged_pages_are_one_clear_line(tmp_path: Path) -> None:
    with Store.create(tmp_path / "server", {"mode": "mean"}, b"") as store:
        enrol(store, **{f"s{n}": [f"t{n}"] for n in range(500)})
    path = tmp_path / "server" / "gallery.db"
    content = path.read_bytes()
    start = content.index(record_of("t250")) // 4096 * 4096
    path.write_bytes(content[:start] + b"\xff" * 4096 + content[start + 4096 :])
    with Store.open(tmp_path / "server") as store:
        with pytest.raises(StoreError, match="it is damaged: `gallery check`"):
            list(store.templates())
        assert {f.code for f in store.check()} == {"database"}
