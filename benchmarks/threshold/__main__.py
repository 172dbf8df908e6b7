"""What a threshold under encryption costs, and what it leaves to learn (docs/threshold.md).

    python -m benchmarks.threshold [--log-ring 15] [--json FILE] [--plot FILE]

At full size (N = 2^15) it takes about three minutes of one processor and 4 GB; `--log-ring 11
--features 16` shows the same on an insecure ring in seconds. Times are of one thread, in processor
time.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.threshold.circuit import Design
from benchmarks.threshold.designs import DEGREES, FLOODED, plain
from benchmarks.threshold.measure import gallery, measured, outside, predicted
from benchmarks.threshold.plot import draw
from fhe_core.files import write_whole
from fhe_core.outputs import Outputs
from fhe_core.streams import early_end_is_quiet
from fhe_face.bench import machine
from fhe_face.bench.plots import check

DESIGNS: dict[str, Design] = {d.name: d for d in (*map(plain, DEGREES), FLOODED)}
ENCRYPTED = ("plain-11", "flooded")
#: One of them among scores that are cosines; on a small ring, as it is the same on all.
SCORES = (1.0, -1.0, -1.003, -1.01, -1.1)
_SMALL_RING = 10


def main() -> None:
    """Print tables, or write one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threshold")
    parser.add_argument("--log-ring", type=int, default=15, help="log2 of the ring dimension")
    parser.add_argument("--features", type=int, default=256, help="numbers of a template")
    parser.add_argument("--design", choices=DESIGNS, action="append", help="may be repeated")
    parser.add_argument("--json", type=Path, help="write everything that was measured")
    parser.add_argument("--plot", type=Path, help="draw remainders over scores")
    chosen = parser.parse_args()
    outputs = Outputs()
    check(chosen.plot, outputs)
    names = chosen.design or ENCRYPTED
    found = {
        "machine": machine.facts(1),
        "levels": [predicted(design, chosen.log_ring) for design in DESIGNS.values()],
        "designs": [measured(DESIGNS[n], chosen.log_ring, chosen.features) for n in names],
        "outside": {n: [outside(DESIGNS[n], _SMALL_RING, s) for s in SCORES] for n in names},
    }
    with tempfile.TemporaryDirectory() as folder:
        found["gallery"] = gallery(Path(folder))
    if chosen.plot:
        draw(found["designs"], chosen.plot)
    if chosen.json:
        write_whole(chosen.json, (json.dumps(found, indent=1) + "\n").encode())
    for title, rows in tables(found).items():
        print(f"\n{title}")
        for row in rows:
            print("  " + ", ".join(f"{key} {_short(value)}" for key, value in row.items()))


def tables(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What the page has, from what was found."""
    return {
        "levels": [level_row(row) for row in found["levels"]],
        "costs": [cost_row(row) for row in found["designs"]] + [found["gallery"]],
        "leaks": [leak_row(row) for row in found["designs"]],
        "outside": [{"design": n, **row} for n, rows in found["outside"].items() for row in rows],
    }


def level_row(row: dict[str, Any]) -> dict[str, Any]:
    """Of one composition, predicted."""
    design, side, flood = row["design"], row["side"], row["flood"]
    return {
        "design": design["name"],
        "degrees": "-".join(map(str, design["degrees"])),
        "levels": design["levels"],
        "products": row["products"],
        "log2_qp": design["log2_qp"],
        "log2_remainder": math.log2(side["remainder_spread"] / 2),
        "log2_noise": math.log2(side["noise"]),
        "information_bits": side["information_bits"],
        "log2_advantage": math.log2(side["advantage"]),
        "distance_bits_one": flood["distance_bits_one"],
        "distance_bits_block": flood["distance_bits_block"],
    }


def cost_row(row: dict[str, Any]) -> dict[str, Any]:
    """Of one design, measured."""
    names = (
        *("seconds_10k", "probe_seconds", "scores_seconds", "signs_seconds"),
        *("signs_seconds_predicted", "seal_seconds", "keygen_seconds", "key_bytes"),
        *("key_memory_bytes", "probe_bytes", "template_disk_bytes", "template_memory_bytes"),
        *("result_bytes_per_template", "templates"),
    )
    return {"design": row["design"]["name"], **{name: row[name] for name in names}}


def leak_row(row: dict[str, Any]) -> dict[str, Any]:
    """Of one design, measured."""
    flood, predicted_noise = row["flood"], row["noise_predicted"]
    return {
        "design": row["design"]["name"],
        "log2_score_error": math.log2(row["score_error_deviation"]),
        "log2_remainder": math.log2(row["side"]["remainder_spread"] / 2),
        "log2_noise": math.log2(row["noise"]),
        "log2_noise_predicted": math.log2(predicted_noise["deviation"]),
        "log2_largest": math.log2(row["noise_largest"]),
        "log2_largest_predicted": math.log2(predicted_noise["largest"]),
        "information_bits": row["side"]["information_bits"],
        "noise_information_bits": row["noise_information_bits"],
        "band_bits": row["band"]["information_bits"],
        "band_bits_flooded": row["band_flooded"]["information_bits"],
        "distance_bits_one": flood["distance_bits_one"],
        "distance_bits_block": flood["distance_bits_block"],
        "flood_deviation": row["flooded"]["deviation"],
        "wrong_signs": row["flooded"]["wrong"],
    }


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    with early_end_is_quiet():
        main()
