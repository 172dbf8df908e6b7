"""Generated faces without a teacher, in files of 500 that are each written whole.

Making them can be stopped at any time and goes on where it stopped; every file is a function of
the seed and its number alone.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.generated import CANVAS, aligned_faces
from fhe_face.models.training.loop import seed_of
from fhe_face.models.training.state import write_atomically

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


def make(folder: Path, count: int, seed: int) -> Iterator[int]:
    """Fill `folder` up to `count` faces, rounded up to whole files; yields how many there are.

    TrainingError: a package is missing, the folder holds faces of another seed, or count < 1.
    """
    if count < 1:
        raise TrainingError(f"count is {count}; it must be at least 1")
    facts = {"seed": seed, "canvas": CANVAS, "shard": SHARD}
    found = _facts(folder / FACTS_FILE)
    if found is not None and found != facts:
        raise TrainingError(f"{folder}: holds faces of {found}, not {facts}; name another folder")
    write_atomically(folder / FACTS_FILE, (json.dumps(facts) + "\n").encode())
    for number in range(-(-count // SHARD)):
        file = folder / f"faces-{number:05}.npy"
        if not file.exists():
            content = io.BytesIO()
            np.save(content, _drawn(seed_of(seed, "faces", number)))
            write_atomically(file, content.getvalue())
        yield (number + 1) * SHARD


def _drawn(seed: int) -> NDArray[np.uint8]:
    from fhe_face.models.faces.opencv import opencv

    cv2 = opencv()
    made: list[Any] = []
    for batch in aligned_faces(seed):
        small = (cv2.resize(f, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR) for f in batch)
        made += small
        if len(made) >= SHARD:
            break
    return np.stack(made[:SHARD])


def _facts(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TrainingError(f"{file}: cannot be read ({error})") from None


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
