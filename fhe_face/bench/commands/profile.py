"""``fhe-face bench profile``"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.outputs import Outputs
from fhe_core.plan import required_keys
from fhe_face.bench import machine, plots, step_profile
from fhe_face.bench.commands.common import show_machine, warn_of_load
from fhe_face.bench.step_profile import MeasuredStep, Profile
from fhe_face.bench.subject import Subject
from fhe_face.commands.inputs import warn_of_little_memory
from fhe_face.output import Output, grid
from fhe_face.system import default_threads, seconds, size

_COLUMNS = (
    *("step", "level", "switches", "hoisted", "NTTs", "reads"),
    *("measured", "CPU", "estimate", "ratio"),
)


def run(weights: Path, repeat: int, plot: Path | None, threads: int | None, as_json: bool) -> None:
    output = Output(as_json)
    outputs = Outputs(weights)
    plots.check(plot, outputs)
    count = threads or default_threads()
    with output.stages() as stage:
        subject = Subject.load(weights, stage)
        facts = machine.facts(count, subject.engine.parameters)
        warn_of_load(output, facts)
        wanted = required_keys([subject.engine.compiled.plan], subject.engine.parameters)
        warn_of_little_memory(output, wanted, subject.engine.parameters)
        measured = step_profile.measure(subject, count, repeat, stage)
    data = {**facts, **measured.to_json()}
    if plot is not None:
        plots.draw_profile(measured, plot)
        data["plot"] = str(plot)
    output.replaced(outputs)
    output.answer(data, lambda console: _show(console, facts, measured))


def _show(console: Console, facts: dict[str, Any], measured: Profile) -> None:
    cells = [_cells(row) for row in measured.merged()]
    total = measured.total()
    cells.append(_cells(total))
    title = f"Profile of plan '{measured.facts['plan']}', medians of {measured.runs}"
    table = grid(title, _COLUMNS, cells, 1)
    table.rows[-2].end_section = True
    console.print(table)
    busy = measured.cpu_seconds / (measured.wall_seconds * facts["threads"])
    console.print(
        f"Whole run: {seconds(measured.wall_seconds)}, processors {seconds(measured.cpu_seconds)}: "
        f"{100 * busy:.0f} % of {facts['threads']} threads. Ratio: measured by estimated."
    )
    on_paper = ", ".join(
        f"{row['threads']}: {seconds(row['estimated_seconds'])} "
        f"({100 * row['bandwidth_bound_share']:.0f} %)"
        for row in measured.facts["scaling"]
    )
    console.print(f"On paper, by threads (share that waits for memory): {on_paper}.")
    for number, face in enumerate(measured.facts["faces"]):
        console.print(
            f"Face {number + 1}: cosine to cleartext {face['cosine_to_cleartext']:.8f}, relative "
            f"error {face['relative_l2_error']:.1e}."
        )
    show_machine(console, facts)


def _cells(row: MeasuredStep) -> tuple[str, ...]:
    cost, work = row.cost, row.cost.work
    counts = (work.key_switches, work.inner_products, work.ntts)
    return (
        cost.label,
        cost.levels,
        *(str(count) if count else "" for count in counts),
        size(work.bytes_read),
        seconds(row.seconds),
        seconds(row.cpu_seconds),
        seconds(cost.estimated_seconds),
        "" if row.ratio is None else f"{row.ratio:.2f}",
    )
