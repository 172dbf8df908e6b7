"""Stage ``client_preprocess_input SIZE``: from encoded pictures to aligned faces. No keys here."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.official.stages.layout import Folder, Instance, make_folder
from benchmarks.official.stages.pairs import open_pairs, wrong
from benchmarks.official.stages.program import Progress, for_instance
from fhe_core.files import FileError, atomic_write, shown
from fhe_face.circuit import INPUT_SIZE
from fhe_face.models.faces import Aligner, Alignment, Flag
from fhe_face.photos.images import decode_photo

Pixels = NDArray[np.uint8]
#: A random name of a prepared pair. It travels with its ciphertexts and says nothing of the faces.
TAG_BYTES: Final = 16


class Finder(Protocol):
    """Finds the largest face of a picture (H, W, 3)."""

    def align(self, image: Pixels) -> Alignment: ...


class PreparedPair(NamedTuple):
    """faces: uint8 (2, 64, 64, 3) RGB; found: whether each is a face that was found, or given;
    source: SHA-256 of the encoded pictures; tag: see TAG_BYTES."""

    faces: Pixels
    found: NDArray[np.uint8]
    source: bytes
    tag: bytes


def preprocess(instance: Instance, progress: Progress, finder: Finder | None = None) -> None:
    """Prepare all pairs; those of an earlier run with the same pictures are kept.

    Raises:
        FileError, PairsError: the input is missing or damaged, or a file cannot be written.
        ImageError: a picture cannot be decoded.
        DetectorError: the detector cannot run.
    """
    kept = without = 0
    with open_pairs(instance.input) as (count, pairs):
        if count > instance.pairs:
            raise wrong(instance.input, f"{count} pairs; size {instance.size} has fewer")
        if count < instance.pairs:
            progress.say(f"warning: {count} pairs only; size {instance.size} has {instance.pairs}")
        make_folder(instance.prepared.path.parent, private=True)
        instance.begin(instance.prepared)
        for number, pictures in enumerate(pairs):
            source = _digest(pictures)
            found = read(instance.prepared, number)
            if found is not None and found.source == source:
                kept += 1
            else:
                finder = finder or Aligner(INPUT_SIZE)
                found = _prepared(pictures, source, finder, f"pair {number + 1}")
                _write(instance.prepared.file(number), found)
            without += int(np.sum(found.found == 0))
            progress.pairs(number + 1, count, kept)
    instance.prepared.drop_from(count)
    if without:
        progress.say(f"warning: no face found in {without} pictures; they were only scaled")
    instance.prepared.complete(count, without_face=without)


def read(folder: Folder, number: int) -> PreparedPair | None:
    """A prepared pair; None where it is missing or damaged."""
    try:
        with np.load(folder.file(number), allow_pickle=False) as archive:
            arrays: dict[str, Any] = {name: archive[name] for name in PreparedPair._fields}
    except Exception:  # numpy and zipfile raise many kinds for damaged files
        return None
    shapes = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    if shapes != _SHAPES:
        return None
    return PreparedPair(
        arrays["faces"], arrays["found"], arrays["source"].tobytes(), arrays["tag"].tobytes()
    )


def require(folder: Folder, number: int) -> PreparedPair:
    """A prepared pair.

    Raises:
        FileError: it is missing or damaged.
    """
    found = read(folder, number)
    if found is None:
        raise FileError(
            f"{shown(folder.file(number))}: missing or damaged; run client_preprocess_input again"
        )
    return found


def _prepared(
    pictures: tuple[bytes, bytes], source: bytes, finder: Finder, name: str
) -> PreparedPair:
    crops, found = [], []
    for picture, side in zip(pictures, ("first", "second"), strict=True):
        pixels = decode_photo(picture, f"{name}, {side} picture")
        if pixels.shape == (INPUT_SIZE, INPUT_SIZE, 3):
            crops.append(pixels)  # aligned already
            found.append(1)
            continue
        crop = finder.align(pixels).crops[0]
        crops.append(crop.pixels)
        found.append(int(Flag.NO_FACE not in crop.flags))
    return PreparedPair(np.stack(crops), np.array(found, np.uint8), source, os.urandom(TAG_BYTES))


def _digest(pictures: tuple[bytes, bytes]) -> bytes:
    return hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in pictures)).digest()


def _write(path: Path, pair: PreparedPair) -> None:
    with atomic_write(path, private=True) as stream:
        np.savez(
            stream,
            faces=pair.faces,
            found=pair.found,
            source=np.frombuffer(pair.source, np.uint8),
            tag=np.frombuffer(pair.tag, np.uint8),
        )


_SHAPES: Final = {
    "faces": ((2, INPUT_SIZE, INPUT_SIZE, 3), "uint8"),
    "found": ((2,), "uint8"),
    "source": ((32,), "uint8"),
    "tag": ((TAG_BYTES,), "uint8"),
}


def main() -> None:
    for_instance("client_preprocess_input", preprocess)
