"""``fhe-face bench gallery``"""

from __future__ import annotations

from typing import Any

from rich.console import Console

from fhe_core.matching import MatchParameters, gallery_parameters
from fhe_face.bench import gallery as bench
from fhe_face.bench import machine
from fhe_face.bench.commands.common import show_machine, warn_of_load, workspace
from fhe_face.failures import CommandError
from fhe_face.output import Output, grid
from fhe_face.system import available_memory_bytes, default_threads, seconds, size

_NUMBERS = ("must", "aim", "measured")
_COLUMNS = ("goal", *_NUMBERS, "result")
#: The largest that fits is measured where the user does not say.
_DEFAULTS = (1_000_000, 100_000)


def run(templates: int | None, rounds: int, threads: int | None, as_json: bool) -> None:
    output = Output(as_json)
    count = threads or default_threads()
    parameters = gallery_parameters()
    chosen = choose(parameters, templates, count)
    if templates is None and chosen != _DEFAULTS[0]:
        output.warn(f"{chosen:,} templates: there is too little memory for {_DEFAULTS[0]:,}")
    facts = machine.facts(count, parameters.parameters)
    warn_of_load(output, facts)
    with output.stages() as stage, workspace() as folder:
        measured = bench.measure(
            parameters, folder, templates=chosen, threads=count, rounds=rounds, stage=stage
        )
    data = {**facts, "match_parameters_digest": parameters.digest, **measured}
    output.answer(data, lambda console: _show(console, facts, measured))


def choose(parameters: MatchParameters, templates: int | None, threads: int) -> int:
    """What was asked for, or the largest default that fits the memory.

    Raises:
        CommandError: it does not fit.
    """
    available = available_memory_bytes()
    wanted = _DEFAULTS if templates is None else (templates,)
    for number in wanted:
        needed = bench.needed_bytes(parameters, number, threads)
        if available is None or needed <= available:
            return number
    raise CommandError(
        f"{wanted[-1]:,} templates need {size(needed)} of memory, {size(available or 0)} are "
        "available; choose fewer with --templates"
    )


def _show(console: Console, facts: dict[str, Any], data: dict[str, Any]) -> None:
    cells = [
        (goal.text, *(_number(goal, row[name]) for name in _NUMBERS), _verdict(row))
        for goal, row in zip(bench.GOALS, data["goals"], strict=True)
    ]
    console.print(grid(f"Sealed gallery of {data['templates']:,} templates", _COLUMNS, cells, 1))
    console.print(
        f"{data['blocks']} blocks read from one sealed block's file, each into memory of its own: "
        "times depend on sizes alone. Both sides are encrypted; a search starts with a sealed "
        "probe and ends with the bytes of its scores."
    )
    console.print(
        f"An expanded probe over all blocks: {seconds(data['answer_seconds'])}, "
        f"{data['ratio_memcpy']:.2f} times a copy of their bytes on as many threads, and "
        f"{data['ratio_cost_model']:.2f} times what the cost model says. The first expansion of "
        f"the process took {seconds(data['probe_seconds_first'])}."
    )
    console.print(
        f"Error of {data['scores_compared']:,} scores against float64: deviation "
        f"{data['score_error_deviation']:.1e} ({data['score_error_deviation_predicted']:.1e} "
        f"predicted), largest {data['largest_score_error']:.1e}."
    )
    console.print(
        f"To make keys {seconds(data['keygen_seconds'])}, seal a block of templates "
        f"{seconds(data['seal_block_seconds'])}, load one {seconds(data['load_block_seconds'])}, "
        f"seal a probe {seconds(data['seal_probe_seconds'])}, open the scores "
        f"{seconds(data['open_scores_seconds'])}."
    )
    show_machine(console, facts)


def _verdict(row: dict[str, Any]) -> str:
    if row["passed"] is None:
        return "not measured"
    if not row["passed"]:
        return "FAIL"
    return "PASS, aim too" if row["aim_reached"] else "PASS"


def _number(goal: bench.Goal, value: float | None) -> str:
    return "" if value is None else goal.shown(value)
