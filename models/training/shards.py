"""Generated faces in files of 500 that are each written whole, with a teacher's embeddings or not.

Making them can be stopped at any time and goes on where it stopped; every file is a function of
the seed and its number alone.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.generated import CANVAS, INNER, aligned_faces
from fhe_face.models.training.loop import seed_of
from fhe_face.models.training.state import read_record, write_atomically, write_record
from fhe_face.models.training.teacher import Teacher

#: Faces in a file.
SHARD: Final = 500
FACTS_FILE: Final = "faces.json"
#: What `models.training.generated` writes, which is taken as well.
_WHOLE: Final = "faces.npy"


class Canvases:
    """Pictures (80, 80, 3) uint8 RGB of faces, the crop of 64 in their middle, by number."""

    def __init__(self, folder: Path) -> None:
        """`folder`: of `make`, or of `models.training.generated`. TrainingError: neither."""
        whole = folder / _WHOLE
        files = [whole] if whole.exists() else sorted(folder.glob("faces-*.npy"))
        if not files:
            raise TrainingError(f"{folder}: no generated faces in it (faces-00000.npy, ...)")
        self._parts = [_opened(file) for file in files]
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(N, 80, 80, 3) of the numbers `rows` (N,), in their order."""
        out = np.empty((len(rows), CANVAS, CANVAS, 3), np.uint8)
        places = np.searchsorted(self._starts, rows, side="right") - 1
        for place in np.unique(places):
            own = places == place
            out[own] = self._parts[place][rows[own] - self._starts[place]]
        return out


def make(folder: Path, count: int, seed: int, teacher: Teacher | None = None) -> Iterator[int]:
    """Fill `folder` up to `count` faces, rounded up to whole files; yields how many there are.

    teacher: writes what it makes of every face beside it, targets-00000.npy (N, 128) float32.
    TrainingError: a package is missing, the folder holds faces of another seed, or count < 1.
    """
    if count < 1:
        raise TrainingError(f"count is {count}; it must be at least 1")
    facts = {"seed": seed, "canvas": CANVAS, "shard": SHARD}
    found = read_record(folder / FACTS_FILE)
    if found and found != facts:
        raise TrainingError(f"{folder}: holds faces of {found}, not {facts}; name another folder")
    for number in range(-(-count // SHARD)):
        file = folder / f"faces-{number:05}.npy"
        targets = folder / f"targets-{number:05}.npy"
        if not file.exists() or (teacher is not None and not targets.exists()):
            faces = _drawn(seed_of(seed, "faces", number))
            write_record(folder / FACTS_FILE, facts)
            if teacher is not None:
                _save(targets, teacher.embed(faces.large).cpu().numpy())
            _save(file, faces.small)
        yield (number + 1) * SHARD


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The same faces as they are stored (N, 80, 80, 3), and for the teacher (N, 112, 112, 3)."""

    small: NDArray[np.uint8]
    large: NDArray[np.uint8]


def _drawn(seed: int) -> _Drawn:
    from fhe_face.models.faces.opencv import opencv

    cv2 = opencv()
    made: list[NDArray[np.uint8]] = []
    for batch in aligned_faces(seed):
        made += list(batch)
        if len(made) >= SHARD:
            break
    large = np.stack(made[:SHARD])
    small = [cv2.resize(f, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR) for f in large]
    return _Drawn(np.stack(small), np.ascontiguousarray(large[:, INNER, INNER]))


def _save(file: Path, array: NDArray[Any]) -> None:
    content = io.BytesIO()
    np.save(content, array)
    write_atomically(file, content.getvalue())


def _opened(file: Path) -> NDArray[np.uint8]:
    try:
        faces = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise TrainingError(f"{file}: cannot be read ({error})") from None
    if faces.dtype != np.uint8 or faces.ndim != 4 or faces.shape[1:] != (CANVAS, CANVAS, 3):
        raise TrainingError(
            f"{file}: {faces.dtype} {faces.shape}, not faces (N, {CANVAS}, {CANVAS}, 3) uint8"
        )
    return np.asarray(faces)
