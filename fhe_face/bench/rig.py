"""A client's keys and encrypted faces in a folder, and a server in a process of its own.

A process's peak memory is its own only: so every measurement of memory is a process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhe_core.formats.ciphertexts import load_bundle, save_bundle
from fhe_face.bench.subject import Subject
from fhe_face.client.client import FaceClient
from fhe_face.client.keymaking import EVALUATION_KEY, make_keys
from fhe_face.models.faces import Preparation
from fhe_face.photos.preparation import PreparedFace
from fhe_face.places import EMBEDDING, Packing, numbered, runs_of
from fhe_face.progress import Stage
from fhe_face.server.job import Job

#: Does a job and returns its report: `fhe_face.local.process.run_job`, or a test's own.
RunJob = Callable[[Job, Stage], dict[str, Any]]
#: Faces of a file, where several travel together.
TOGETHER = 2
#: How faces are packed, and which of the subject's images they are.
Group = tuple[Packing, list[int]]


@dataclass(frozen=True)
class Batch:
    """What one server process reported on ``faces`` embeddings.

    Attributes:
        seconds: of every file (a face, two, or a batch), without the one that warmed up.
        encrypt_seconds: of every file.
        accuracy: of every face, one entry.
        report: of the server.
    """

    faces: int
    seconds: list[float]
    encrypt_seconds: list[float]
    accuracy: list[dict[str, Any]]
    report: dict[str, Any]

    @property
    def seconds_per_face(self) -> float:
        """Of the whole batch."""
        return sum(self.seconds) / self.faces

    @property
    def median_seconds(self) -> float:
        """Of a file."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Rig:
    """Keys in a folder, made by :meth:`prepare`; the folder is the caller's to remove."""

    subject: Subject
    folder: Path
    client: FaceClient
    threads: int
    keygen_seconds: float
    run_job: RunJob

    @classmethod
    def prepare(
        cls,
        subject: Subject,
        packings: Collection[Packing],
        folder: Path,
        threads: int,
        run_job: RunJob,
        stage: Stage,
    ) -> Rig:
        """Make keys for some of the subject's packings.

        Raises:
            FileError: there is too little room, or a file cannot be written.
        """
        engine = subject.engine.only(p for p in subject.engine.packings if p in packings)
        folder = folder.resolve()
        started = time.perf_counter()
        key = make_keys(folder, engine, threads=threads, stage=stage)
        elapsed = time.perf_counter() - started
        return cls(subject, folder, FaceClient(key, engine), threads, elapsed, run_job)

    @property
    def evaluation_key_bytes(self) -> int:
        """Size of the file that goes to the server."""
        return (self.folder / EVALUATION_KEY).stat().st_size

    @property
    def first_face_bytes(self) -> int:
        """Size of the first file that goes to the server: one face, after :meth:`alone`."""
        return (self.folder / f"{_name(0, Packing.ALONE)}.ct").stat().st_size

    def alone(self, repeat: int, stage: Stage) -> Batch:
        """``repeat`` embeddings, one face at a time, after one to warm up."""
        images = len(self.subject.images)
        groups = [(Packing.ALONE, [number % images]) for number in range(repeat + 1)]
        return self._measure(groups, 1, stage)

    def together(self, size: int, stage: Stage) -> Batch:
        """``size`` faces one at a time, two to a file (a last odd one by itself), after one file to
        warm up.

        Raises:
            ValueError: fewer than two faces.
        """
        if size < TOGETHER:
            raise ValueError("a batch has at least two faces")
        images = len(self.subject.images)
        faces = [number % images for number in range(size)]
        groups = [
            (Packing.ALONE, faces[first : first + TOGETHER]) for first in range(0, size, TOGETHER)
        ]
        return self._measure([groups[0], *groups], 1, stage)

    def batches(self, size: int, stage: Stage) -> Batch:
        """``size`` faces in as few batches as possible, the subject's images over and over.

        Nothing warms up: a batch takes minutes.
        """
        images, room = len(self.subject.images), self.subject.engine.capacity
        faces = [number % images for number in range(size)]
        groups = [(Packing.BATCH, faces[first : first + room]) for first in range(0, size, room)]
        return self._measure(groups, 0, stage)

    def _measure(self, groups: Sequence[Group], warm: int, stage: Stage) -> Batch:
        """A file for each group; the first ``warm`` ones do not count."""
        elapsed, files = [], []
        for number, group in enumerate(groups):
            stage("encrypting", number, len(groups))
            started = time.perf_counter()
            files.append(self._encrypt(_name(number, group[0]), group))
            elapsed.append(time.perf_counter() - started)
        stage("encrypting", len(groups), len(groups))
        job = Job(
            evaluation_key=str(self.folder / EVALUATION_KEY),
            weights=str(Path(self.subject.weights).resolve()),
            threads=self.threads,
            embed=tuple(files),
            match=(),
        )
        report = self.run_job(job, stage)
        accuracy = []
        for (_, target), (_, faces) in list(zip(files, groups, strict=True))[warm:]:
            accuracy += self._accuracy(target, faces)
        return Batch(len(accuracy), report["embed_seconds"][warm:], elapsed, accuracy, report)

    def _encrypt(self, name: str, group: Group) -> tuple[str, str]:
        """The encrypted faces, and where their embeddings go."""
        packing, numbers = group
        how = Preparation.as_given(self.subject.engine.circuit.input_size)
        images = [self.subject.images[number] for number in numbers]
        faces = [PreparedFace(image, "as-given", how) for image in images]
        runs = [(packing, len(faces))]
        if packing is Packing.ALONE:
            runs = [(packing, 1)] * len(faces)
        bundle = self.client.encrypt(faces, runs=numbered(runs))
        save_bundle(self.folder / f"{name}.ct", bundle)
        return str(self.folder / f"{name}.ct"), str(self.folder / f"{name}.embedding.ct")

    def _accuracy(self, file: str, faces: Sequence[int]) -> list[dict[str, Any]]:
        """Of every face of a file, whether it is healthy or not."""
        engine = self.subject.engine
        bundle = load_bundle(file, EMBEDDING, lambda _name: engine.parameters)
        found = []
        for run in runs_of(bundle.facts, engine.capacity):
            values = self.client.key.decrypt(bundle.items[engine.item_names(EMBEDDING, run)[0]])
            for place, number in enumerate(run.numbers):
                own = values[engine.places.slots(place, self.subject.network.embedding)]
                found.append(self.subject.accuracy(own, faces[number]))
        return found


def _name(number: int, packing: Packing) -> str:
    """Of a file's faces, without its ending."""
    return f"{number}.{packing.value}"
