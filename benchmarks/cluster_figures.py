"""What the cost model of many machines takes: ``python -m benchmarks.cluster_figures``.

From measured.json, which `benchmarks.measured` and `benchmarks.cluster` fill, from the sizes that
follow from parameters, and from what docs/service.md says of uploads. Writes
`fhe_face/bench/cluster_figures.json`, which is installed.
"""

from __future__ import annotations

import json
from typing import Any, Final

from benchmarks.measured import MEASURED
from fhe_core.matching import gallery_parameters
from fhe_face.bench.cluster_figures import FILE

#: Ciphertexts of a batch's embeddings (two halves, each with its squared norms), their limbs.
_RESULTS: Final = 4
_RESULT_LIMBS: Final = 2
_RESIDUE_BYTES: Final = 8
#: docs/service.md, "Sending files": 1.69 GB in 33 s.
_UPLOAD: Final = (1.69e9, 33.0)


def figures(measured: dict[str, Any]) -> dict[str, Any]:
    """The content of the file, of measured.json's."""
    demo, targets = measured["demo"], measured["targets"]
    search, cluster = measured["gallery"], measured["cluster"]
    parameters = gallery_parameters()
    templates, blocks = parameters.templates, search["blocks"]
    ring = demo["ring_dimension"]
    result = _RESULTS * 2 * _RESULT_LIMBS * ring * _RESIDUE_BYTES
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
        "batch_result_bytes": (result, "arithmetic: 4 ciphertexts of 2 limbs of 65,536 words"),
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
        name: {
            **measured.get(name, measured)["machine"],
            "date": measured.get(name, measured)["date"],
        }
        for name in ("demo and targets", "gallery", "cluster")
    }
    return {
        "machines": machines,
        "figures": {
            name: {"value": value, "source": source} for name, (value, source) in rows.items()
        },
    }


def main() -> None:
    """Write the file."""
    content = figures(json.loads(MEASURED.read_text(encoding="utf-8")))
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
