"""A client's keys and encrypted faces in a folder, and a server in a process of its own.

A process's peak memory is its own only: so every measurement of memory is a process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhe_core.formats.ciphertexts import load_bundle, save_bundle
from fhe_core.secret.key import SecretKey
from fhe_face.bench.subject import Subject
from fhe_face.client.decryption import Client
from fhe_face.client.keymaking import EVALUATION_KEY, make_keys
from fhe_face.progress import Stage
from fhe_face.server.job import Job

#: Does a job and returns its report: `fhe_face.server.process.run_job`, or a test's own.
RunJob = Callable[[Job, Stage], dict[str, Any]]
#: Faces that the server computes together.
TOGETHER = 2


@dataclass(frozen=True)
class Batch:
    """What one server process reported on ``faces`` embeddings.

    Attributes:
        seconds: of every job (a face, or faces together), without the one that warmed up.
        accuracy: of every face, one entry.
        report: of the server.
    """

    faces: int
    seconds: list[float]
    accuracy: list[dict[str, Any]]
    report: dict[str, Any]

    @property
    def seconds_per_face(self) -> float:
        """Of the whole batch."""
        return sum(self.seconds) / self.faces

    @property
    def median_seconds(self) -> float:
        """Of a job."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Rig:
    """Files for the server, made by :meth:`prepare`; the folder is the caller's to remove."""

    subject: Subject
    folder: Path
    key: SecretKey
    threads: int
    keygen_seconds: float
    encrypt_seconds: list[float]
    run_job: RunJob

    @classmethod
    def prepare(
        cls, subject: Subject, folder: Path, threads: int, run_job: RunJob, stage: Stage
    ) -> Rig:
        """Make keys and encrypt the subject's faces.

        Raises:
            FileError: there is too little room, or a file cannot be written.
        """
        engine = subject.engine
        folder = folder.resolve()
        started = time.perf_counter()
        key = make_keys(folder, engine, threads=threads, stage=stage)
        keygen_seconds = time.perf_counter() - started
        client = Client(key, engine.served.plan, engine.match_plan)
        elapsed = []
        for number, image in enumerate(subject.images):
            stage("encrypting", number, len(subject.images))
            started = time.perf_counter()
            bundle = client.encrypt_image(image, engine.compiled)
            save_bundle(folder / _face(number), bundle)
            elapsed.append(time.perf_counter() - started)
        stage("encrypting", len(elapsed), len(elapsed))
        return cls(subject, folder, key, threads, keygen_seconds, elapsed, run_job)

    @property
    def evaluation_key_bytes(self) -> int:
        """Size of the file that goes to the server."""
        return key_file_bytes(self.folder)

    def alone(self, repeat: int, stage: Stage) -> Batch:
        """``repeat`` embeddings, one face at a time, after one to warm up."""
        faces = [number % len(self.subject.images) for number in range(repeat + 1)]
        embed = tuple(self._files(face, f"alone{n}") for n, face in enumerate(faces))
        report = self.run_job(self._job(embed=embed), stage)
        accuracy = [
            self._accuracy(target, face) for (_, target), face in zip(embed, faces, strict=True)
        ]
        return Batch(repeat, report["embed_seconds"][1:], accuracy[1:], report)

    def together(self, size: int, stage: Stage) -> Batch:
        """A batch of ``size`` faces, two together (a last odd one alone), after a pair to warm up.

        Raises:
            ValueError: fewer than two faces.
            CommandError: the circuit has no room for two faces.
        """
        if size < TOGETHER:
            raise ValueError("a batch has at least two faces")
        images = len(self.subject.images)
        faces = [(2 * n % images, (2 * n + 1) % images) for n in range(1 + size // TOGETHER)]
        pairs = tuple(
            (self._files(a, f"pair{n}a"), self._files(b, f"pair{n}b"))
            for n, (a, b) in enumerate(faces)
        )
        single = (self._files(0, "single"),) if size % TOGETHER else ()
        report = self.run_job(self._job(embed=single, pairs=pairs), stage)
        accuracy = [
            self._accuracy(target, face)
            for pair, both in zip(pairs[1:], faces[1:], strict=True)
            for (_, target), face in zip(pair, both, strict=True)
        ]
        accuracy += [self._accuracy(target, 0) for _, target in single]
        seconds = [*report["pair_seconds"][1:], *report["embed_seconds"]]
        return Batch(size, seconds, accuracy, report)

    def _job(self, **work: Any) -> Job:
        return job_of(self.folder, self.subject, self.threads, **work)

    def _files(self, face: int, name: str) -> tuple[str, str]:
        """The encrypted face, and where its embedding goes."""
        return str(self.folder / _face(face)), str(self.folder / f"{name}.embedding.ct")

    def _accuracy(self, file: str, face: int) -> dict[str, Any]:
        parameters = self.subject.engine.parameters
        bundle = load_bundle(file, "embedding", lambda _name: parameters)
        result = next(iter(bundle.items.values()))
        return self.subject.accuracy(self.key.decrypt(result).real, face)


def job_of(folder: Path, subject: Subject, threads: int, **work: Any) -> Job:
    """A job with the keys of the folder and the subject's weights."""
    return Job(
        evaluation_key=str(folder / EVALUATION_KEY),
        weights=str(Path(subject.weights).resolve()),
        threads=threads,
        **{"embed": (), "match": (), **work},
    )


def key_file_bytes(folder: Path) -> int:
    """Size of the evaluation keys of a folder."""
    return (folder / EVALUATION_KEY).stat().st_size


def _face(number: int) -> str:
    return f"face{number}.ct"
