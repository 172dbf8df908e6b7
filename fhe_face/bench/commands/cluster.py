"""``fhe-face bench cluster``: what many machines give, by figures and a simulation; no machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from fhe_core.outputs import Outputs
from fhe_face.bench import plots
from fhe_face.bench.cluster_figures import Figures, load_figures
from fhe_face.bench.cluster_model import Assumed, Enrolment, Outcome, Searched, search
from fhe_face.failures import UsageError
from fhe_face.output import Output, grid
from fhe_face.system import duration, seconds, size

_MOST_NODES: Final = 100_000
ENROLMENT: Final = ("nodes", "time", "faces per hour", "nodes at work", "binds")
SEARCH: Final = (
    "nodes",
    "first read",
    "memory of each",
    "one search",
    "its longest part",
    "a second",
    "binds",
)


@dataclass(frozen=True)
class Row:
    """One number of nodes."""

    nodes: int
    enrolment: Outcome
    searched: Searched


def run(
    nodes: str,
    enrolments: int,
    templates: int,
    assumed: Assumed,
    seed: int,
    figures: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    output = Output(as_json)
    outputs = Outputs(figures) if figures is not None else Outputs()
    plots.check(plot, outputs)
    known, counts = load_figures(figures), parse_nodes(nodes)
    rows = simulate(known, assumed, counts, enrolments, templates, seed)
    data: dict[str, Any] = {
        "enrolments": enrolments,
        "templates": templates,
        "seed": seed,
        "assumed": asdict(assumed),
        "figures": {name: asdict(figure) for name, figure in known.items()},
        "nodes": [to_json(row, enrolments) for row in rows],
    }
    if plot is not None:
        plots.draw_cluster(data, plot)
        data["plot"] = str(plot)
    output.replaced(outputs)
    output.answer(data, lambda console: _show(console, data, rows))


def simulate(
    figures: Figures,
    assumed: Assumed,
    counts: Sequence[int],
    enrolments: int,
    templates: int,
    seed: int,
) -> list[Row]:
    """Enrolments and searches on so many nodes; equal seeds give equal rows."""
    return [
        Row(
            count,
            Enrolment(figures, assumed, count, seed).run(enrolments),
            search(figures, assumed, count, templates, seed),
        )
        for count in counts
    ]


def parse_nodes(text: str) -> list[int]:
    """Numbers of nodes in ascending order, each once. UsageError: anything else."""
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        counts = []
    if not counts or counts[0] < 1 or counts[-1] > _MOST_NODES:
        raise UsageError(
            f"--nodes is '{text}'; give numbers up to {_MOST_NODES:,} as in 10,100,1000"
        )
    return counts


def to_json(row: Row, enrolments: int) -> dict[str, Any]:
    """A row as ``--json`` prints it."""
    one, found = row.enrolment, row.searched
    return {
        "nodes": row.nodes,
        "enrolment_seconds": one.seconds,
        "faces_per_hour": 3600 * enrolments / one.seconds,
        "enrolment_used": dict(one.used),
        "enrolment_binds": one.binds,
        "search_seconds": sum(found.alone.values()),
        "search_parts": dict(found.alone),
        "search_longest_part": found.slowest,
        "search_seconds_busy": found.seconds,
        "searches_per_second": found.a_second,
        "search_used": dict(found.used),
        "search_binds": found.binds,
        "block_memory_bytes": found.memory_bytes,
        "first_read_seconds": found.first_seconds,
    }


def enrolment_cells(row: Row, enrolments: int) -> tuple[str, ...]:
    """Of the table; a page has the same."""
    one = row.enrolment
    return (
        f"{row.nodes:,}",
        duration(one.seconds),
        f"{3600 * enrolments / one.seconds:,.0f}",
        f"{one.used['nodes']:.0%}",
        f"{one.binds} ({one.used[one.binds]:.0%})",
    )


def search_cells(row: Row) -> tuple[str, ...]:
    """Of the table; a page has the same."""
    found = row.searched
    return (
        f"{row.nodes:,}",
        duration(found.first_seconds),
        size(found.memory_bytes),
        seconds(sum(found.alone.values())),
        f"{found.slowest} ({seconds(found.alone[found.slowest])})",
        f"{found.a_second:.2g}",
        f"{found.binds} ({found.used[found.binds]:.0%})",
    )


def _show(console: Console, data: dict[str, Any], rows: Sequence[Row]) -> None:
    enrolments = data["enrolments"]
    cells = [enrolment_cells(row, enrolments) for row in rows]
    console.print(grid(f"{enrolments:,} enrolments in batches", ENROLMENT, cells, 1))
    cells = [search_cells(row) for row in rows]
    console.print(grid(f"Searches of {data['templates']:,} sealed templates", SEARCH, cells, 1))
    a = data["assumed"]
    console.print(
        f"Simulated with seed {data['seed']}: {a['tenants']} tenants with {a['clients']} clients "
        f"each, {a['apis']} API processes, shared folder {size(a['folder'])}/s, network "
        f"{size(a['network'])}/s, a client's link {size(a['link'])}/s, nodes {a['speed']:g} times "
        f"as fast as the measured machine, turn_seconds {a['turn_seconds']:g}."
    )
    console.print("Everything else is measured; --json names every figure's source.")
