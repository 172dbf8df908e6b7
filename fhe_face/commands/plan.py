"""``fhe-face plan``"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from fhe_core.analysis.cost import Machine, StepCost, Totals, Work, merged, step_costs, totals
from fhe_core.analysis.precision import StepPrecision, predict
from fhe_core.compiler import CompiledBatch, CompiledNetwork
from fhe_core.plan import Plan
from fhe_face.circuit import INPUT_SIZE, normalisation_of
from fhe_face.demo_faces import demo_faces
from fhe_face.engine import (
    DEFAULT_PACKINGS,
    Engine,
    choose_engine,
    key_bytes,
)
from fhe_face.models.layers import FusedNetwork
from fhe_face.network import WeightsError, load_network
from fhe_face.output import Output, grid, rings
from fhe_face.photos.images import to_unit
from fhe_face.places import Packing
from fhe_face.plaintexts import plaintexts
from fhe_face.system import default_threads, seconds, size

_COLUMNS = ("step", "level", "scale", "switches", "hoisted", "NTTs", "reads", "time")
_SUMMARY = ("plan", "steps", "levels", "switches", "hoisted", "NTTs", "reads", "time")


@dataclass(frozen=True)
class Request:
    """Which circuit the command line asks for."""

    face_size: int | None
    flip: bool
    batch: bool
    coefficients: Path | None
    client_normalises: bool

    def engine(self, face_size: int | None) -> Engine:
        """For faces of that size, or of the usual one."""
        packings = (Packing.BATCH,) if self.batch else DEFAULT_PACKINGS
        return choose_engine(
            normalisation_of(self.coefficients),
            face_size or INPUT_SIZE,
            2 if self.flip else 1,
            packings,
            client_normalises=self.client_normalises,
        )


def run(weights: Path | None, request: Request, steps: bool, as_json: bool) -> None:
    """Print the plans of a circuit: a row for each, or with `steps` one for each step.

    Raises:
        WeightsError: `weights` holds no network, or one for faces of another size.
    """
    output = Output(as_json)
    network = None if weights is None else load_network(weights)
    face_size = request.face_size
    if network is not None:
        if face_size not in (None, network.input_size):
            raise WeightsError(f"{weights}: a network for faces of {network.input_size} pixels")
        face_size = network.input_size
    machine = Machine(threads=default_threads())
    precision: list[StepPrecision] = []
    with output.stages() as stage:
        stage("compiling the plan", 0, 0)
        engine = request.engine(face_size)
        stage("compiling the plan", 1, 1)
        if network is not None:
            stage("predicting precision", 0, 0)
            precision = predicted_precision(engine, network)
            stage("predicting precision", 1, 1)
    plans = engine.plans()
    costs = [step_costs(plan, engine.parameters, machine) for plan in plans]
    described = [_plan(plan, rows) for plan, rows in zip(plans, costs, strict=True)]
    for step, predicted in zip(described[0]["steps"], precision, strict=False):
        step |= {
            "magnitude": predicted.magnitude,
            "predicted_std": predicted.predicted_std,
            "precision_bits": predicted.precision_bits,
        }
    data = _facts(engine, machine) | {
        "weights": None if weights is None else str(weights),
        "plans": described,
    }

    def show(console: Console) -> None:
        if steps:
            _show_steps(console, plans, costs, precision)
        else:
            _show_summary(console, plans, costs)
        _show_facts(console, data)
        if steps:
            console.print("Level a>b: key switching at a, result at b.")
        else:
            console.print("Every step, with its level and scale: fhe-face plan --steps.")
        if steps and precision:
            console.print("Precision: of the largest value, predicted for a drawn face.")

    output.answer(data, show)


def predicted_precision(engine: Engine, network: FusedNetwork) -> list[StepPrecision]:
    """Predicted errors for one of the drawn faces, or a batch of them."""
    if Packing.BATCH in engine.packings:
        faces = np.stack([to_unit(face) for face in demo_faces(network.input_size)])
        return _predicted(engine.batch, network, list(engine.batch.pack_images(faces)))
    compiled = engine.compiled
    face = to_unit(demo_faces(network.input_size)[0])
    inputs = list(compiled.pack_image(np.stack([face, face[..., ::-1]][: compiled.views])))
    return _predicted(compiled, network, inputs)


def _predicted(
    compiled: CompiledNetwork | CompiledBatch, network: FusedNetwork, inputs: list[NDArray[Any]]
) -> list[StepPrecision]:
    means = plaintexts(compiled, network).means
    tables = compiled.tables(network)
    return predict(compiled.plan, tables, compiled.parameters, inputs, means=means)


def _facts(engine: Engine, machine: Machine) -> dict[str, Any]:
    keys = engine.keys()
    return {
        "circuit": engine.circuit.describe(),
        "parameters": engine.parameters.describe(),
        "evaluation_keys": len(keys),
        "evaluation_key_bytes": key_bytes(keys, engine.parameters),
        "threads": machine.threads,
    }


def _plan(plan: Plan, costs: Sequence[StepCost]) -> dict[str, Any]:
    total = totals(costs)
    return {
        "name": plan.name,
        "digest": plan.digest,
        "steps": [_step(cost) for cost in costs],
        "totals": {
            "steps": total.steps,
            **_work(total.work),
            "estimated_seconds": total.estimated_seconds,
        },
    }


def _step(cost: StepCost) -> dict[str, Any]:
    return {
        "label": cost.label,
        "op": cost.op,
        "level_in": cost.level_in,
        "level_out": cost.level_out,
        "log2_scale": round(cost.log_scale, 3),
        **_work(cost.work),
        "estimated_seconds": cost.estimated_seconds,
    }


def _work(work: Work) -> dict[str, Any]:
    return {
        "key_switches": work.key_switches,
        "inner_products": work.inner_products,
        "ntts": work.ntts,
        "plaintext_products": work.plaintext_products,
        "bytes_read": work.bytes_read,
    }


def _rows(costs: Sequence[StepCost]) -> list[StepCost]:
    """Steps in a row with the same label, as one."""
    return [merged(list(group)) for _, group in groupby(costs, key=lambda cost: cost.label)]


def _show_summary(
    console: Console, plans: Sequence[Plan], costs: Sequence[Sequence[StepCost]]
) -> None:
    cells = []
    for plan, rows in zip(plans, costs, strict=True):
        total = totals(rows)
        levels = f"{max(row.level_in for row in rows)}>{rows[-1].level_out}"
        numbers = _numbers(total.work, total.estimated_seconds)
        cells.append((plan.name, str(total.steps), levels, *numbers))
    console.print(grid("Plans", _SUMMARY, cells, 1))


def _show_steps(
    console: Console,
    plans: Sequence[Plan],
    costs: Sequence[Sequence[StepCost]],
    precision: Sequence[StepPrecision],
) -> None:
    bits = {row.label: f"{row.precision_bits:.1f} bits" for row in precision}
    for plan, rows in zip(plans, costs, strict=True):
        exact = any(row.label in bits for row in rows)
        columns = (*_COLUMNS, "precision") if exact else _COLUMNS
        cells = [(*_cells(row), bits.get(row.label, "")) for row in _rows(rows)]
        cells.append((*_total(totals(rows)), ""))
        cells = [row[: len(columns)] for row in cells]
        table = grid(f"Plan '{plan.name}' ({plan.digest[:12]})", columns, cells, 1)
        table.rows[-2].end_section = True
        console.print(table)


def _show_facts(console: Console, data: dict[str, Any]) -> None:
    described = data["parameters"]
    console.print(
        f"Parameters '{described['name']}': {rings(described)}; "
        f"{data['evaluation_keys']} evaluation keys, {size(data['evaluation_key_bytes'])}."
    )
    console.print(
        "Switches: full key switches. Hoisted: key inner products that share a decomposition. "
        "Times: estimates for "
        f"{data['threads']} threads of the README's machine."
    )


def _cells(cost: StepCost) -> tuple[str, ...]:
    scale = f"2^{cost.log_scale:.1f}"
    return (cost.label, cost.levels, scale, *_numbers(cost.work, cost.estimated_seconds))


def _total(total: Totals) -> tuple[str, ...]:
    return (f"total of {total.steps} steps", "", "", *_numbers(total.work, total.estimated_seconds))


def _numbers(work: Work, estimated: float) -> tuple[str, ...]:
    counts = (work.key_switches, work.inner_products, work.ntts)
    return (*(str(n) if n else "" for n in counts), size(work.bytes_read), seconds(estimated))
