"""``fhe-face bench modes``"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.plan import required_keys
from fhe_face.bench import machine, modes
from fhe_face.bench.commands.common import show_machine, warn_of_load
from fhe_face.bench.modes import Mode
from fhe_face.bench.subject import Subject
from fhe_face.commands.inputs import warn_of_little_memory
from fhe_face.output import Output, grid
from fhe_face.system import default_threads, peak_memory_bytes, seconds

_COLUMNS = ("mode", "threads", "time", "speed-up", "cosine to cleartext", "relative error")


def run(weights: Path, repeat: int, threads: int | None, as_json: bool) -> None:
    output = Output(as_json)
    count = threads or default_threads()
    with output.stages() as stage:
        subject = Subject.load(weights, stage)
        facts = machine.facts(count, subject.engine.parameters)
        warn_of_load(output, facts)
        plan = modes.compile_with(subject, 1).plan
        parameters = subject.engine.parameters
        warn_of_little_memory(output, required_keys([plan], parameters), parameters)
        found = modes.measure(subject, count, repeat, stage)
    data = {
        **facts,
        **subject.plan_facts(subject.engine.compiled.plan),
        "modes": [mode.to_json() for mode in found],
        "agreement": modes.agreement(found),
        "peak_rss_bytes": peak_memory_bytes(),
    }
    output.answer(data, lambda console: _show(console, facts, found))


def _show(console: Console, facts: dict[str, Any], found: Sequence[Mode]) -> None:
    cells = [
        (
            mode.mode,
            str(mode.threads),
            seconds(statistics.median(mode.seconds)),
            f"{mode.speedup:.2f}",
            f"{mode.accuracy['cosine_to_cleartext']:.8f}",
            f"{mode.accuracy['relative_l2_error']:.1e}",
        )
        for mode in found
    ]
    console.print(grid("One face, three ways", _COLUMNS, cells, 1))
    agreement = modes.agreement(found)
    same = "the same" if agreement["sequential_is_parallel"] else "NOT the same"
    console.print(
        f"Sequential and parallel gave {same} ciphertexts, bit for bit; embeddings differ by at "
        f"most {agreement['largest_difference']:.1e}."
    )
    show_machine(console, facts)
