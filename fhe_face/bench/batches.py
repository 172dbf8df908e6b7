"""Seconds and memory per face for batches of several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhe_face.bench.rig import Rig, RunJob
from fhe_face.bench.subject import Subject
from fhe_face.bench.targets import precision
from fhe_face.engine import DEFAULT_PACKINGS
from fhe_face.places import Packing
from fhe_face.progress import Stage


@dataclass(frozen=True)
class Throughput:
    """One size; the server process was its own."""

    size: int
    seconds: float
    peak_rss_bytes: int
    accuracy: dict[str, Any]

    @property
    def seconds_per_face(self) -> float:
        return self.seconds / self.size

    def to_json(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "seconds": self.seconds,
            "seconds_per_face": self.seconds_per_face,
            "faces_per_hour": 3600 / self.seconds_per_face,
            "peak_rss_bytes": self.peak_rss_bytes,
            **self.accuracy,
        }


def measure(
    subject: Subject,
    folder: Path,
    sizes: Sequence[int],
    threads: int,
    run_job: RunJob,
    stage: Stage,
) -> list[Throughput]:
    """Every size in turn, with the same keys; those that fill half a batch, as batches.

    Raises:
        FileError, ServerError: files cannot be written, or the server fails.
        ValueError: a size below one.
    """
    if min(sizes) < 1:
        raise ValueError("a batch has at least one face")
    small = [size for size in sizes if not subject.fills_a_batch(size)]
    found = []
    if small:
        rig = Rig.prepare(subject, DEFAULT_PACKINGS, folder / "faces", threads, run_job, stage)
    if len(small) < len(sizes):
        batched = [Packing.BATCH]
        many = Rig.prepare(subject, batched, folder / "batches", threads, run_job, stage)
    for size in sizes:
        if size not in small:
            batch = many.batches(size, stage)
        else:
            batch = rig.alone(1, stage) if size == 1 else rig.together(size, stage)
        peak = int(batch.report["peak_rss_bytes"])
        found.append(Throughput(size, sum(batch.seconds), peak, precision([batch])))
    return found
