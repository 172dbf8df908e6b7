"""Reads a benchmark's HDF5 input in a process of its own: ``python -m ... FILE``.

The HDF5 library is large and written in C, and a damaged or hostile file can crash it. Here it may
die: the process holds nothing, its memory and processor time are limited, and what it says is
checked by :mod:`benchmarks.official.stages.pairs`. On stdout: ``N`` and the number of pairs (8
bytes), then for each picture ``I``, its length (8 bytes) and its bytes, pair after pair; at any
point, ``E`` and a line of text end it.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import Any, BinaryIO, Final

from benchmarks.official.stages.pairs import (
    COUNT,
    ERROR,
    IMAGE,
    LENGTH,
    MAX_IMAGE_BYTES,
    MAX_PAIRS,
    NAMES,
)

MEMORY_BYTES: Final = 2 << 30
#: 2,048 pictures take two; some damaged files keep the library busy for ever.
CPU_SECONDS: Final = 30
#: Deflate, shuffle, checksum and LZF: those that are compiled in.
_FILTERS: Final = {1, 2, 3, 32000}


class _InputError(ValueError):
    """What is wrong with the file, without its name."""


def main() -> None:
    """Limit this process, then read."""
    limit()
    serve(sys.argv[1], sys.stdout.buffer)


def limit(seconds: int = CPU_SECONDS) -> None:
    """Little memory and time, no core dumps, and no code from elsewhere."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A filter named by the file must not load a library from the disk.
    os.environ["HDF5_PLUGIN_PRELOAD"] = "::"


def serve(path: str, target: BinaryIO) -> None:
    """Send all images of a file, or one line that says what is wrong with it."""
    try:
        _send(path, target)
    except BrokenPipeError:
        raise
    except ImportError:
        _refuse(target, "reading it needs h5py: pip install 'fhe-face[official]'")
    except _InputError as error:
        _refuse(target, str(error))
    except Exception as error:  # h5py raises many kinds for damaged files
        reason = " ".join(str(error).split())[:160]
        _refuse(target, f"not a readable HDF5 file ({type(error).__name__}: {reason})")
    target.flush()


def _send(path: str, target: BinaryIO) -> None:
    import h5py

    with h5py.File(path, "r") as file:
        left, right = (_dataset(h5py, file, name) for name in NAMES)
        if left.shape != right.shape:
            raise _InputError(f"{left.shape[0]} and {right.shape[0]} images are not pairs")
        target.write(COUNT + LENGTH.pack(left.shape[0]))
        for place in range(left.shape[0]):
            for name, dataset in zip(NAMES, (left, right), strict=True):
                image = dataset[place].tobytes()
                if not 1 <= len(image) <= MAX_IMAGE_BYTES:
                    raise _InputError(
                        f"{name}[{place}] has {len(image)} bytes; it must be 1 to {MAX_IMAGE_BYTES}"
                    )
                target.write(IMAGE + LENGTH.pack(len(image)) + image)


def _dataset(h5py: Any, file: Any, name: str) -> Any:
    """A plain one-dimensional dataset of variable-length uint8, stored in this very file."""
    link = file.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise _InputError(f"has no dataset '{name}' of its own")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise _InputError(f"'{name}' is not a dataset")
    if dataset.is_virtual or dataset.external:
        raise _InputError(f"'{name}' is stored in another file")
    stored = dataset.id.get_create_plist()
    if not {stored.get_filter(i)[0] for i in range(stored.get_nfilters())} <= _FILTERS:
        raise _InputError(f"'{name}' is compressed in a way that is not part of HDF5")
    if h5py.check_vlen_dtype(dataset.dtype) != "uint8":
        raise _InputError(f"'{name}' holds {dataset.dtype}; it must be variable-length uint8")
    if dataset.ndim != 1 or not 1 <= dataset.shape[0] <= MAX_PAIRS:
        raise _InputError(
            f"'{name}' has shape {dataset.shape}; it must be 1 to {MAX_PAIRS} images in a row"
        )
    return dataset


def _refuse(target: BinaryIO, problem: str) -> None:
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in problem)
    target.write(ERROR + text.encode("utf-8", "replace"))


if __name__ == "__main__":
    main()
