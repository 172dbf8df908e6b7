"""Portraits as training data, one photo of each person: aligned, mixed, with teacher embeddings.

Generated faces are no photos, and a student learns their grain as well. A few hundred free
portraits are real skin, light and lenses, but few people: so most pictures are mixes of two, along
smooth borders or all over, and the teacher says how each of them is to be embedded. Nobody's
name is used, and no two photos of one person are needed.
"""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.faces import Aligner
from fhe_face.models.faces.opencv import opencv
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.generated import Drawn, for_teacher, with_margin
from fhe_face.models.training.loop import seed_of
from fhe_face.models.training.photographs import face_of, photographs
from fhe_face.models.training.shards import SHARD, fill
from fhe_face.models.training.teacher import Teacher

#: The share of portraits that only the last file shows, which is never trained on.
_HELD_OUT: Final = 0.1
_FEWEST: Final = 20
#: The teacher's cosine from which two photos may be of one person. OpenCV takes 0.363 for its
#: model; one missed is worse than a few too many: 1 in 20,000 pairs of strangers has more.
_SAME_PERSON: Final = 0.45
#: Of the mixes, those that are two pictures all over, not side by side.
_ALL_OVER: Final = 0.3
#: Of the mixes, those with another background: portraits of one source often share theirs.
_ELSEWHERE: Final = 0.5


@dataclass(frozen=True, eq=False)
class Portraits:
    """Aligned portraits (N, 140, 140, 3) uint8 RGB: the template at 112 with a margin of 14."""

    faces: NDArray[np.uint8]

    @property
    def digest(self) -> str:
        """Of all their pixels, in order."""
        return hashlib.sha256(self.faces.tobytes()).hexdigest()

    def apart_from(self, people: NDArray[np.uint8], teacher: Teacher) -> "Portraits":
        """Without those that the teacher takes for one of `people` (M, 112, 112, 3): whoever a
        result is reported of is not trained on, under any name."""
        own = teacher.embed(for_teacher(self.faces))
        likeness = own @ teacher.embed(people).T
        return Portraits(self.faces[(likeness < _SAME_PERSON).all(1).cpu().numpy()])


def read_portraits(folder: Path) -> Portraits:
    """The most certain face of each picture in `folder`, in the order of names; pictures without
    one are left out. TrainingError: a file cannot be read, or fewer than 20 faces."""
    files = photographs(folder)
    aligner = Aligner()
    found = [face for face in (_aligned(aligner, file) for file in files) if face is not None]
    if len(found) < _FEWEST:
        raise TrainingError(
            f"{folder}: {len(found)} portraits in {len(files)} pictures; at least {_FEWEST} needed"
        )
    return Portraits(np.stack(found))


def make_portraits(
    folder: Path, portraits: Portraits, count: int, seed: int, teacher: Teacher
) -> Generator[int, None, None]:
    """Fill `folder` up to `count` pictures, rounded up to files of 500; yields how many there are.

    Pictures of the last file are of portraits that no other file shows. It can be stopped at any
    time and goes on where it stopped. TrainingError: the folder holds other pictures, or count
    is less than two files.
    """
    if count < 2 * SHARD:
        raise TrainingError(f"count is {count}; it must be at least {2 * SHARD}")
    facts = {"seed": seed, "pictures_sha256": portraits.digest, "count": count}
    own = portraits.faces
    held = max(2, round(len(own) * _HELD_OUT))
    files = -(-count // SHARD)

    def drawn(numbers: Sequence[int]) -> Iterator[Drawn]:
        for number in numbers:
            last = number == files - 1
            faces = own[-held:] if last else own[:-held]
            first = 0 if last else number * SHARD
            yield Drawn.of(_pictures(faces, first, seed_of(seed, "portraits", number)))

    yield from fill(folder, files, facts, teacher, drawn)


def mixed(
    one: NDArray[np.uint8], two: NDArray[np.uint8], random: np.random.Generator
) -> NDArray[np.uint8]:
    """Two aligned faces (S, S, 3) as one: parts of each with smooth borders, or both all over.
    The second one's colours are moved towards the first one's, by a random share."""
    first, second = one.astype(np.float32), two.astype(np.float32)
    if random.random() < 0.5:
        second = second[:, ::-1]
    axes = (0, 1)
    scale = first.std(axes) / np.maximum(second.std(axes), 1)
    alike = (second - second.mean(axes)) * scale + first.mean(axes)
    second = second + (alike - second) * random.uniform(0.3, 1)
    if random.random() < _ALL_OVER:
        share: Any = random.uniform(0.3, 0.7)
    else:
        share = _borders(one.shape[0], random)
    face = first + (second - first) * share
    if random.random() < _ELSEWHERE:
        face = _elsewhere(face, random)
    return np.asarray(np.rint(face).clip(0, 255), np.uint8)


def _elsewhere(face: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """The face (S, S, 3) before colours of several coarse grids, outside of a soft oval."""
    side = face.shape[0]
    behind = np.zeros_like(face) + random.uniform(20, 235, 3)
    for cells in (2, 5, 11, 23):
        grey, colour = (random.standard_normal((cells, cells, n)) for n in (1, 3))
        rough = (grey + 0.4 * colour) * random.uniform(0, 40)
        kind = random.choice([opencv().INTER_NEAREST, opencv().INTER_CUBIC])
        behind += opencv().resize(rough.astype(np.float32), (side, side), interpolation=kind)
    down, across = np.meshgrid(*[np.linspace(-1, 1, side)] * 2, indexing="ij")
    wide, high = random.uniform(0.5, 0.85), random.uniform(0.75, 1.1)
    distance = np.hypot(across / wide, (down - random.uniform(-0.05, 0.1)) / high)
    outside = 1 / (1 + np.exp((1 - distance) * random.uniform(15, 40)))
    return np.asarray(face + (behind.clip(0, 255) - face) * outside[..., None], np.float32)


def _borders(side: int, random: np.random.Generator) -> NDArray[np.float32]:
    """(side, side, 1) from 0 to 1: a few smooth regions."""
    rough = random.standard_normal((4, 4)).astype(np.float32)
    smooth = opencv().resize(rough, (side, side), interpolation=opencv().INTER_CUBIC)
    return np.asarray(1 / (1 + np.exp(-6 * smooth)), np.float32)[..., None]


def _pictures(faces: NDArray[np.uint8], first: int, seed: int) -> NDArray[np.uint8]:
    """One file's: the portraits from number `first` on and their mirror images, then mixes."""
    random = np.random.default_rng(seed)
    plain = np.concatenate([faces, faces[:, :, ::-1]])[first : first + SHARD]
    made = list(plain)
    while len(made) < SHARD:
        one, two = random.choice(len(faces), 2, replace=False)
        made.append(mixed(faces[one], faces[two], random))
    return np.stack(made)


def _aligned(aligner: Aligner, file: Path) -> NDArray[np.uint8] | None:
    found = face_of(aligner, file)
    return None if found is None else with_margin(*found)
