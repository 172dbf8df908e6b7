"""A search in a sealed gallery: times, sizes and errors, beside copies and the cost model."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fhe_core.analysis.cost import Machine
from fhe_core.analysis.matching import probe_seconds, search_seconds
from fhe_core.formats import matching as formats
from fhe_core.matching import Constants, MatchParameters, MatchPlan, Probe
from fhe_core.matching.precision import predict
from fhe_face.bench.gallery_rig import Block, GalleryRig
from fhe_face.bench.timing import Job, copying, ratio, side_by_side, timed
from fhe_face.progress import Stage
from fhe_face.system import seconds, size

#: The figures that need so many templates.
SIZES: Mapping[str, int] = {"search_seconds_100k": 100_000, "search_seconds_1m": 1_000_000}
#: Copied at once by each thread: more than the caches hold.
_COPY_BYTES = 64 << 20
#: Beside blocks, probe and copies: Python, vectors, results.
_WORKING_BYTES = 256 << 20


@dataclass(frozen=True)
class Goal:
    """A row of the table. least: ``must`` and ``aim`` are lower limits, not upper ones."""

    field: str
    text: str
    unit: str
    must: float
    aim: float
    least: bool = False

    def reached(self, value: float, goal: float) -> bool:
        return value >= goal if self.least else value <= goal

    def shown(self, value: float) -> str:
        """For people."""
        if self.unit == "s":
            return seconds(value)
        if self.unit == "per second":
            return f"{value:,.0f}"
        if self.unit == "bytes":
            return size(value) if value >= 1e5 else f"{value:,.1f} B".replace(".0 B", " B")
        return f"{value:.1e}"


GOALS = (
    Goal("templates_per_second", "templates per second", "per second", 3e5, 1e6, least=True),
    Goal("search_seconds_100k", "search of 100,000, with its probe", "s", 0.6, 0.25),
    Goal("search_seconds_1m", "search of 1,000,000, with its probe", "s", 4, 1.2),
    Goal("probe_seconds", "fixed cost of a probe", "s", 0.15, 0.06),
    Goal("memory_bytes_per_template", "memory per template", "bytes", 4200, 3300),
    Goal("disk_bytes_per_template", "disk per template", "bytes", 3300, 1700),
    Goal("result_bytes_per_score", "result per score", "bytes", 16, 8),
    Goal("gallery_key_bytes", "evaluation keys", "bytes", 10e6, 4e6),
    Goal("largest_score_error", "largest error of a score", "", 1e-3, 2e-4),
)


def judge(measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every goal with its measured number, and whether it holds; None where it was not measured."""
    rows = []
    for goal in GOALS:
        value = measured[goal.field]
        rows.append(
            {
                "field": goal.field,
                "goal": goal.text,
                "unit": goal.unit,
                "must": goal.must,
                "aim": goal.aim,
                "measured": value,
                "passed": None if value is None else goal.reached(value, goal.must),
                "aim_reached": None if value is None else goal.reached(value, goal.aim),
            }
        )
    return rows


def needed_bytes(parameters: MatchParameters, templates: int, threads: int) -> int:
    """Of memory, for a measurement with that many templates."""
    plan = MatchPlan(parameters)
    blocks = -(-templates // parameters.templates) * plan.block_memory_bytes
    return blocks + 3 * plan.constants_bytes + 2 * threads * _COPY_BYTES + _WORKING_BYTES


def measure(
    parameters: MatchParameters,
    folder: Path,
    *,
    templates: int,
    threads: int,
    rounds: int,
    stage: Stage,
    sizes: Mapping[str, int] = SIZES,
) -> dict[str, Any]:
    """Times are medians of the rounds, sizes those of files in the folder and of memory.

    sizes: the figures that need so many templates, None where there are fewer.

    Raises:
        FileError: files cannot be written.
        MemoryError: the blocks do not fit; see `needed_bytes`.
    """
    rig = GalleryRig.prepare(parameters, folder, threads, stage)
    _, probe = rig.probe()
    # Before everything that touches memory.
    constants, probe_seconds_first = timed(lambda: rig.matcher.expand(probe))
    blocks = rig.load(templates, stage)
    stage("measuring the largest error", 0, 0)
    error = rig.errors(blocks[0], rounds)
    stage("measuring the largest error", 1, 1)
    stage("searching", 0, 0)
    times = _times(rig, probe, constants, blocks, sizes, rounds, threads)
    stage("searching", 1, 1)
    scores = folder / "scores"
    header = formats.save(scores, rig.matcher.answer(constants, blocks))
    expected = predict(parameters)
    data = {
        "templates": templates,
        "blocks": len(blocks),
        "rounds": rounds,
        **_speed(parameters, times, templates, threads),
        **{name: _median(times, name) for name in sizes},
        "probe_seconds_first": probe_seconds_first,
        "memory_bytes_per_template": blocks[0][1].memory.bytes / parameters.templates,
        "disk_bytes_per_template": rig.block_bytes / parameters.templates,
        "result_bytes_per_score": header.total_bytes / (len(blocks) * parameters.templates),
        "gallery_key_bytes": rig.key_bytes,
        "probe_bytes": len(formats.to_bytes(probe)),
        "largest_score_error": float(np.max(np.abs(error))),
        "score_error_deviation": float(np.sqrt(np.mean(error**2))),
        "score_error_deviation_predicted": expected.deviation,
        "scores_compared": error.size,
        "keygen_seconds": rig.keygen_seconds,
        "seal_block_seconds": rig.seal_seconds,
        "load_block_seconds": rig.load_block_seconds,
        "open_scores_seconds": rig.opened_seconds(probe, blocks, scores),
    }
    rows = judge(data)
    return data | {"goals": rows, "passed": all(row["passed"] is not False for row in rows)}


def _times(
    rig: GalleryRig,
    probe: Probe,
    constants: Constants,
    blocks: Sequence[Block],
    sizes: Mapping[str, int],
    rounds: int,
    threads: int,
) -> dict[str, list[float]]:
    """Of whole searches, as a server does them, and of their parts, in turns with copies."""
    matcher = rig.matcher

    def whole(count: int) -> bytes:
        return formats.to_bytes(matcher.answer(matcher.expand(probe), blocks[:count]))

    held = sum(loaded.memory.bytes for _, loaded, _ in blocks)
    places, templates = rig.parameters.templates, int(sum(live.sum() for *_, live in blocks))
    with ThreadPoolExecutor(threads) as pool:
        jobs: dict[str, Job] = {
            "copy": _copying(pool, threads, held),
            "seal": rig.probe,
            "probe": lambda: matcher.expand(probe),
            "answer": lambda: matcher.answer(constants, blocks),
        }
        for name, wanted in sizes.items():
            if wanted <= templates:
                jobs[name] = partial(whole, -(-wanted // places))
        return side_by_side(jobs, rounds)


def _copying(pool: ThreadPoolExecutor, threads: int, count: int) -> Job:
    """A job that copies that many bytes, each thread its share."""
    share = -(-count // threads)
    piece = min(share, _COPY_BYTES)
    copies = [copying(piece) for _ in range(threads)]

    def many(copy: Job) -> None:
        for _ in range(-(-share // piece)):
            copy()

    return lambda: list(pool.map(many, copies))


def _speed(
    parameters: MatchParameters, times: Mapping[str, list[float]], templates: int, threads: int
) -> dict[str, Any]:
    """Of an expanded probe over all blocks, and of the expansion; beside copies and the model."""
    plan, machine = MatchPlan(parameters), Machine(threads=threads)
    answer, probe = (statistics.median(times[name]) for name in ("answer", "probe"))
    return {
        "templates_per_second": templates / answer,
        "answer_seconds": answer,
        "answer_seconds_fastest": min(times["answer"]),
        "probe_seconds": probe,
        "seal_probe_seconds": statistics.median(times["seal"]),
        "memcpy_seconds": statistics.median(times["copy"]),
        "ratio_memcpy": ratio(times["answer"], times["copy"]),
        "ratio_cost_model": answer / search_seconds(plan, machine, templates),
        "ratio_cost_model_probe": probe / probe_seconds(plan, machine),
    }


def _median(times: Mapping[str, list[float]], name: str) -> float | None:
    return statistics.median(times[name]) if name in times else None
