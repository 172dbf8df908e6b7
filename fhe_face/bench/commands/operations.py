"""``fhe-face bench operations``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.parameters import presets
from fhe_face.bench import machine, openfhe_process, operations
from fhe_face.bench.commands.common import require_openfhe, show_machine, warn_of_load
from fhe_face.bench.openfhe_process import OpenFhe
from fhe_face.bench.operations import Operation
from fhe_face.output import Output, grid

PRESET = "safe"


def run(rounds: int, threads: int, openfhe_python: Path | None, as_json: bool) -> None:
    output = Output(as_json)
    require_openfhe(openfhe_python)
    parameters = presets.load(PRESET)
    levels = operations.default_levels(parameters)
    facts = machine.facts(threads, parameters)
    warn_of_load(output, facts)
    with output.stages() as stage:
        stage("measuring OpenFHE", 0, 0)
        openfhe = openfhe_process.measure(openfhe_python, parameters, levels, threads, rounds)
        stage("measuring OpenFHE", 1, 1)
        found = operations.measure(parameters, levels, threads, rounds, openfhe.seconds, stage)
    data = {
        **facts,
        "openfhe": openfhe.to_json(),
        "operations": [operation.to_json() for operation in found],
    }
    output.answer(data, lambda console: _show(console, facts, found, openfhe))


def _show(
    console: Console, facts: dict[str, Any], found: Sequence[Operation], openfhe: OpenFhe
) -> None:
    compared = not openfhe.reason
    columns = ["operation", "limbs", "time", "x copy"]
    if compared:
        columns += ["OpenFHE", "OpenFHE / ours"]
    cells = []
    for one in found:
        row = [one.name, str(one.limbs), f"{1e3 * one.seconds:.1f} ms", f"{one.copies:.1f}"]
        if one.openfhe_seconds is not None and one.openfhe_ratio is not None:
            row += [f"{1e3 * one.openfhe_seconds:.1f} ms", f"{one.openfhe_ratio:.1f}"]
        elif compared:
            row += ["", ""]
        cells.append(row)
    console.print(grid(f"Operations, threads: {facts['threads']}", columns, cells, 1))
    if compared:
        console.print(
            f"{openfhe.report['library']}, same ring, limbs and digits, with special primes of its "
            "own choice. The copy's ratio shows how equally fast the machine was for both."
        )
    else:
        console.print(f"No comparison with OpenFHE: {openfhe.reason}.")
    show_machine(console, facts)
