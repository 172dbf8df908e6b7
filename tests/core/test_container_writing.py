"""Files of the format are written whole or not at all; what may stand in their place on a disk."""

from __future__ import annotations

import hashlib
import os
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core import container
from fhe_core.container import (
    AccessError,
    ContainerError,
    Corrupt,
    DType,
    Kind,
    Limits,
    Section,
    TooLarge,
)

PARAMETERS = hashlib.sha256(b"parameters").hexdigest()
KEY = "00112233445566778899aabbccddeeff"


# --- writing -------------------------------------------------------------------------------------


def write_small(path: Path, **options: Any) -> None:
    section = Section.from_array("a", np.arange(3, dtype=np.uint64))
    container.write(path, Kind.CIPHERTEXT, PARAMETERS, KEY, {}, [section], **options)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_private_mode_from_creation(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "client.key"
    older = Section("secret", DType.U8, (32,), [bytes(32)])
    container.write(path, Kind.SECRET_KEY, PARAMETERS, KEY, {}, [older], private=True)
    path.chmod(0o644)  # readable by all
    seen = []

    def chunks() -> Iterator[bytes]:
        (temporary,) = (other for other in tmp_path.iterdir() if other != path)
        seen.append(stat.S_IMODE(temporary.stat().st_mode))
        yield bytes(32)

    section = Section("secret", DType.U8, (32,), chunks())
    previous = os.umask(umask)
    try:
        container.write(path, Kind.SECRET_KEY, PARAMETERS, KEY, {}, [section], private=True)
    finally:
        os.umask(previous)
    assert seen == [0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_public_mode_follows_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        write_small(tmp_path / "x")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_secret_key_must_be_private(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match="private=True"):
        container.write(tmp_path / "k", Kind.SECRET_KEY, PARAMETERS, KEY, {}, [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OSError, MemoryError])
@pytest.mark.parametrize("replacing", [False, True])
def test_interruption_leaves_nothing(
    tmp_path: Path, error: type[BaseException], replacing: bool
) -> None:
    path = tmp_path / "keys"
    if replacing:
        container.write(path, Kind.EVALUATION_KEYS, PARAMETERS, KEY, {"older": True}, [])
    older = path.read_bytes() if replacing else None

    def chunks() -> Iterator[bytes]:
        yield bytes(1 << 20)
        raise error

    section = Section("a", DType.U8, (1 << 24,), chunks())
    with pytest.raises(AccessError if error is OSError else error):
        container.write(path, Kind.EVALUATION_KEYS, PARAMETERS, KEY, {}, [section])
    assert list(tmp_path.iterdir()) == ([] if older is None else [path])
    assert older is None or path.read_bytes() == older


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failing_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(AccessError, match=r"cannot write .*x\.ct: no space left"):
        write_small(tmp_path / "x.ct")
    assert not list(tmp_path.iterdir())


def test_long_sections_are_streamed(tmp_path: Path) -> None:
    """64 MiB through a generator that holds 0.5 MiB at a time, and digests checked in pieces."""
    path = tmp_path / "keys"
    rows = 128

    def chunks() -> Iterator[NDArray[np.uint64]]:
        for row in range(rows):
            yield np.full(1 << 16, row, dtype=np.uint64)

    sections = [
        Section("seed", DType.U8, (32,), [bytes(32)]),
        Section("key", DType.U64, (rows, 1 << 16), chunks()),
    ]
    tracemalloc.start()
    try:
        container.write(path, Kind.EVALUATION_KEYS, PARAMETERS, KEY, {}, sections)
        with container.open(path) as reader:
            array = reader.array("key")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    assert path.stat().st_size > rows << 19
    assert array[:, 0].tolist() == list(range(rows))
    expected = np.repeat(np.arange(rows, dtype=np.uint64), 1 << 16)
    digest = hashlib.sha256(expected.tobytes()).hexdigest()
    assert container.read_header(path).section("key").digest == digest


def endless() -> Iterator[bytes]:
    while True:
        yield bytes(10)


@pytest.mark.parametrize(
    ("chunks", "error"),
    [
        (lambda: [bytes(7)], ContainerError),
        (lambda: [bytes(9)], ContainerError),
        (lambda: [], ContainerError),
        (endless, ContainerError),
        (lambda: [np.zeros(1)], TypeError),
        (lambda: [np.zeros(1, dtype=np.int64)], TypeError),
        (lambda: ["text"], TypeError),
    ],
)
def test_wrong_chunks(tmp_path: Path, chunks: Callable[[], Any], error: type[Exception]) -> None:
    section = Section("a", DType.U64, (1,), chunks())
    with pytest.raises(error):
        container.write(tmp_path / "x", Kind.CIPHERTEXT, PARAMETERS, KEY, {}, [section])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "metadata", [{"scale": 1.5}, {"n": np.int64(3)}, {"n": 2**64}, {1: 2}, {"s": "\ud800"}]
)
def test_metadata_that_is_refused(metadata: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        container.dumps(Kind.CIPHERTEXT, PARAMETERS, KEY, metadata, [])


def test_what_cannot_be_read_is_not_written() -> None:
    one = Section.from_array("a", np.zeros(1, dtype=np.uint64))
    with pytest.raises(Corrupt, match="same name"):
        container.dumps(Kind.CIPHERTEXT, PARAMETERS, KEY, {}, [one, one])
    with pytest.raises(Corrupt, match="section name"):
        container.dumps(Kind.CIPHERTEXT, PARAMETERS, KEY, {}, [Section("Ä", DType.U8, (0,), [])])
    with pytest.raises(Corrupt, match="parameter hash"):
        container.dumps(Kind.CIPHERTEXT, "00", KEY, {}, [])
    with pytest.raises(TooLarge, match="header"):
        container.dumps(Kind.CIPHERTEXT, PARAMETERS, KEY, {"a": "x" * (1 << 20)}, [])
    with pytest.raises(TooLarge):
        container.dumps(Kind.CIPHERTEXT, PARAMETERS, KEY, {}, [one], limits=Limits(total_bytes=64))
    with pytest.raises(TypeError, match="float32"):
        Section.from_array("a", np.zeros(1, dtype=np.float32))


# --- the file system -----------------------------------------------------------------------------


def test_reading_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "plain").write_bytes(b"")
    for name, reason in [
        ("missing", "no such file"),
        (".", "it is a folder"),
        ("pipe", "a device, pipe or socket"),
        ("dangling", "no such file"),
        ("loop", "links form a loop"),
        ("plain/x", "not a folder"),
        ("x" * 300, "too long"),
        ("a\0b", "name is not valid"),
    ]:
        with pytest.raises(AccessError, match=reason) as caught:
            container.open(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_links_are_followed_when_reading(tmp_path: Path) -> None:
    write_small(tmp_path / "x.ct")
    (tmp_path / "link").symlink_to("x.ct")
    assert container.read_header(tmp_path / "link").kind is Kind.CIPHERTEXT


def test_names_in_messages_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"a\\nb") as caught:
        container.open(tmp_path / "a\nb")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read and write everything")
def test_permissions(tmp_path: Path) -> None:
    write_small(tmp_path / "x.ct")
    (tmp_path / "x.ct").chmod(0)
    with pytest.raises(AccessError, match="permission denied"):
        container.open(tmp_path / "x.ct")
    (tmp_path / "folder").mkdir(mode=0o500)
    with pytest.raises(AccessError, match="permission denied"):
        write_small(tmp_path / "folder" / "x.ct")


def test_writing_where_no_file_may_stand(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "target").write_bytes(b"kept")
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    for name, reason in [
        ("folder", "is a folder"),
        ("link", "symbolic link"),
        ("pipe", "a device, pipe or socket"),
        ("missing/x", "no such file or folder"),
        ("target/x", "not a folder"),
        ("a\0b", "name is not valid"),
    ]:
        with pytest.raises(AccessError, match=reason):
            write_small(tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "target").read_bytes() == b"kept"


def test_overwrite_can_be_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ct"
    write_small(path, overwrite=False)
    write_small(path)
    content = path.read_bytes()
    with pytest.raises(AccessError, match="exists already"):
        write_small(path, overwrite=False)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]
