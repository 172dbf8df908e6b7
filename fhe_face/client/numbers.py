"""Decrypted numbers in .npy files. An embedding is a template of a face: mode 0600. Client only."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from fhe_core.files import FileKind, atomic_write


def _is_numbers(stream: BinaryIO) -> bool:
    """Float64 of at most two dimensions: a face as an array has three."""
    if np.lib.format.read_magic(stream) != (1, 0):
        return False
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    return dtype == np.float64 and len(shape) <= 2


#: What decrypted numbers may replace.
NUMBERS = FileKind("a .npy file of scores or embeddings", _is_numbers)


def save_numbers(path: Path, values: NDArray[np.float64]) -> None:
    """Write scores or embeddings, readable by their owner only.

    values: [length], [faces, length], [faces], or a single score [].

    Raises:
        FileError: the file cannot be written, or is of another kind.
    """
    with atomic_write(path, private=True, kind=NUMBERS) as stream:
        np.save(stream, values, allow_pickle=False)
