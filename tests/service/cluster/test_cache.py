"""A node's own copies of evaluation keys."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from fhe_core.container import read_header
from fhe_core.errors import Failure
from fhe_face.service.blobs import front_digest
from fhe_face.service.cluster.cache import DEFAULT, VARIABLE, KeyCache, cache_folder
from fhe_face.service.errors import NotHere
from tests.service.jobs.kit import Owner


def digest_of(file: Path) -> str:
    return front_digest(file, read_header(file))


@pytest.fixture
def cache(tmp_path: Path) -> KeyCache:
    return KeyCache(tmp_path / "cache")


def fill(folder: Path, digest: str, source: Path, log: Path) -> None:
    """What a node's process does."""

    def filled(name: str) -> None:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{name}\n".encode())
        os.close(descriptor)

    KeyCache(folder, filled=filled).get(digest, source)


def test_many_processes_fill_it_once(owner: Owner, tmp_path: Path) -> None:
    digest, log = digest_of(owner.key), tmp_path / "log"
    spawn = multiprocessing.get_context("spawn")
    many = [
        spawn.Process(target=fill, args=(tmp_path / "cache", digest, owner.key, log))
        for _ in range(4)
    ]
    for one in many:
        one.start()
    for one in many:
        one.join(60.0)
        assert one.exitcode == 0
    assert log.read_text().split() == [digest]
    copy = tmp_path / "cache" / f"{digest}.fhec"
    assert copy.read_bytes() == owner.key.read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o700


def test_other_content_is_refused_and_not_kept(owner: Owner, other: Owner, cache: KeyCache) -> None:
    with pytest.raises(NotHere, match="replaced"):
        cache.get(digest_of(owner.key), other.key)
    assert [path.name for path in cache.folder.iterdir()] == [".lock"]


def test_a_copy_of_other_keys_is_not_believed(owner: Owner, other: Owner, cache: KeyCache) -> None:
    """A file of that name, sound, but of another key: its name is all that says so."""
    digest = digest_of(owner.key)
    shutil.copyfile(other.key, cache.get(digest, owner.key))
    assert cache.get(digest, owner.key).read_bytes() == owner.key.read_bytes()


@pytest.mark.parametrize("name", ["../outside", "", "AB" * 32])
def test_a_name_that_is_no_digest_reaches_nothing(owner: Owner, cache: KeyCache, name: str) -> None:
    outside = cache.folder.parent / "outside.fhec"
    shutil.copyfile(owner.key, outside)
    for use in (lambda: cache.get(name, owner.key), lambda: cache.forget(name)):
        with pytest.raises(Failure, match="64 hexadecimal"):
            use()
    assert outside.is_file()


def test_what_a_killed_process_left_is_removed(owner: Owner, cache: KeyCache) -> None:
    cache.folder.mkdir()
    (cache.folder / ".0123.tmp").write_bytes(b"half")
    cache.get(digest_of(owner.key), owner.key)
    assert not list(cache.folder.glob("*.tmp"))
    assert not list(cache.folder.glob(".*.tmp"))


def test_the_longest_unused_leaves(owner: Owner, other: Owner, tmp_path: Path) -> None:
    size = owner.key.stat().st_size
    cache = KeyCache(tmp_path / "cache", limit_bytes=size + size // 2)
    first = cache.get(digest_of(owner.key), owner.key)
    second = cache.get(digest_of(other.key), other.key)
    assert second.is_file()
    assert not first.exists()
    assert cache.get(digest_of(owner.key), owner.key).is_file()  # and is copied again


def test_one_that_is_larger_than_the_limit_is_kept_alone(owner: Owner, tmp_path: Path) -> None:
    cache = KeyCache(tmp_path / "cache", limit_bytes=1)
    assert cache.get(digest_of(owner.key), owner.key).is_file()


def test_a_copy_that_is_forgotten_is_made_again(owner: Owner, cache: KeyCache) -> None:
    digest = digest_of(owner.key)
    cache.get(digest, owner.key).write_bytes(b"rotten")
    cache.forget(digest)
    assert cache.get(digest, owner.key).read_bytes() == owner.key.read_bytes()


def test_a_source_that_is_gone_is_an_error_of_files(owner: Owner, cache: KeyCache) -> None:
    with pytest.raises(OSError, match="no such file"):
        cache.get(digest_of(owner.key), cache.folder / "nothing")


def test_a_full_disk_is_told_before_a_byte_is_copied(
    owner: Owner, cache: KeyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    with pytest.raises(OSError, match="not enough disk space"):
        cache.get(digest_of(owner.key), owner.key)


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert cache_folder() == Path(DEFAULT).expanduser()
    monkeypatch.setenv(VARIABLE, "/somewhere")
    assert cache_folder() == Path("/somewhere")
