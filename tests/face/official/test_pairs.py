"""The HDF5 input: what is taken, what is refused, and that a crash stays in the worker."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from benchmarks.official.stages import pairs, pairs_worker
from benchmarks.official.stages.pairs import (
    COUNT,
    ERROR,
    IMAGE,
    LENGTH,
    PairsError,
    open_pairs,
    receive,
)
from fhe_core.files import FileError
from tests.face.official.kit import write_pairs

BYTES = h5py.vlen_dtype(np.uint8)


def everything(path: Path) -> list[tuple[bytes, bytes]]:
    with open_pairs(path) as (count, found):
        taken = list(found)
    assert len(taken) == count
    return taken


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_pairs(tmp_path / "x.h5", [b"a", b"bb", b"\0" * 100_000, b"d"])
    assert everything(tmp_path / "x.h5") == [(b"a", b"bb"), (b"\0" * 100_000, b"d")]


def test_compressed_and_chunked(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w", libver="latest") as file:
        for name in pairs.NAMES:
            rows = file.create_dataset(name, 3, BYTES, chunks=(2,), compression="gzip")
            for number in range(3):
                rows[number] = np.full(number + 1, 7, np.uint8)
    assert everything(tmp_path / "x.h5") == [(b"\7" * n,) * 2 for n in (1, 2, 3)]


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"), open_pairs(tmp_path / "x.h5"):
        pass


def _file(path: Path, **datasets: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            if isinstance(value, list):
                rows = file.create_dataset(name, len(value), BYTES)
                for number, item in enumerate(value):
                    rows[number] = np.frombuffer(item, np.uint8)
            else:
                file[name] = value
    return path


@pytest.mark.parametrize(
    ("datasets", "problem"),
    [
        ({"image0": [b"a"]}, "has no dataset 'image1'"),
        ({"image0": [b"a"], "image1": [b"a", b"b"]}, "1 and 2 images are not pairs"),
        ({"image0": [], "image1": []}, "1 to 1024 images"),
        ({"image0": [b"a"] * 1025, "image1": [b"a"] * 1025}, "1 to 1024 images"),
        ({"image0": [b""], "image1": [b"a"]}, r"image0\[0\] has 0 bytes"),
        ({"image0": np.zeros(3), "image1": [b"a"]}, "must be variable-length uint8"),
        ({"image0": h5py.SoftLink("/image1"), "image1": [b"a"]}, "of its own"),
        ({"image0": h5py.ExternalLink("/etc/x", "/x"), "image1": [b"a"]}, "of its own"),
    ],
)
def test_refusals(tmp_path: Path, datasets: dict[str, Any], problem: str) -> None:
    file = _file(tmp_path / "x.h5", **datasets)
    with pytest.raises(PairsError, match=problem) as caught:
        everything(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert str(caught.value).isprintable()


def test_groups_external_storage_and_virtual_datasets(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("image0")
        file.create_group("image1")
    with pytest.raises(PairsError, match="is not a dataset"):
        everything(tmp_path / "x.h5")
    with h5py.File(tmp_path / "y.h5", "w") as file:
        for name in pairs.NAMES:
            file.create_dataset(name, (9,), "u1", external=[("/etc/hostname", 0, 9)])
    with pytest.raises(PairsError, match="stored in another file"):
        everything(tmp_path / "y.h5")
    layout = h5py.VirtualLayout((1,), BYTES)
    layout[0:1] = h5py.VirtualSource("y.h5", "image0", (1,), BYTES)
    with h5py.File(tmp_path / "z.h5", "w") as file:
        for name in pairs.NAMES:
            file.create_virtual_dataset(name, layout)
    with pytest.raises(PairsError, match="stored in another file"):
        everything(tmp_path / "z.h5")


@pytest.mark.parametrize("data", [b"", b"text\n" * 100, b"\x89HDF\r\n\x1a\n" + b"\0" * 600])
def test_other_files(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.h5").write_bytes(data)
    with pytest.raises(PairsError, match="not a readable HDF5 file"):
        everything(tmp_path / "x.h5")


def test_a_worker_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pairs(tmp_path / "x.h5", [b"a", b"b"])
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(PairsError, match="the HDF5 library failed on it"):
        everything(tmp_path / "x.h5")


def _say(*parts: bytes | int) -> io.BytesIO:
    return io.BytesIO(b"".join(LENGTH.pack(p) if isinstance(p, int) else p for p in parts))


@pytest.mark.parametrize(
    "said",
    [
        (b"",),
        (b"x",),
        (COUNT,),
        (COUNT, 0),
        (COUNT, 1025),
        (COUNT, 2**63),
        (COUNT, 1, IMAGE, 0),
        (COUNT, 1, IMAGE, 2**40),
        (COUNT, 1, IMAGE, 5, b"abc"),
        (COUNT, 1, IMAGE, 1, b"a"),
        (COUNT, 1, IMAGE, 1, b"a", ERROR, b"two\nlines\0" * 900),
        (COUNT, 1, IMAGE, 1, b"a", COUNT, 1),
        (ERROR, b"\xff\xfe"),
    ],
)
def test_a_worker_that_says_something_else(said: tuple[bytes | int, ...]) -> None:
    with pytest.raises(PairsError) as caught:
        list(receive(Path("x.h5"), _say(*said))[1])
    assert str(caught.value).startswith("x.h5: ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 3000


def test_the_worker_says_what_is_wrong_in_the_middle(tmp_path: Path) -> None:
    _file(tmp_path / "x.h5", image0=[b"a", b"b"], image1=[b"a", b""])
    target = io.BytesIO()
    pairs_worker.serve(os.fspath(tmp_path / "x.h5"), target)
    said = target.getvalue()
    assert said.startswith(COUNT + LENGTH.pack(2) + IMAGE + LENGTH.pack(1) + b"a")
    assert said.endswith(b"image1[1] has 0 bytes; it must be 1 to 16777216")
