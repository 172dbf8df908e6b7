"""How often a result that wrapped around passes as an answer (docs/health.md).

    python -m benchmarks.divergence [--weights FILE] [--samples N] [--encrypted] [--json]

Without --weights, the bundled network. The simulation takes about a second for every eight
samples; --encrypted makes keys and runs at full size (minutes, 10 GB), and wants weights on which
noise diverges, such as the official ones.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.divergence.agreement import WRONG, line_bound
from benchmarks.divergence.rooms import constant, engines, rooms
from benchmarks.divergence.scores import Batch, likely, tally
from fhe_core.streams import early_end_is_quiet
from fhe_face.engine import choose_engine
from fhe_face.network import load_network
from fhe_face.places import Packing

#: log10 of the squared norm of the face that diverges.
RANGES = ((3.5, 5.0), (5.0, 6.0), (6.0, 7.0), (7.0, 9.0))
#: Squared norms of encrypted faces.
TARGETS = (1e4, 1e6, 1e9, 1e13, 1e17, 1e24)
#: Of a face that does not diverge.
_TYPICAL = 400.0


def main() -> None:
    """Print tables, or one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.divergence")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--samples", type=int, default=250, help="batches for every range")
    parser.add_argument("--encrypted", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.samples < 1:
        parser.error("--samples must be positive")
    found = {"rooms": [], "constants": [], "scores": _scores(chosen.weights, chosen.samples)}
    for name, engine in engines():
        found["rooms"] += [vars(room) for room in rooms(name, engine)]
        if Packing.BATCH not in engine.packings:
            found["constants"] += [
                vars(constant(name, engine, plan))
                for plan in engine.plans()
                if plan is not engine.match_plan
            ]
    found["copies"] = [
        {"copies": copies, "error": error, "accepted": line_bound(copies, error)}
        for copies in (2, 3, 4)
        for error in WRONG
    ]
    if chosen.encrypted:
        from benchmarks.divergence.encrypted import diverging

        found["encrypted"] = list(diverging(chosen.weights, TARGETS))
    if chosen.json:
        print(json.dumps(found))
        return
    for title, rows in found.items():
        print(f"\n{title}")
        for row in rows:
            print("  " + ", ".join(f"{key} {_short(value)}" for key, value in row.items()))


def _scores(weights: Path | None, samples: int) -> list[dict[str, Any]]:
    engine = choose_engine(packings=[Packing.BATCH])
    network = load_network(weights)
    score = engine.match_plan.values[engine.match_plan.outputs[0]]
    room = 2.0 ** (engine.parameters.log2_modulus(score.level) - 1) / score.scale
    left, right = Batch(engine, network, 0, 4), Batch(engine, network, 1)
    expected = likely(engine.circuit.normalisation, _TYPICAL, room, engine.parameters.slots)
    return [
        {"log10_squared_norm": list(range_), "likely": expected}
        | tally(left, right, room, samples, 0, range_).described()
        for range_ in RANGES
    ]


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_short(v) for v in value) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    with early_end_is_quiet():
        main()
