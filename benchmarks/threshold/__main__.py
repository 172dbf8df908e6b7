"""What a threshold under encryption costs, and what it leaves to learn (docs/threshold.md).

    python -m benchmarks.threshold [--log-ring 15] [--json FILE] [--plot FILE] [--page FILE]

At full size (N = 2^15) it takes about three minutes of one processor and 4 GB; `--log-ring 11
--features 16` shows the same on an insecure ring in seconds. Times are of one thread, in processor
time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.threshold import leakage
from benchmarks.threshold.circuit import Design
from benchmarks.threshold.designs import DEGREES, FLOODED, THRESHOLD, plain
from benchmarks.threshold.measure import gallery, measured, outside, predicted
from benchmarks.threshold.plot import draw
from benchmarks.threshold.report import tables, written
from fhe_core.files import write_whole
from fhe_core.outputs import Outputs
from fhe_core.streams import early_end_is_quiet
from fhe_face.bench import machine
from fhe_face.bench.plots import check

DESIGNS: dict[str, Design] = {d.name: d for d in (*map(plain, DEGREES), FLOODED)}
ENCRYPTED = ("plain-11", "flooded")
#: One of them among scores that are cosines; on a small ring, as it is the same on all.
SCORES = (1.0, -1.0, -1.003, -1.01, -1.1)
#: Powers of two that the factor of r (s - t) ranges over.
MASK_BITS = (2, 10, 20, 40)
_SMALL_RING = 10


def main() -> None:
    """Print tables, or write one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threshold")
    parser.add_argument("--log-ring", type=int, default=15, help="log2 of the ring dimension")
    parser.add_argument("--features", type=int, default=256, help="numbers of a template")
    parser.add_argument("--design", choices=DESIGNS, action="append", help="may be repeated")
    parser.add_argument("--json", type=Path, help="keep everything that was measured")
    parser.add_argument("--page", type=Path, help="put the tables between the marks of a page")
    parser.add_argument("--plot", type=Path, help="draw remainders over scores")
    chosen = parser.parse_args()
    outputs = Outputs()
    check(chosen.plot, outputs)
    names = chosen.design or ENCRYPTED
    found: dict[str, Any] = {
        "machine": machine.facts(1),
        "levels": [predicted(design, chosen.log_ring) for design in DESIGNS.values()],
        "designs": [measured(DESIGNS[n], chosen.log_ring, chosen.features) for n in names],
        "outside": {n: [outside(DESIGNS[n], _SMALL_RING, s) for s in SCORES] for n in names},
    }
    impostors = leakage.Impostors.of_quantiles()
    found["answers"] = leakage.of_answers(THRESHOLD, impostors)
    found["masking"] = {
        str(bits): leakage.of_masking(THRESHOLD, bits, impostors) for bits in MASK_BITS
    }
    with tempfile.TemporaryDirectory() as folder:
        found["gallery"] = gallery(Path(folder))
    if chosen.plot:
        draw(found["designs"], chosen.plot)
    for design in found["designs"]:
        del design["points"]
    if chosen.page:
        page = chosen.page.read_text(encoding="utf-8")
        write_whole(chosen.page, written(page, found).encode())
    if chosen.json:
        write_whole(chosen.json, (json.dumps(found, indent=1) + "\n").encode())
    for name, text in tables(found).items():
        print(f"\n{name}\n{text}")


if __name__ == "__main__":
    with early_end_is_quiet():
        main()
