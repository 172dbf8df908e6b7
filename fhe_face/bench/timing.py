"""Times of small jobs, measured side by side so that ratios survive a busy machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

Job = Callable[[], object]
_T = TypeVar("_T")


def timed(job: Callable[[], _T]) -> tuple[_T, float]:
    """What a job returns, and how many seconds it took."""
    started = time.perf_counter()
    result = job()
    return result, time.perf_counter() - started


def side_by_side(jobs: Mapping[str, Job], rounds: int) -> dict[str, list[float]]:
    """Seconds of every job, ``rounds`` each, after one run to warm up.

    A round runs every job once: what slows the machine down for a while slows all of them.
    """
    for job in jobs.values():
        job()
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            seconds[name].append(timed(job)[1])
    return seconds


def ratio(seconds: list[float], unit: list[float]) -> float:
    """The median over rounds of seconds in units of the other job's time in the same round."""
    return statistics.median(a / b for a, b in zip(seconds, unit, strict=True))


def copying(count: int) -> Job:
    """A job that copies ``count`` bytes from one array to another, on one thread."""
    source = np.arange(max(1, count // 8), dtype=np.uint64)
    target = np.empty_like(source)
    target[:] = 1  # map the pages
    return lambda: np.copyto(target, source)


def copy_bandwidth(working_set: int, rounds: int, moved: int = 1 << 28) -> float:
    """Bytes read and written per second by copying half of ``working_set`` bytes to the other half.

    The fastest of the rounds, as a limit is wanted; each moves at least ``moved`` bytes or goes
    over the working set once.
    """
    job = copying(working_set // 2)
    repeats = max(1, moved // working_set)

    def many() -> None:
        for _ in range(repeats):
            job()

    fastest = min(side_by_side({"copy": many}, rounds)["copy"])
    return repeats * working_set / fastest


def summary(seconds: list[float]) -> dict[str, Any]:
    """Median, fastest and how many, JSON-ready."""
    return {
        "median": statistics.median(seconds),
        "fastest": min(seconds),
        "runs": len(seconds),
    }
