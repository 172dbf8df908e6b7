"""Targets: pictures, arrays, crops that say how they were made, faces in photos, HDF5 pairs."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.official.stages import pairs_worker
from benchmarks.official.stages.pairs import NAMES, PairsError, receive
from fhe_face.demo_faces import demo_faces
from fhe_face.models.faces import Aligner, FaceError, Preparation
from fhe_face.photos.images import ImageError, decode_photo, load_unit
from fhe_face.photos.preparation import given, prepare, save_crop
from fuzz.mutators import mutate_bytes
from fuzz.target import Scratch, Target

#: Of processor time, for a file of two pairs.
_HDF5_SECONDS = 2


def _encoded(pixels: NDArray[Any], kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def _pictures() -> list[bytes]:
    """Every format that is read, small."""
    colour = demo_faces(24)[0]
    grey = colour[..., 0]
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    seeds = [_encoded(colour, kind) for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")]
    seeds += [_encoded(grey, "GIF"), _encoded(grey.astype(np.uint16) * 257, "PNG")]
    seeds += [_encoded(np.dstack([colour, grey]), "PNG"), _encoded(colour, "JPEG", exif=exif)]
    seeds += [_encoded(colour, "TIFF", compression="tiff_lzw")]
    seeds += [_encoded(colour, "JPEG", progressive=True)]
    return seeds


def picture_target(_folder: Path) -> Target:
    def parse(data: bytes) -> None:
        pixels = decode_photo(data, "picture")
        assert pixels.ndim == 3
        assert pixels.dtype == np.uint8

    return Target("picture", parse, (ImageError,), _pictures(), mutate_bytes)


def array_target(folder: Path) -> Target:
    scratch = Scratch(folder, "face.npy")
    seeds = []
    for array in (np.zeros((64, 64, 3), np.uint8), np.zeros((3, 64, 64), np.float32)):
        stream = io.BytesIO()
        np.save(stream, array)
        seeds.append(stream.getvalue())

    def parse(data: bytes) -> None:
        load_unit(scratch.holding(data))

    return Target("array", parse, (ImageError,), seeds, _mutate_front)


def crop_target(folder: Path) -> Target:
    scratch = Scratch(folder, "crop.png")
    scratch.path.unlink(missing_ok=True)
    save_crop(scratch.path, demo_faces()[0], Preparation.aligned(64, "ab" * 32))
    seeds = [scratch.path.read_bytes()]

    def parse(data: bytes) -> None:
        given(scratch.holding(data), 64)

    return Target("crop", parse, (ImageError,), seeds, mutate_bytes)


def photo_target(folder: Path) -> Target:
    """Decoding, then the detector: the first bytes of an input make the picture's shape."""
    scratch = Scratch(folder, "photo.ppm")
    aligner = Aligner(64)
    face = demo_faces(128)[0]
    seeds = [b"\x80\x80" + face.tobytes(), b"\x01\xff" + bytes(3 * 255), b"\x40\x40" + b"x" * 99]

    def parse(data: bytes) -> None:
        high, wide = (1 + (data[i] if i < len(data) else 0) for i in range(2))
        if data[:2] == b"\x80\x80":
            high = wide = 128
        pixels = np.resize(np.frombuffer(data[2:] or b"\0", np.uint8), (high, wide, 3))
        prepare(scratch.holding(_encoded(pixels, "PPM")), 64, aligner=aligner)

    return Target("photo", parse, (ImageError, FaceError), seeds, mutate_bytes)


def hdf5_target(folder: Path) -> Target:
    """The worker in a forked process, where the HDF5 library may crash, and what is heard of it."""
    import h5py

    scratch = Scratch(folder, "test_pairs.h5")
    seeds = []
    for options in ({}, {"chunks": (1,), "compression": "gzip"}):
        with h5py.File(scratch.path, "w") as file:
            for name in NAMES:
                made = file.create_dataset(name, 2, h5py.vlen_dtype(np.uint8), **options)
                for place in range(2):
                    made[place] = np.arange(40 + place, dtype=np.uint8)
        seeds.append(scratch.path.read_bytes())

    def parse(data: bytes) -> None:
        scratch.holding(data)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _work(scratch.path, writing)
        os.close(writing)
        try:
            with os.fdopen(reading, "rb") as stream:
                for left, right in receive(scratch.path, stream)[1]:
                    assert left
                    assert right
        finally:
            os.waitpid(child, 0)

    return Target("hdf5", parse, (PairsError,), seeds, mutate_bytes)


def _work(path: Path, target: int) -> None:
    """The worker's part in a child; never returns."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        pairs_worker.limit(_HDF5_SECONDS)
        with os.fdopen(target, "wb") as stream:
            pairs_worker.serve(os.fspath(path), stream)
    finally:
        os._exit(0)


def _mutate_front(data: bytes, draw: random.Random) -> bytes:
    """Mostly the header of an array, which is short."""
    if draw.random() < 0.2:
        return mutate_bytes(data, draw)
    return mutate_bytes(data[:128], draw) + data[128:]
