"""``fhe-face match``"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.container import Kind, file_kind, read_header
from fhe_core.formats.ciphertexts import known_facts, save_bundle
from fhe_core.formats.preparation import check_preparation
from fhe_core.outputs import Outputs
from fhe_face.commands.inputs import check_inputs
from fhe_face.facts import require_same_preparation
from fhe_face.output import Output
from fhe_face.places import EMBEDDING, SCORE, runs_of
from fhe_face.server.server import FaceServer
from fhe_face.system import peak_memory_bytes, seconds, size


def run(
    left: Path, right: Path, keys: Path, target: Path, threads: int | None, as_json: bool
) -> None:
    output = Output(as_json)
    header = check_inputs(keys, (left, right), EMBEDDING)
    outputs = Outputs(keys, left, right)
    outputs.add(target, file_kind(Kind.CIPHERTEXT, SCORE))
    require_same_preparation(_checked_facts(left), _checked_facts(right))
    with output.stages() as stage:
        server = FaceServer.load_matcher(keys, threads=threads, stage=stage)
        a, b = (server.read(file, EMBEDDING) for file in (left, right))
        started = time.perf_counter()
        score = server.match(a, b, stage)
        elapsed = time.perf_counter() - started
    written = save_bundle(target, score).total_bytes
    faces = sum(one.faces for one in runs_of(score.facts, server.engine.capacity))
    data = {
        "score": str(target),
        "faces": faces,
        "score_bytes": written,
        "match_seconds": elapsed,
        "key_id": header.key_id,
        "threads": server.threads,
        "peak_rss_bytes": peak_memory_bytes(),
    }

    def show(console: Console) -> None:
        what = "the encrypted score" if faces == 1 else f"{faces} encrypted scores"
        text = f"{target}: {what}, {size(written)}, in {seconds(elapsed)}"
        console.print(text, markup=False, soft_wrap=True)

    output.replaced(outputs)
    output.answer(data, show)


def _checked_facts(file: Path) -> Mapping[str, Any]:
    """What a header says, before gigabytes of keys are read."""
    header = read_header(file)
    facts = known_facts(header)
    check_preparation(header.source, facts)
    return facts
