"""Keys and encrypted faces for batches in a folder, and a server in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fhe_core.compiler import CompiledBatch
from fhe_core.formats.ciphertexts import load_bundle, save_bundle
from fhe_core.secret.key import SecretKey
from fhe_face.bench.rig import Batch, RunJob, job_of, key_file_bytes
from fhe_face.bench.subject import Subject
from fhe_face.client.decryption import Client
from fhe_face.client.keymaking import make_keys
from fhe_face.places import MANY
from fhe_face.places import Batch as Places
from fhe_face.progress import Stage


@dataclass(frozen=True)
class BatchRig:
    """Files for the server, made by :meth:`prepare`; the folder is the caller's to remove."""

    subject: Subject
    folder: Path
    key: SecretKey
    threads: int
    run_job: RunJob

    @classmethod
    def prepare(
        cls, subject: Subject, folder: Path, threads: int, run_job: RunJob, stage: Stage
    ) -> BatchRig:
        """Make keys for the subject's batches.

        Raises:
            FileError: there is too little room, or a file cannot be written.
            ValueError: the subject has no engine for batches.
        """
        if subject.many is None:
            raise ValueError("a subject without an engine for batches")
        folder = folder.resolve()
        key = make_keys(folder, subject.many, threads=threads, stage=stage)
        return cls(subject, folder, key, threads, run_job)

    @property
    def evaluation_key_bytes(self) -> int:
        """Size of the file that goes to the server."""
        return key_file_bytes(self.folder)

    def measure(self, size: int, stage: Stage) -> Batch:
        """``size`` faces in as few batches as possible, the subject's images over and over.

        Nothing warms up: a batch takes minutes.
        """
        images, room = len(self.subject.images), self._compiled.capacity
        faces = [number % images for number in range(size)]
        batches = [faces[first : first + room] for first in range(0, size, room)]
        files = [self._encrypt(number, own, stage) for number, own in enumerate(batches)]
        job = job_of(self.folder, self.subject, self.threads, embed=tuple(files))
        report = self.run_job(job, stage)
        accuracy = []
        for own, (_, target) in zip(batches, files, strict=True):
            accuracy += self._accuracy(target, own)
        return Batch(size, report["embed_seconds"], accuracy, report)

    @property
    def _compiled(self) -> CompiledBatch:
        assert self.subject.many is not None
        assert self.subject.many.batch is not None
        return self.subject.many.batch

    def _encrypt(self, number: int, faces: list[int], stage: Stage) -> tuple[str, str]:
        """The encrypted batch, and where its embeddings go."""
        stage("encrypting", 0, 0)
        assert self.subject.many is not None
        client = Client(self.key, self._compiled.plan, self.subject.many.match_plan)
        images = np.stack([self.subject.images[face] for face in faces])
        bundle = client.encrypt_images(images, self._compiled)
        source = self.folder / f"faces{number}.ct"
        save_bundle(source, bundle)
        stage("encrypting", 1, 1)
        return str(source), str(self.folder / f"faces{number}.embedding.ct")

    def _accuracy(self, file: str, faces: list[int]) -> list[dict[str, Any]]:
        parameters = self.subject.engine.parameters
        bundle = load_bundle(file, MANY.embedding, lambda _name: parameters)
        places = Places.from_facts(bundle.facts, parameters.slots)
        values = [self.key.decrypt(item).real for item in list(bundle.items.values())[::2]]
        found = []
        for number, face in enumerate(faces):
            half, start = places.locate(number)
            found.append(self.subject.accuracy(values[half][start:], face))
        return found
