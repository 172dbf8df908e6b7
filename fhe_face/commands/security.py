"""``fhe-face security``"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from fhe_core.analysis.noise_failure import Headroom, headrooms
from fhe_core.analysis.precision import predict
from fhe_core.matching import gallery_parameters
from fhe_core.parameters import ERROR_ETA, Parameters, presets
from fhe_core.parameters import attacks as lattice
from fhe_core.parameters import bounds as security
from fhe_face.commands.info_device import switching_log2_qp
from fhe_face.commands.plan import predicted_precision
from fhe_face.engine import choose_engine
from fhe_face.models.architecture import EMBEDDING
from fhe_face.models.layers import FusedNetwork
from fhe_face.network import load_network
from fhe_face.output import Output, grid

_COLUMNS = ("preset", "ring", "N", "log2(QP)", "bound", "margin", "bound, quantum", "margin")


def run(weights: Path | None, as_json: bool) -> None:
    output = Output(as_json)
    network = None if weights is None else load_network(weights)
    sets = [presets.load(spec.name) for spec in presets.SHIPPED]
    rows = [{**preset_facts(one), "device": device_facts(one)} for one in sets]
    data: dict[str, Any] = {
        "bound_source": security.SOURCE,
        "presets": rows,
        "gallery": preset_facts(gallery_parameters().parameters),
        "gallery_switch": switch_facts(),
        "models": [{"name": m.name, "log2_cost": m.source} for m in lattice.MODELS],
        "weights": None if weights is None else str(weights),
    }
    if network is not None:
        with output.stages() as stage:
            stage("predicting noise", 0, 0)
            data["noise"] = _noise(network)
            stage("predicting noise", 1, 1)
    output.answer(data, lambda console: _show(console, data))


def preset_facts(parameters: Parameters) -> dict[str, Any]:
    """Bounds, margins and estimates of one preset, JSON-ready.

    ``half``: the same of its ring of half the degree, which has a bound of its own, or None.
    """
    half = parameters.half
    facts = _facts(parameters, parameters.log2_qp)
    return {**facts, "half": None if half is None else preset_facts(half)}


def device_facts(parameters: Parameters) -> dict[str, Any]:
    """The same of a device's switching key, which is a sample modulo a product QP of its own."""
    return _facts(parameters, switching_log2_qp(parameters))


def _facts(parameters: Parameters, log2_qp: float) -> dict[str, Any]:
    """Of keys of these parameters that are samples modulo a product QP of that size."""
    described = parameters.describe()
    instance = lattice.Instance(parameters.ring_dimension, log2_qp, math.sqrt(ERROR_ETA / 2))
    quantum = security.MAX_LOG2_QP_QUANTUM[parameters.ring_dimension]
    names = ("name", "ring", "ring_dimension", "log2_q", "log2_qp_bound")
    return {
        **{name: described[name] for name in names},
        "log2_qp": round(log2_qp, 2),
        "margin_bits": round(described["log2_qp_bound"] - log2_qp, 2),
        "log2_qp_bound_quantum": quantum,
        "margin_bits_quantum": round(quantum - log2_qp, 2),
        "secret": described["secret"],
        "error_deviation": described["error_deviation"],
        "estimates": [
            {
                "attack": e.attack,
                "model": e.model,
                "bits": round(e.bits, 1),
                "block_size": e.block_size,
                "dimension": e.dimension,
            }
            for e in lattice.estimates(instance)
        ],
    }


def switch_facts() -> dict[str, Any]:
    """A gallery's switching key, JSON-ready: samples of the gallery's ring under its own secret."""
    ring = gallery_parameters().parameters
    described = ring.describe()
    names = ("ring_dimension", "log2_qp", "log2_qp_bound", "margin_bits")
    return {"samples_of": ring.name, **{name: described[name] for name in names}}


def _rings(row: dict[str, Any]) -> list[dict[str, Any]]:
    """A preset's row, one for its smaller ring, and one for devices' switching keys."""
    half, device = row["half"], row.get("device")
    found = [row]
    if half is not None:
        found.append({**half, "name": f"{row['name']}, half ring"})
    if device is not None:
        found.append({**device, "name": f"{row['name']}, device key"})
    return found


def _noise(network: FusedNetwork) -> dict[str, Any]:
    """Precision and the chance of wrapping around through noise, for one drawn face."""
    engine = choose_engine(None, network.input_size)
    parameters, plan = engine.parameters, engine.compiled.plan
    rows = predicted_precision(engine, network)
    embedding = rows[plan.labels.index("normalise")]
    # The match: two embeddings of that noise, as large as the polynomial can make them.
    low, high = engine.circuit.normalisation.interval
    squared = np.linspace(low, high, 1000)
    norm = float(np.max(np.sqrt(squared) * engine.circuit.normalisation.evaluate(squared)))
    slots = np.zeros(parameters.slots)
    slots[:EMBEDDING] = norm / math.sqrt(EMBEDDING)
    matched = predict(engine.match_plan, {}, parameters, [slots, slots])
    inherited = math.sqrt(2) * norm * embedding.predicted_std
    found = headrooms(plan, rows, parameters)
    found += headrooms(engine.match_plan, matched, parameters, inherited)
    tightest = min(found, key=lambda h: h.bits)
    return {
        "preset": parameters.name,
        "embedding_deviation": embedding.predicted_std,
        "embedding_precision_bits": embedding.precision_bits,
        "tightest_step": tightest.label,
        "tightest_headroom_bits": tightest.bits,
        "log2_failure": log2_total(found),
    }


def log2_total(found: Sequence[Headroom]) -> float:
    """Of the sum of all probabilities."""
    return min(0.0, max(h.log2_failure for h in found) + math.log2(len(found)))


def _show(console: Console, data: dict[str, Any]) -> None:
    rows = [ring for row in (*data["presets"], data["gallery"]) for ring in _rings(row)]
    cells = [
        (
            row["name"],
            row["ring"],
            str(row["ring_dimension"]),
            f"{row['log2_qp']:.0f}",
            str(row["log2_qp_bound"]),
            f"{row['margin_bits']:.0f}",
            str(row["log2_qp_bound_quantum"]),
            f"{row['margin_bits_quantum']:.0f}",
        )
        for row in rows
    ]
    console.print(grid("Parameters, special primes included", _COLUMNS, cells, 1))
    models = [model["name"] for model in data["models"]]
    cells = []
    for row in rows:
        for attack in dict.fromkeys(e["attack"] for e in row["estimates"]):
            own = {
                e["model"]: f"{e['bits']:.1f}" for e in row["estimates"] if e["attack"] == attack
            }
            cells.append((row["name"], attack, *(own[model] for model in models)))
    title = "Estimated cost of attacks, in bits"
    names = [model.replace("-quantum", " quantum") for model in models]
    console.print(grid(title, ("preset", "attack", *names), cells, 2))
    console.print(f"Bound: {data['bound_source']}. Costs are formulae: see docs/security.md.")
    console.print("core-svp counts one sieve and none of its polynomial factors.")
    switch = data["gallery_switch"]
    console.print(
        f"A gallery's switching key (server-only) has samples of '{switch['samples_of']}': "
        f"log2(QP) = {switch['log2_qp']:.0f} of at most {switch['log2_qp_bound']} at dimension "
        f"{switch['ring_dimension']}. With it gallery.key opens what client.key does."
    )
    if "noise" in data:
        noise = data["noise"]
        console.print(
            f"Noise, '{noise['preset']}': the embedding keeps "
            f"{noise['embedding_precision_bits']:.1f} bits; the tightest step is "
            f"'{noise['tightest_step']}' with {noise['tightest_headroom_bits']:.1f} bits of room; "
            f"noise carries a value out of the modulus with probability "
            f"2^{noise['log2_failure']:.3g}."
        )
