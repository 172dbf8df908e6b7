"""Files: what may be replaced, file systems without links or modes, what goes wrong."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from fhe_core import files
from fhe_core.container import ContainerError, Kind, file_kind, write
from fhe_core.files import (
    FileError,
    FileKind,
    ReplacementError,
    atomic_write,
    keeps_modes_private,
    read_bounded,
    write_whole,
)
from fhe_core.outputs import Outputs, require_writable

NOTE = FileKind("a note", lambda stream: stream.read(4) == b"note")


def refuse(number: int) -> Callable[..., NoReturn]:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


# --- kinds ----------------------------------------------------------------------------------------


def test_only_the_own_kind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_whole(path, b"note 1", kind=NOTE)
    write_whole(path, b"note 2", kind=NOTE)
    assert path.read_bytes() == b"note 2"
    path.write_bytes(b"a letter")
    with pytest.raises(ReplacementError, match=r"x: exists and is not a note"):
        write_whole(path, b"note 3", kind=NOTE)
    assert path.read_bytes() == b"a letter"
    path.write_bytes(b"")  # as mktemp makes it: nothing is lost
    write_whole(path, b"note 4", kind=NOTE)
    assert os.listdir(tmp_path) == ["x"]


def test_containers_replace_only_their_kind(tmp_path: Path) -> None:
    path, key = tmp_path / "x", "00" * 16
    write(path, Kind.SECRET_KEY, "0" * 64, key, {"what": "score"}, [], private=True)
    before = path.read_bytes()
    with pytest.raises(ReplacementError, match="is not a ciphertext"):
        write(path, Kind.CIPHERTEXT, "0" * 64, key, {"what": "score"}, [])
    assert path.read_bytes() == before
    path.unlink()
    write(path, Kind.CIPHERTEXT, "0" * 64, key, {"what": "score"}, [])
    write(path, Kind.CIPHERTEXT, "0" * 64, key, {"what": "image"}, [])
    assert file_kind(Kind.CIPHERTEXT, "image").found_in(path)
    assert not file_kind(Kind.CIPHERTEXT, "score").found_in(path)
    assert not file_kind(Kind.EVALUATION_KEYS).found_in(path)
    for damaged in (b"", before[:10], before[:30], b"\x89PNG" + bytes(100)):
        path.write_bytes(damaged)
        assert not file_kind(Kind.CIPHERTEXT, "image").found_in(path)


def test_outputs_never_are_inputs(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    source = tmp_path / "folder" / "source"
    source.write_bytes(b"note")
    os.link(source, tmp_path / "hard")
    (tmp_path / "soft").symlink_to(source)
    spellings = (source, tmp_path / "link" / "source", tmp_path / "hard", tmp_path / "soft",
                 tmp_path / "folder" / ".." / "folder" / "source")  # fmt: skip
    for path in spellings:
        with pytest.raises(ReplacementError, match="is read by this command"):
            Outputs(None, source).add(path, NOTE)
    both = Outputs(tmp_path / "missing")
    both.add(tmp_path / "folder" / "new", NOTE)
    for path in (tmp_path / "link" / "new", tmp_path / "folder" / "new"):
        with pytest.raises(ReplacementError, match="named for two outputs"):
            both.add(path, NOTE)
    assert both.replaced == ()
    again = Outputs()
    again.add(source, NOTE)
    again.add(None, NOTE)
    assert again.replaced == (f"replaced {source}",)
    with pytest.raises(FileError, match=r"exists already \(--force\)"):
        Outputs().add(source, NOTE, overwrite=False, hint=" (--force)")


# --- file systems ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "link", refuse(number))
    path = tmp_path / "x"
    write_whole(path, b"one", overwrite=False)
    assert path.read_bytes() == b"one"
    with pytest.raises(FileError, match="exists already"):
        write_whole(path, b"two", overwrite=False)
    late = tmp_path / "late"
    with pytest.raises(FileError, match="exists already"), atomic_write(late, overwrite=False):
        late.write_bytes(b"someone else's")
    assert late.read_bytes() == b"someone else's"
    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", refuse(errno.EIO))
        with pytest.raises(FileError):
            write_whole(tmp_path / "y", b"three", overwrite=False)
    assert sorted(os.listdir(tmp_path)) == ["late", "x"]


def test_other_errors_of_links_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refuse(errno.EIO))
    with pytest.raises(FileError):
        write_whole(tmp_path / "x", b"one", overwrite=False)
    assert not os.listdir(tmp_path)


def test_a_file_system_without_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keeps_modes_private(tmp_path)
    monkeypatch.setattr(os, "fchmod", refuse(errno.EPERM))
    write_whole(tmp_path / "x", b"one", private=True)
    real = os.fstat

    def as_exfat(descriptor: int) -> os.stat_result:
        fields = list(real(descriptor))
        fields[0] = stat.S_IFREG | 0o755
        return os.stat_result(fields)

    monkeypatch.setattr(os, "fstat", as_exfat)
    assert not keeps_modes_private(tmp_path)
    assert os.listdir(tmp_path) == ["x"]
    with pytest.raises(FileError, match="no such file or folder"):
        keeps_modes_private(tmp_path / "missing")


def test_a_private_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_whole(tmp_path / "x", b"one", private=True)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("flags", "reason"), [(os.ST_RDONLY, "the file system is read-only"), (0, "permission denied")]
)
def test_why_a_folder_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: int, reason: str
) -> None:
    class Statistics:
        f_flag = flags

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda *_: Statistics)
    with pytest.raises(FileError, match=f"x: {reason}"):
        require_writable(tmp_path / "x")


# --- reading --------------------------------------------------------------------------------------


def test_reading_a_bounded_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(FileError, match="more than 4 bytes") as caught:
        read_bounded(path, 4)
    assert caught.value.reason.startswith("too large")
    for wrong, reason in ((tmp_path, "folder"), (tmp_path / "none", "no such file")):
        with pytest.raises(FileError, match=reason):
            read_bounded(wrong, 5)
    assert not issubclass(FileError, ContainerError)
    assert files.reason_of(OSError(errno.EROFS, "")) == "the file system is read-only"
