"""The server part as a process of its own: ``python -m fhe_face.server.job < job.json``.

It is given evaluation keys, weights and ciphertext files, and nothing else. The job is one JSON
object on stdin::

    {"evaluation_key": "evaluation.key", "weights": "x.safetensors" or null, "threads": 2,
     "embed": [["faces.ct", "embeddings.ct"], ...], "match": [["a.ct", "b.ct", "scores.ct"], ...]}

Every file holds 1 to n faces, and says how they are packed.

On stdout it answers with one JSON object a line: ``{"stage", "done", "total"}`` on the way, then
``{"report"}``, or ``{"error"}`` and exit status 1.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from fhe_core.container import Kind, read_header
from fhe_core.errors import Failure
from fhe_core.files import shown
from fhe_core.formats.ciphertexts import known_facts, save_bundle
from fhe_face.places import EMBEDDING, IMAGE, Packing, packings_of
from fhe_face.progress import Stage
from fhe_face.server.circuits import engine_of
from fhe_face.server.server import FaceServer
from fhe_face.server.talking import Talk, be_process
from fhe_face.system import peak_memory_bytes


class JobError(Failure):
    """The text that should be a job is none."""

    code = "job"


@dataclass(frozen=True)
class Job:
    """What to compute: file names only."""

    evaluation_key: str
    weights: str | None
    threads: int
    embed: tuple[tuple[str, str], ...]
    match: tuple[tuple[str, str, str], ...]

    def to_json(self) -> str:
        return json.dumps(
            {
                "evaluation_key": self.evaluation_key,
                "weights": self.weights,
                "threads": self.threads,
                "embed": self.embed,
                "match": self.match,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Job:
        """JobError where the text is not a job."""
        try:
            content = json.loads(text)
            weights = content["weights"]
            return cls(
                evaluation_key=str(content["evaluation_key"]),
                weights=None if weights is None else str(weights),
                threads=int(content["threads"]),
                embed=tuple((str(a), str(b)) for a, b in content["embed"]),
                match=tuple((str(a), str(b), str(c)) for a, b, c in content["match"]),
            )
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise JobError(f"not a server job: {error}") from None


def run(job: Job, stage: Stage) -> dict[str, Any]:
    """Do the job; the report holds seconds of pure computation, sizes, and peak memory."""
    if job.match:
        engine_of(job.evaluation_key).circuit.require_scores(shown(job.evaluation_key))
    started = time.perf_counter()
    packings = needed(source for source, _ in job.embed)
    server = FaceServer.load(
        job.evaluation_key, job.weights, packings=packings, threads=job.threads, stage=stage
    )
    load_seconds = time.perf_counter() - started
    embed_seconds = []
    for number, (source, target) in enumerate(job.embed):
        images = server.read(source, IMAGE)
        started = time.perf_counter()
        result = server.embed(images, stage, f"embedding file {number + 1} of {len(job.embed)}")
        embed_seconds.append(time.perf_counter() - started)
        save_bundle(target, result)
    match_seconds = []
    for left, right, target in job.match:
        a, b = (server.read(name, EMBEDDING) for name in (left, right))
        started = time.perf_counter()
        result = server.match(a, b, stage)
        match_seconds.append(time.perf_counter() - started)
        save_bundle(target, result)
    return {
        "load_seconds": load_seconds,
        "embed_seconds": embed_seconds,
        "match_seconds": match_seconds,
        "packed_weight_bytes": server.packed_weight_bytes,
        "evaluation_key_memory_bytes": server.evaluation_key_memory_bytes,
        "peak_rss_bytes": peak_memory_bytes(),
        "threads": server.threads,
    }


def needed(files: Iterable[str | Path]) -> set[Packing]:
    """How the faces of files are packed: only for that a server needs keys and weights.

    Raises:
        ContainerError: a file holds no ciphertexts.
    """
    headers = (read_header(file, expect_kind=Kind.CIPHERTEXT) for file in files)
    return {packing for header in headers for packing in packings_of(known_facts(header))}


def serve(source: TextIO, target: TextIO) -> int:
    """Read a job, do it, report; returns the exit status."""
    talk = Talk(source, target)
    try:
        well = talk.answer(lambda: run(Job.from_json(source.read()), talk.stage))
    except BrokenPipeError:  # whoever asked is gone
        return 1
    return 0 if well else 1


def main() -> None:
    """Serve one job; an interruption or a signal ends it quietly, without half-written files."""
    be_process(lambda: serve(sys.stdin, sys.stdout))


if __name__ == "__main__":
    main()
