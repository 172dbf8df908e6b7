"""``fhe-face bench kernels``"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Console

from fhe_face.bench import machine, roofline
from fhe_face.bench.commands.common import show_machine, warn_of_load
from fhe_face.bench.roofline import Point, Roofline
from fhe_face.output import Output, grid


def run(rounds: int, as_json: bool) -> None:
    output = Output(as_json)
    facts = machine.facts(threads=1)
    warn_of_load(output, facts)
    with output.stages() as stage:
        measured = roofline.measure(rounds=rounds, stage=stage)
    data = {**facts, **measured.to_json()}
    output.answer(data, lambda console: _show(console, facts, measured))


def _show(console: Console, facts: dict[str, Any], measured: Roofline) -> None:
    best, *others = measured.peaks  # the fastest set first
    short = best.removesuffix("ifma")
    columns = ["kernel", "MiB", "Mprod", short, "bound", "at", "copies"]
    for name in others:
        columns += [name, "x"]
    by_kernel = groupby(measured.points, lambda point: point.kernel)
    cells = [_cells(list(points)) for _, points in by_kernel]
    title = f"Kernels, one limb of {measured.ring_dimension} residues, one thread, microseconds"
    console.print(grid(title, columns, cells, 1))
    rates = ", ".join(f"{name} {rate / 1e9:.1f}" for name, rate in measured.peaks.items())
    console.print(f"Peak, 1e9 half products (52 x 52 bits) per second: {rates}.")
    copies = ", ".join(
        f"{size / 2**20:.1f} MiB {rate / 1e9:.1f}" for size, rate in measured.bandwidths.items()
    )
    console.print(f"Copy bandwidth, 1e9 bytes read and written per second: {copies}.")
    console.print(
        "MiB moved and 1e6 half products: by definition. Bound: the limit that takes longer; at: "
        "its share of the time (above 100 % a kernel beats the copy or the tile that the limit was "
        f"measured with). Copies: in copies of the limb. x: times as long as {short}."
    )
    show_machine(console, facts)


def _cells(points: Sequence[Point]) -> list[str]:
    best, *others = points
    row = [
        best.kernel,
        f"{best.bytes / 2**20:.2f}",
        f"{best.products / 1e6:.2f}",
        f"{1e6 * best.seconds:.1f}",
        best.bound,
        f"{best.percent:.0f} %",
        f"{best.copies:.1f}",
    ]
    for point in others:
        row += [f"{1e6 * point.seconds:.0f}", f"{point.seconds / best.seconds:.1f}"]
    return row
