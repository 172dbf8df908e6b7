"""The benchmark's input: encoded pictures in pairs. Nothing of HDF5 runs in this process."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from fhe_core.files import FileError, one_line, open_regular, shown

NAMES: Final = ("image0", "image1")
MAX_PAIRS: Final = 1024
MAX_IMAGE_BYTES: Final = 16 << 20
MAX_FILE_BYTES: Final = 8 << 30
#: What the worker says starts with one of these.
COUNT, IMAGE, ERROR = b"N", b"I", b"E"
LENGTH: Final = struct.Struct("<Q")
_MAX_TEXT: Final = 400
_WORKER: Final = "benchmarks.official.stages.pairs_worker"
_ROOT: Final = Path(__file__).resolve().parents[3]


class PairsError(FileError):
    """An input that cannot be used; one line that names the file."""

    code = "pairs"


def wrong(path: Path, problem: str) -> PairsError:
    """The error for a file."""
    return PairsError(one_line(f"{shown(path)}: {problem}"))


@contextmanager
def open_pairs(path: Path) -> Iterator[tuple[int, Iterator[tuple[bytes, bytes]]]]:
    """The number of pairs in an HDF5 file, and the encoded pictures of each in order.

    Raises:
        FileError: there is no such file.
        PairsError: it is not such a file; also while pairs are taken.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            raise wrong(path, f"over {MAX_FILE_BYTES} bytes")
    process = subprocess.Popen(
        [sys.executable, "-m", _WORKER, os.fspath(path.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=_ROOT,
    )
    assert process.stdout is not None
    try:
        yield receive(path, process.stdout)
    finally:
        process.stdout.close()
        process.kill()
        process.wait()


def receive(path: Path, source: IO[bytes]) -> tuple[int, Iterator[tuple[bytes, bytes]]]:
    """What the worker sends, with every length checked before it is read.

    Raises:
        PairsError: as :func:`open_pairs`.
    """
    count = _number(path, source, COUNT)
    if not 1 <= count <= MAX_PAIRS:
        raise wrong(path, f"{count} pairs; it must be 1 to {MAX_PAIRS}")
    return count, _images(path, source, count)


def _images(path: Path, source: IO[bytes], count: int) -> Iterator[tuple[bytes, bytes]]:
    for place in range(count):
        yield _image(path, source, place), _image(path, source, place)


def _image(path: Path, source: IO[bytes], place: int) -> bytes:
    length = _number(path, source, IMAGE)
    if not 1 <= length <= MAX_IMAGE_BYTES:
        raise wrong(path, f"a picture of pair {place + 1} is empty, damaged or too large")
    image = source.read(length)
    if len(image) < length:
        raise _died(path)
    return image


def _number(path: Path, source: IO[bytes], expected: bytes) -> int:
    """The number that follows the tag `expected`."""
    tag = source.read(1)
    if tag == ERROR:
        text = source.read(_MAX_TEXT).decode("utf-8", "replace")
        raise wrong(path, text)
    if tag != expected:
        raise _died(path)
    data = source.read(LENGTH.size)
    if len(data) < LENGTH.size:
        raise _died(path)
    return int(LENGTH.unpack(data)[0])


def _died(path: Path) -> PairsError:
    return wrong(path, "the HDF5 library failed on it: it is damaged, or too large")
