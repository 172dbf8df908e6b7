"""A subject of a few thousand slots, and its server in this process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhe_core.compiler import BATCH, SAFE, Packing, compile_batch, compile_match, compile_network
from fhe_core.compiler.architecture import architecture_of
from fhe_core.formats.ciphertexts import load_bundle, load_evaluation_keys, save_bundle
from fhe_core.plan import required_keys
from fhe_face.bench.subject import Subject
from fhe_face.circuit import Circuit
from fhe_face.engine import Engine
from fhe_face.models.synthetic import random_fused
from fhe_face.places import MANY, ONE
from fhe_face.progress import Stage
from fhe_face.server.computation import Server
from fhe_face.server.job import Job
from fhe_face.system import peak_memory_bytes
from tests.core import tiny

#: Images of a batch.
CAPACITY = 16


def tiny_subject() -> Subject:
    """Four patches and one block, with levels for a pair."""
    network = random_fused(0, channels=(4, 8), strides=(2,), embedding=8)
    parameters = tiny.chain(11, 14)
    shape = architecture_of(network)
    compiled = compile_network(shape, parameters, SAFE, tiny.ROOT)
    engine = Engine(
        Circuit("insecure-chain", tiny.ROOT),
        parameters,
        SAFE,
        compiled,
        compile_match(compiled.plan, parameters, SAFE),
        compile_network(shape, parameters, SAFE, tiny.ROOT, Packing.PAIR),
    )
    batch = compile_batch(shape, parameters, BATCH, tiny.ROOT, CAPACITY)
    many = Engine(
        Circuit("insecure-chain", tiny.ROOT, batch=True),
        parameters,
        BATCH,
        compiled,
        compile_match(batch.plan, parameters, BATCH),
        batch=batch,
    )
    return Subject(engine, network, tiny.images_for(network, 2), "no-file.safetensors", many)


@dataclass
class HereServer:
    """Does jobs as a server process would, and remembers them."""

    subject: Subject
    jobs: list[Job]

    def __call__(self, job: Job, stage: Stage) -> dict[str, Any]:
        self.jobs.append(job)
        network = self.subject.network
        many = Path(job.evaluation_key).parent.name == "batches"
        engine = self.subject.many if many else self.subject.engine
        assert engine is not None

        def load(_name: str) -> Any:
            return engine.parameters

        keys = load_evaluation_keys(
            job.evaluation_key, required_keys(engine.plans(), engine.parameters), load
        )
        pair = None if engine.pair is None else (engine.pair, engine.pair.tables(network))
        tables = engine.served.tables(network)
        server = Server(
            keys, engine.served, tables, engine.match_plan, threads=job.threads, pair=pair
        )
        kinds = MANY if many else ONE
        embed_seconds, pair_seconds = [], []
        for source, target in job.embed:
            started = time.perf_counter()
            result = server.embed(load_bundle(source, kinds.image, load))
            embed_seconds.append(time.perf_counter() - started)
            save_bundle(target, result)
        for both in job.pairs:
            first, second = (load_bundle(source, "image", load) for source, _ in both)
            started = time.perf_counter()
            results = server.embed_pair(first, second)
            pair_seconds.append(time.perf_counter() - started)
            for (_, target), result in zip(both, results, strict=True):
                save_bundle(target, result)
        stage("serving", 1, 1)
        return {
            "load_seconds": 0.1,
            "embed_seconds": embed_seconds,
            "pair_seconds": pair_seconds,
            "match_seconds": [],
            "packed_weight_bytes": server.packed_weight_bytes,
            "evaluation_key_memory_bytes": server.evaluation_key_memory_bytes,
            "peak_rss_bytes": peak_memory_bytes(),
            "threads": job.threads,
        }
