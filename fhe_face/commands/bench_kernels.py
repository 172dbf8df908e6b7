"""``fhe-face bench kernels``"""

from __future__ import annotations

from typing import Any

from rich.console import Console

from fhe_face.benchmarks import machine, roofline
from fhe_face.benchmarks.roofline import Roofline
from fhe_face.commands.bench_common import show_machine, warn_of_load
from fhe_face.output import Output, grid

_COLUMNS = ("kernel", "set", "time", "x scalar", "x copy", "moved", "products", "bound", "at")


def run(rounds: int, as_json: bool) -> None:
    output = Output(as_json)
    facts = machine.facts(threads=1)
    warn_of_load(output, facts)
    with output.stages() as stage:
        measured = roofline.measure(rounds=rounds, stage=stage)
    data = {**facts, **measured.to_json()}
    output.answer(data, lambda console: _show(console, facts, measured))


def _show(console: Console, facts: dict[str, Any], measured: Roofline) -> None:
    cells = [
        (
            point.kernel,
            point.instruction_set,
            f"{1e6 * point.seconds:.1f} us",
            f"{point.times_scalar:.1f}",
            f"{point.copies:.1f}",
            f"{point.bytes / 2**20:.2f} MiB",
            f"{point.products / 1e6:.2f} M",
            point.bound,
            f"{point.percent:.0f} %",
        )
        for point in measured.points
    ]
    title = f"Kernels, one limb of {measured.ring_dimension} residues, one thread"
    console.print(grid(title, _COLUMNS, cells, 2))
    rates = ", ".join(f"{name} {rate / 1e9:.1f}" for name, rate in measured.peaks.items())
    console.print(f"Peak, 1e9 half products (52 x 52 bits) per second: {rates}.")
    copies = ", ".join(
        f"{size / 2**20:.1f} MiB {rate / 1e9:.1f}" for size, rate in measured.bandwidths.items()
    )
    console.print(f"Copy bandwidth, 1e9 bytes read and written per second: {copies}.")
    console.print(
        "Bound: the limit that takes longer, at: its share of the time. Above 100 % a kernel beats "
        "the copy or the tile that the limit was measured with (docs/benchmarks.md)."
    )
    show_machine(console, facts)
