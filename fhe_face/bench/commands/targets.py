"""``fhe-face bench targets``"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_face.bench import machine
from fhe_face.bench import targets as bench
from fhe_face.bench.commands.common import require_openfhe, show_machine, warn_of_load, workspace
from fhe_face.bench.subject import Subject
from fhe_face.commands.inputs import warn_of_little_memory
from fhe_face.local.process import run_job
from fhe_face.output import Output, grid
from fhe_face.system import default_threads, size

_COLUMNS = ("target", "must", "aim", "measured", "result", "bound")


def run(
    weights: Path,
    batch: int,
    repeat: int,
    rounds: int,
    threads: int | None,
    openfhe_python: Path | None,
    as_json: bool,
) -> None:
    output = Output(as_json)
    require_openfhe(openfhe_python)
    count = threads or default_threads()
    with output.stages() as stage, workspace() as folder:
        subject = Subject.load(weights, stage)
        facts = machine.facts(count, subject.engine.parameters)
        warn_of_load(output, facts)
        warn_of_little_memory(output, subject.engine.keys(), subject.engine.parameters)
        measured = bench.measure(
            subject,
            folder,
            batch=batch,
            repeat=repeat,
            threads=count,
            openfhe_python=openfhe_python,
            rounds=rounds,
            run_job=run_job,
            stage=stage,
        )
    data = {**facts, **subject.plan_facts(subject.engine.compiled.plan), **measured}
    output.answer(data, lambda console: _show(console, facts, measured))


def _show(console: Console, facts: dict[str, Any], data: dict[str, Any]) -> None:
    cells = [
        (
            row["target"] + (f" ({data['batch_size']} faces)" if "batch" in row["field"] else ""),
            *(_value(row[name], row["unit"]) for name in ("must", "aim", "measured")),
            _verdict(row),
            _bound(row),
        )
        for row in data["targets"]
    ]
    console.print(grid("Targets", _COLUMNS, cells, 1))
    rotation, openfhe = data["rotation"], data["openfhe"]
    compared = f"OpenFHE takes {data['ratio_rotation_openfhe'] or 0:.1f} times as long."
    if data["ratio_rotation_openfhe"] is None:
        compared = f"No comparison with OpenFHE: {openfhe['reason']}."
    console.print(f"A rotation at full level: {1e3 * rotation['seconds']:.0f} ms. {compared}")
    console.print(
        "Bound: what the plan streams at the speed of copies, or multiplies at the kernels' peak, "
        "on all threads."
    )
    console.print(
        f"One face takes as long as copying {data['ratio_memcpy']:.0f} GiB in memory, or as "
        f"{data['ratio_scalar_ntt']:.0f} scalar NTTs, on one thread."
    )
    console.print(
        f"{data['embeddings']} embeddings: cosine to cleartext at least "
        f"{data['cosine_to_cleartext']:.8f}, relative error at most "
        f"{data['relative_l2_error']:.1e}."
    )
    if not data["healthy"]:
        console.print("The network diverges on a face: precision means nothing for it.")
    show_machine(console, facts)


def _verdict(row: dict[str, Any]) -> str:
    if not row["passed"]:
        return "FAIL"
    return "PASS, aim too" if row["aim_reached"] else "PASS"


def _bound(row: dict[str, Any]) -> str:
    if row["bound"] is None:
        return ""
    share = row["bound_value"] / row["measured"]
    return f"{row['bound']}, {_value(row['bound_value'], row['unit'])} ({100 * share:.0f} %)"


def _value(value: float, unit: str) -> str:
    if unit == "bytes":
        return size(value)
    if unit == "parts":
        return f"{value:.1e}"
    return f"{value:.2f}" if unit == "times" else f"{value:.2f} {unit}"
