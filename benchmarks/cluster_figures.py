"""What the cost model of many machines takes: ``python -m benchmarks.cluster_figures``.

From measured.json, which `benchmarks.measured` and `benchmarks.cluster` fill, from the sizes that
follow from parameters, and from what docs/service.md says of uploads. Writes
`fhe_face/bench/cluster_figures.json`, which is installed; tables and picture of docs/cluster.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.measured import MEASURED, REPOSITORY
from fhe_core.formats.heads import item_layout
from fhe_core.matching import gallery_parameters
from fhe_face.bench.cluster_figures import FILE, Figures, load_figures
from fhe_face.bench.cluster_model import Assumed
from fhe_face.bench.commands.cluster import (
    ENROLMENT,
    SEARCH,
    enrolment_cells,
    run,
    search_cells,
    simulate,
)
from fhe_face.engine import choose_engine
from fhe_face.places import Packing

#: The page's tables: what is assumed in each.
ONE, MANY = "cluster: one api", "cluster: many"
CASES: Final = {ONE: Assumed(), MANY: Assumed(apis=20, folder=1e10, turn_seconds=600)}
NODES: Final = (10, 100, 1000)
ENROLMENTS, TEMPLATES, SEED = 1_000_000, 100_000_000, 1
PICTURE: Final = REPOSITORY / "docs" / "cluster.png"
#: docs/service.md, "Sending files": 1.69 GB in 33 s.
_UPLOAD: Final = (1.69e9, 33.0)


def figures(measured: dict[str, Any]) -> dict[str, Any]:
    """The content of the file, of measured.json's."""
    demo, targets = measured["demo"], measured["targets"]
    search, cluster = measured["gallery"], measured["cluster"]
    parameters = gallery_parameters()
    templates, blocks = parameters.templates, search["blocks"]
    probe = parameters.roots * 6 * templates
    from_demo, from_search, from_cluster = (
        f"benchmarks/measured.json, {name}" for name in ("demo", "gallery", "cluster")
    )
    rows = {
        "batch_faces": (targets["batch_size"], "benchmarks/measured.json, targets: batch_size"),
        "batch_seconds": (
            targets["batch_size"] * targets["batch_seconds_per_face"],
            "benchmarks/measured.json, targets: batch_size x batch_seconds_per_face",
        ),
        "batch_bytes": (cluster["batch_bytes"], f"{from_cluster}: batch_bytes"),
        "batch_result_bytes": (_result_bytes(), "arithmetic: the results of a batch's plan"),
        "client_batch_seconds": (
            cluster["client_batch_seconds"],
            f"{from_cluster}: client_batch_seconds",
        ),
        "key_bytes": (cluster["batch_key_bytes"], f"{from_cluster}: batch_key_bytes"),
        "key_load_seconds": (demo["server_load_seconds"], f"{from_demo}: server_load_seconds"),
        "upload_bytes_per_second": (
            _UPLOAD[0] / _UPLOAD[1],
            "docs/service.md, Sending files: 1.69 GB in 33 s by one API process",
        ),
        "queue_seconds": (cluster["queue_seconds"], f"{from_cluster}: queue_seconds"),
        "dispatch_seconds": (cluster["dispatch_seconds"], f"{from_cluster}: dispatch_seconds"),
        "block_templates": (templates, "parameters of a gallery"),
        "block_seconds": (
            search["answer_seconds"] / blocks,
            f"{from_search}: answer_seconds / blocks",
        ),
        "block_load_seconds": (search["load_block_seconds"], f"{from_search}: load_block_seconds"),
        "block_bytes": (
            templates * search["disk_bytes_per_template"],
            f"{from_search}: 8,192 x disk_bytes_per_template",
        ),
        "block_memory_bytes": (
            templates * search["memory_bytes_per_template"],
            f"{from_search}: 8,192 x memory_bytes_per_template",
        ),
        "block_result_bytes": (
            templates * search["result_bytes_per_score"],
            f"{from_search}: 8,192 x result_bytes_per_score",
        ),
        "block_open_seconds": (
            search["open_scores_seconds"] / blocks,
            f"{from_search}: open_scores_seconds / blocks",
        ),
        "probe_seconds": (search["probe_seconds"], f"{from_search}: probe_seconds"),
        "probe_seal_seconds": (search["seal_probe_seconds"], f"{from_search}: seal_probe_seconds"),
        "probe_bytes": (probe, "arithmetic: 4 roots of 8,192 residues of 6 bytes"),
    }
    machines = {
        name: {**part["machine"], "date": part["date"]}
        for name, part in (("demo, targets", measured), ("gallery", search), ("cluster", cluster))
    }
    return {
        "machines": machines,
        "figures": {
            name: {"value": value, "source": source} for name, (value, source) in rows.items()
        },
    }


def _result_bytes() -> int:
    """Of the embeddings of a batch, with their squared norms."""
    engine = choose_engine(packings=(Packing.BATCH,))
    values = [engine.batch.plan.values[name] for name in engine.batch.plan.outputs]
    return sum(item_layout(engine.parameters, value.level, 2).bytes for value in values)


def page(text: str, known: Figures) -> str:
    """docs/cluster.md with the model's tables."""
    for mark, assumed in CASES.items():
        rows = simulate(known, assumed, NODES, ENROLMENTS, TEMPLATES, SEED)
        text = _put(text, mark, ENROLMENT, [enrolment_cells(row, ENROLMENTS) for row in rows])
        if mark == ONE:
            text = _put(text, "cluster: search", SEARCH, [search_cells(row) for row in rows])
    lines = [f"| `{name}` | {one.value:.4g} | {one.source} |" for name, one in known.items()]
    head = ["| figure | value | source |", "|---|---|---|"]
    return _between(text, "cluster: figures", "\n".join([*head, *lines]))


def _put(text: str, mark: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return _between(text, mark, "\n".join(f"| {' | '.join(line)} |" for line in lines))


def _between(text: str, mark: str, table: str) -> str:
    block = rf"(<!-- {mark} -->\n).*?(\n\n<!-- end -->)"
    found = re.sub(block, lambda m: m[1] + table + m[2], text, flags=re.DOTALL)
    if table not in found:
        raise SystemExit(f"docs/cluster.md: <!-- {mark} --> and an end after it are missing")
    return found


def main() -> None:
    """Write the file, the page's tables and its picture."""
    content = figures(json.loads(MEASURED.read_text(encoding="utf-8")))
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    place, known = REPOSITORY / "docs" / "cluster.md", load_figures()
    place.write_text(page(place.read_text(encoding="utf-8"), known), encoding="utf-8")
    run(",".join(map(str, NODES)), ENROLMENTS, TEMPLATES, CASES[MANY], SEED, None, PICTURE, False)


if __name__ == "__main__":
    main()
