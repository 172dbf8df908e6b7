"""A disk without room: one clear error, nothing lost, and all goes on when there is room again."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from fhe_core.files import FileError
from fhe_face.store import Store, StoreError, Subject, Template
from tests.store.kit import enrol, found, record_of, seal

#: Leaves no room; the next write fails.
Fill = Callable[[], AbstractContextManager[None]]


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The kernel's limit on the size of files; what a full disk is to most programs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=["small disk", "limit"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Fill]]:
    """A folder, and how its disk is filled: a disk of 3 MB (as root), or a limit on files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "limit":
        yield folder, lambda: no_file_beyond(4096)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no small disk: only root may mount one, and not everywhere")

    @contextmanager
    def filled() -> Iterator[None]:
        filler = folder / "filler"
        with filler.open("wb", buffering=0) as stream, suppress(OSError):
            while stream.write(bytes(4096)):
                pass
        try:
            yield
        finally:
            filler.unlink()

    try:
        yield folder, filled
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def many(count: int) -> list[Template]:
    return [Template(f"m{n}", "many", None, bytes(600)) for n in range(count)]


def test_a_full_disk_is_one_clear_error_and_nothing_is_lost(place: tuple[Path, Fill]) -> None:
    folder, fill = place
    with Store.create(folder / "server", {"mode": "mean"}, b"settings") as store:
        enrol(store, anna=["a1"], ben=["b1"])
        digest = seal(store)
        before = (store.counts(), store.state(), found(store), list(store.templates()))
        with fill():
            with pytest.raises(StoreError, match=r"gallery\.db: (no space left|the disk cannot)"):
                store.add([Subject("many")], many(3000))
            with pytest.raises(FileError, match=r"cannot write a block into .*blocks: "):
                store.write_block(bytes(100_000))
            assert (store.counts(), store.state(), found(store), list(store.templates())) == before
            assert store.read_block(digest)
            assert store.check() == []
        assert len(store.add([Subject("many")], many(1000)).templates) == 1000
        seal(store)
        assert store.check() == []
        assert store.template("a1").record == record_of("a1")


def test_a_store_that_cannot_be_made_leaves_nothing(place: tuple[Path, Fill]) -> None:
    folder, fill = place
    (folder / "server" / "blocks").mkdir(parents=True)
    with fill(), pytest.raises((StoreError, FileError), match=r"gallery\.db"):
        Store.create(folder / "server", {"mode": "mean"}, bytes(10_000))
    assert os.listdir(folder / "server") == ["blocks"]
    Store.create(folder / "server", {"mode": "mean"}, b"").close()


def test_a_backup_that_finds_no_room_leaves_nothing(place: tuple[Path, Fill]) -> None:
    folder, fill = place
    with Store.create(folder / "server", {"mode": "mean"}, b"settings") as store:
        enrol(store, anna=["a1"])
        seal(store)
        with fill(), pytest.raises((StoreError, FileError)):
            store.backup(folder / "backup")
        assert os.listdir(folder) == ["server"]
        store.backup(folder / "backup")
        with fill(), pytest.raises((StoreError, FileError)):
            Store.restore(folder / "backup", folder / "again")
        assert sorted(os.listdir(folder)) == ["backup", "server"]


def test_purging_without_room_can_be_done_again(place: tuple[Path, Fill]) -> None:
    folder, fill = place
    with Store.create(folder / "server", {"mode": "mean"}, b"settings") as store:
        enrol(store, anna=["a1"], ben=["b1"])
        store.add([Subject("many")], many(800))
        store.delete_subjects(["anna"])
        with fill(), pytest.raises(StoreError, match=r"no space left|the disk cannot"):
            store.purge()
        store.purge()
        assert store.check() == []
        assert [s.id for s in store.subjects(include_deleted=True)] == ["ben", "many"]
        files = [path for path in store.folder.rglob("*") if path.is_file()]
        assert not [path for path in files if record_of("a1") in path.read_bytes()]
