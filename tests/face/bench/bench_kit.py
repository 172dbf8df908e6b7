"""A subject of a few thousand slots, and its server in this process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhe_core.compiler import BATCH, SAFE
from fhe_core.compiler.architecture import architecture_of
from fhe_core.formats.ciphertexts import load_bundle, load_evaluation_keys, save_bundle
from fhe_face.bench.subject import Subject
from fhe_face.circuit import Circuit
from fhe_face.engine import Engine
from fhe_face.models.synthetic import random_fused
from fhe_face.places import IMAGE, Packing
from fhe_face.progress import Stage
from fhe_face.server.job import Job
from fhe_face.server.server import FaceServer
from fhe_face.system import peak_memory_bytes
from tests.core import tiny

#: Images of a batch.
CAPACITY = 16


def tiny_subject() -> Subject:
    """Four patches and one block."""
    network = random_fused(0, channels=(4, 8), strides=(2,), embedding=8)
    parameters = tiny.chain(11, 14)
    circuit = Circuit("insecure-chain", tiny.ROOT)
    shape, packings = architecture_of(network), tuple(Packing)
    engine = Engine(circuit, parameters, shape, SAFE, BATCH, CAPACITY, packings)
    return Subject(engine, network, tiny.images_for(network, 2), "no-file.safetensors")


@dataclass
class HereServer:
    """Does jobs as a server process would, and remembers them."""

    subject: Subject
    jobs: list[Job]

    def __call__(self, job: Job, stage: Stage) -> dict[str, Any]:
        self.jobs.append(job)
        engine = self.subject.engine
        if Path(job.evaluation_key).parent.name == "batches":
            engine = engine.only([Packing.BATCH])
        else:
            engine = engine.only([Packing.ALONE])

        def load(_name: str) -> Any:
            return engine.parameters

        keys = load_evaluation_keys(job.evaluation_key, engine.keys(), load)
        server = FaceServer(keys, engine, self.subject.network, job.threads)
        embed_seconds = []
        for source, target in job.embed:
            started = time.perf_counter()
            result = server.embed(load_bundle(source, IMAGE, load))
            embed_seconds.append(time.perf_counter() - started)
            save_bundle(target, result)
        stage("serving", 1, 1)
        return {
            "load_seconds": 0.1 * len(self.jobs),
            "embed_seconds": embed_seconds,
            "match_seconds": [],
            "packed_weight_bytes": server.packed_weight_bytes,
            "evaluation_key_memory_bytes": server.evaluation_key_memory_bytes,
            "peak_rss_bytes": peak_memory_bytes(),
            "threads": job.threads,
        }


def packed(job: Job) -> list[str]:
    """How the faces of a job's files are packed."""
    return [Path(source).name.split(".")[1] for source, _ in job.embed]
