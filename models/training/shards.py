"""Generated faces in files of 500 that are each written whole, with a teacher's embeddings or not.

Making them can be stopped at any time and goes on where it stopped; every file is a function of
the seed and its number alone.
"""

import io
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.generated import CANVAS, Drawn, aligned_faces
from fhe_face.models.training.loop import seed_of
from fhe_face.models.training.state import read_record, write_atomically, write_record
from fhe_face.models.training.teacher import Teacher

#: Faces in a file.
SHARD: Final = 500
FACTS_FILE: Final = "faces.json"


class Canvases:
    """Pictures (80, 80, 3) uint8 RGB of faces, the crop of 64 in their middle, by number."""

    def __init__(self, *folders: Path) -> None:
        """folders: of `make`, or of `models.training.generated`, one after the other.
        TrainingError: one is neither."""
        self._parts = [_opened(file) for folder in folders for file in _faces_files(folder)]
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


def _faces_files(folder: Path) -> list[Path]:
    files = stored(folder, "faces")
    if not files:
        raise TrainingError(
            f"{folder}: no generated faces in it (faces-00000.npy, ...); "
            "python -m fhe_face.models.training.generated makes them"
        )
    return files


def stored(folder: Path, kind: str) -> list[Path]:
    """The files of "faces" or "targets" in a folder: one of all of them, or one for every 500."""
    whole = folder / f"{kind}.npy"
    return [whole] if whole.exists() else sorted(folder.glob(f"{kind}-*.npy"))


def make(
    folder: Path, count: int, seed: int, teacher: Teacher | None = None, workers: int = 1
) -> Generator[int, None, None]:
    """Fill `folder` up to `count` faces, rounded up to whole files; yields how many there are.

    teacher: writes what it makes of every face beside it, targets-00000.npy (N, 128) float32.
    workers: processes that draw, one file each at a time; the faces are the same.
    TrainingError: a package is missing, the folder holds faces of another seed, or count or
    workers < 1.
    """
    if count < 1 or workers < 1:
        raise TrainingError(f"count is {count}, workers {workers}; both must be at least 1")
    facts = {"seed": seed, "canvas": CANVAS, "shard": SHARD}

    def drawn(numbers: Sequence[int]) -> Iterator[Drawn]:
        return _all_drawn(seed, numbers, workers)

    yield from fill(folder, -(-count // SHARD), facts, teacher, drawn)


def fill(
    folder: Path,
    files: int,
    facts: dict[str, Any],
    teacher: Teacher | None,
    drawn: Callable[[Sequence[int]], Iterator[Drawn]],
) -> Generator[int, None, None]:
    """Write what is missing of `files` files of 500 faces; yields how many faces there are.

    facts: what the folder's faces are a function of; drawn: the faces of files by number, in
    order. TrainingError: the folder holds faces of other facts.
    """
    found = read_record(folder / FACTS_FILE)
    if found and found != facts:
        raise TrainingError(f"{folder}: holds faces of {found}, not {facts}; name another folder")
    missing = [
        number
        for number in range(files)
        if not _faces_file(folder, number).exists()
        or (teacher is not None and not _targets_file(folder, number).exists())
    ]
    done = files - len(missing)
    if done:
        yield done * SHARD
    for number, faces in zip(missing, drawn(missing), strict=True):
        write_record(folder / FACTS_FILE, facts)
        if teacher is not None:
            _save(_targets_file(folder, number), teacher.embed(faces.large).cpu().numpy())
        _save(_faces_file(folder, number), faces.small)
        done += 1
        yield done * SHARD


def _faces_file(folder: Path, number: int) -> Path:
    return folder / f"faces-{number:05}.npy"


def _targets_file(folder: Path, number: int) -> Path:
    return folder / f"targets-{number:05}.npy"


def _all_drawn(seed: int, numbers: Sequence[int], workers: int) -> Iterator[Drawn]:
    """In order; at most two files for each process wait in memory."""
    seeds = [seed_of(seed, "faces", number) for number in numbers]
    if workers == 1 or len(seeds) < 2:
        yield from map(_drawn, seeds)
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(min(workers, len(seeds)), context, _alone) as pool:
        try:
            waiting = deque(pool.submit(_drawn, one) for one in seeds[: 2 * workers])
            for following in [*seeds[2 * workers :], *[None] * len(waiting)]:
                drawn = waiting.popleft().result()
                if following is not None:
                    waiting.append(pool.submit(_drawn, following))
                yield drawn
        finally:
            pool.shutdown(cancel_futures=True)


def _alone() -> None:
    """One process of many: one thread, told of Ctrl-C by its parent alone, and ending with it."""
    from fhe_face.models.faces.opencv import opencv

    threading.Thread(target=_follow, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    opencv().setNumThreads(1)


def _follow() -> None:
    """A parent that was killed leaves nobody behind: they would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _drawn(seed: int) -> Drawn:
    made: list[NDArray[np.uint8]] = []
    for batch in aligned_faces(seed):
        made += list(batch)
        if len(made) >= SHARD:
            break
    return Drawn.of(np.stack(made[:SHARD]))


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
