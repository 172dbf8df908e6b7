"""``fhe-face bench batch``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.outputs import Outputs
from fhe_face.bench import batches, machine, plots
from fhe_face.bench.batches import Throughput
from fhe_face.bench.commands.common import show_machine, warn_of_load, workspace
from fhe_face.bench.subject import Subject
from fhe_face.commands.inputs import warn_of_little_memory
from fhe_face.failures import USAGE, CommandError
from fhe_face.local.process import run_job
from fhe_face.output import Output, grid
from fhe_face.system import default_threads, seconds, size

_MOST_FACES = 100_000
_COLUMNS = ("faces", "time", "per face", "faces per hour", "peak memory", "worst error")


def run(weights: Path, sizes: str, plot: Path | None, threads: int | None, as_json: bool) -> None:
    output = Output(as_json)
    chosen = parse_sizes(sizes)
    outputs = Outputs(weights)
    plots.check(plot, outputs)
    count = threads or default_threads()
    with output.stages() as stage, workspace() as folder:
        subject = Subject.load(weights, stage)
        facts = machine.facts(count, subject.engine.parameters)
        warn_of_load(output, facts)
        warn_of_little_memory(output, subject.engine.keys(), subject.engine.parameters)
        found = batches.measure(subject, folder, chosen, count, run_job, stage)
    data = {
        **facts,
        **subject.plan_facts(subject.engine.compiled.plan),
        "batches": [batch.to_json() for batch in found],
    }
    if plot is not None:
        plots.draw_batches(found, plot)
        data["plot"] = str(plot)
    output.replaced(outputs)
    output.answer(data, lambda console: _show(console, facts, found))


def parse_sizes(text: str) -> list[int]:
    """Sizes in ascending order, each once; CommandError for anything but numbers up to 100,000."""
    try:
        sizes = sorted({int(part) for part in text.split(",")})
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < 1 or sizes[-1] > _MOST_FACES:
        raise CommandError(
            f"--sizes is '{text}'; it must be numbers as in 1,2,4,8, up to {_MOST_FACES:,}", USAGE
        )
    return sizes


def _show(console: Console, facts: dict[str, Any], found: Sequence[Throughput]) -> None:
    cells = [
        (
            str(batch.size),
            seconds(batch.seconds),
            seconds(batch.seconds_per_face),
            f"{3600 / batch.seconds_per_face:.0f}",
            size(batch.peak_rss_bytes),
            f"{batch.accuracy['relative_l2_error']:.1e}",
        )
        for batch in found
    ]
    console.print(grid("Batches, a server process each", _COLUMNS, cells, 1))
    show_machine(console, facts)
