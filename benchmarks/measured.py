"""Measures what the pages say, and writes it there: ``python -m benchmarks.measured``.

Runs ``fhe-face demo``, ``bench targets`` and ``bench gallery`` (or takes their JSON from files),
keeps the numbers in ``measured.json`` beside this file, and rewrites the lines between the
``measured`` marks of README.md, RESULTS.md, docs/benchmarks.md and docs/gallery.md.
``tests/benchmarks/test_measured.py`` compares them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from fhe_face.bench import machine
from fhe_face.bench.gallery import GOALS, Goal
from fhe_face.system import seconds, size

REPOSITORY: Final = Path(__file__).resolve().parents[1]
MEASURED: Final = Path(__file__).with_name("measured.json")
_BLOCK = r"(<!-- measured: begin[^\n]*-->\n)(.*?)(<!-- measured: end -->)"

#: What of the answer of demo is kept: what is the same everywhere, and no path of a machine.
DEMO: Final = (
    "embed_seconds",
    "match_seconds",
    "server_load_seconds",
    "keygen_seconds",
    "encrypt_seconds",
    "server_peak_rss_bytes",
    "client_peak_rss_bytes",
    "evaluation_key_bytes",
    "packed_weight_bytes",
    "ciphertext_bytes",
    "cosine_to_cleartext",
    "relative_l2_error",
    "score",
    "score_cleartext",
    "cosine",
    "cosine_cleartext",
    "ring_dimension",
    "log2_qp",
    "log2_qp_bound",
    "threads",
)
TARGETS: Final = ("batch_size", "batch_seconds_per_face", "peak_rss_bytes_batch")
MACHINE: Final = ("cpu", "processors", "instruction_set", "load_average", "version", "commit")
GALLERY: Final = (
    "threads",
    "templates",
    *(goal.field for goal in GOALS),
    "probe_seconds_first",
    "blocks",
    "rounds",
    "answer_seconds",
    "answer_seconds_fastest",
    "ratio_memcpy",
    "ratio_cost_model",
    "ratio_cost_model_probe",
    "score_error_deviation",
    "score_error_deviation_predicted",
    "scores_compared",
    "seal_block_seconds",
    "seal_probe_seconds",
    "load_block_seconds",
    "open_scores_seconds",
)


def kept(
    demo: dict[str, Any], targets: dict[str, Any] | None, where: dict[str, Any], date: str
) -> dict[str, Any]:
    """The content of measured.json. where: facts of the machine (`fhe_face.bench.machine`)."""
    return {
        "date": date,
        "machine": {name: where[name] for name in MACHINE},
        "demo": {name: demo[name] for name in DEMO},
        "targets": None if targets is None else {name: targets[name] for name in TARGETS},
    }


def kept_gallery(answer: dict[str, Any], date: str) -> dict[str, Any]:
    """What measured.json has of ``bench gallery``, which says itself where it ran."""
    found = {name: answer[name] for name in GALLERY}
    return {"date": date, "machine": {name: answer[name] for name in MACHINE}} | found


def few(measured: dict[str, Any]) -> str:
    """Three numbers, for the README."""
    demo = measured["demo"]
    told = (
        seconds(min(demo["embed_seconds"])),
        size(demo["server_peak_rss_bytes"]),
        f"{max(demo['relative_l2_error']):.2%}",
    )
    return (
        "| one face, encrypted | memory of the server | error of an embedding |\n"
        "|---|---|---|\n"
        f"| {' | '.join(f'**{number}**' for number in told)} |\n\n"
        f"{_where(measured)}\n"
    )


def table(measured: dict[str, Any]) -> str:
    """All of it, for docs/benchmarks.md."""
    demo = measured["demo"]
    rows: list[tuple[str, str, Callable[[Any], str]]] = [
        ("one encrypted embedding (server, compute only)", "embed_seconds", seconds),
        ("one encrypted match (server)", "match_seconds", seconds),
        ("server start: compile, load keys and weights", "server_load_seconds", seconds),
        ("key generation (client, once)", "keygen_seconds", seconds),
        ("encrypt a face (client)", "encrypt_seconds", seconds),
        ("peak memory of the server process", "server_peak_rss_bytes", size),
        ("peak memory of the client process", "client_peak_rss_bytes", size),
        ("evaluation keys on disk", "evaluation_key_bytes", size),
        ("packed weights in memory", "packed_weight_bytes", size),
        ("an encrypted face", "ciphertext_bytes", size),
        ("cosine to the float64 embedding", "cosine_to_cleartext", lambda v: f"{v:.6f}"),
        ("relative L2 error of the embedding", "relative_l2_error", lambda v: f"{v:.2%}"),
        ("cosine of both faces, encrypted", "cosine", lambda v: f"{v:.4f}"),
        ("cosine of both faces, in the clear", "cosine_cleartext", lambda v: f"{v:.4f}"),
        ("ring dimension", "ring_dimension", str),
        ("log2(QP)", "log2_qp", lambda v: f"{v:.0f}"),
        ("its 128-bit bound", "log2_qp_bound", str),
    ]
    lines = [_where(measured), "", "| what | measured | field |", "|---|---|---|"]
    for what, name, form in rows:
        value = demo[name]
        values = value if isinstance(value, list) else [value]
        lines.append(f"| {what} | {' and '.join(form(v) for v in values)} | `{name}` |")
    if measured["targets"] is not None:
        lines += [_batch(measured["targets"])]
    return "\n".join(lines) + "\n"


def _batch(targets: dict[str, Any]) -> str:
    each, memory = targets["batch_seconds_per_face"], size(targets["peak_rss_bytes_batch"])
    return (
        f"| each of {targets['batch_size']} faces at once, {memory} | {seconds(each)} | "
        "`batch_seconds_per_face` |"
    )


def gallery(measured: dict[str, Any]) -> str:
    """Of a search, for docs/gallery.md."""
    found = measured["gallery"]
    lines = ["| figure | measured | field |", "|---|---|---|"]
    for goal in GOALS:
        lines.append(f"| {goal.text} | {_shown(goal, found[goal.field])} | `{goal.field}` |")
    return "\n".join(
        [
            *lines,
            "",
            f"{_machine(found, found['threads'])}; {found['templates']:,} templates, both sides "
            f"encrypted; {found['date']}. The first probe of a process takes "
            f"{seconds(found['probe_seconds_first'])}. The client seals a probe in "
            f"{seconds(found['seal_probe_seconds'])} and a block of 8,192 in "
            f"{seconds(found['seal_block_seconds'])}, and opens all scores in "
            f"{seconds(found['open_scores_seconds'])}.",
            "",
        ]
    )


def search(measured: dict[str, Any]) -> str:
    """Of the same search, against its goals, for RESULTS.md."""
    found = measured["gallery"]
    lines = ["| | must | aim | now | verdict |", "|---|---|---|---|---|"]
    for goal in GOALS:
        value = found[goal.field]
        verdict = "not measured"
        if value is not None:
            verdict = "PASS" if goal.reached(value, goal.must) else "FAIL"
            verdict += ", aim reached" if goal.reached(value, goal.aim) else ""
        cells = (goal.text, *(_shown(goal, n) for n in (goal.must, goal.aim, value)), verdict)
        lines.append(f"| {' | '.join(cells)} |")
    blocks = f"{found['answer_seconds_fastest'] * 1e3 / found['blocks']:.2f} ms a block"
    return "\n".join(
        [
            *lines,
            "",
            f"{_machine(found, found['threads'])}; `fhe-face bench gallery`, "
            f"{found['templates']:,} templates in {found['blocks']} blocks, {found['rounds']} "
            f"rounds; {found['date']}, commit {(found['machine']['commit'] or '')[:7]}. An "
            f"expanded probe over all blocks: {seconds(found['answer_seconds'])} (median), "
            f"{seconds(found['answer_seconds_fastest'])} (fastest, {blocks}); "
            f"{found['ratio_memcpy']:.2f} copies of the same bytes on as many threads, "
            f"{found['ratio_cost_model']:.2f} times the cost model (the expansion "
            f"{found['ratio_cost_model_probe']:.2f} times). Errors of "
            f"{found['scores_compared']:,} scores: deviation "
            f"{found['score_error_deviation']:.2e}, predicted "
            f"{found['score_error_deviation_predicted']:.2e}.",
            "",
        ]
    )


def _shown(goal: Goal, value: float | None) -> str:
    return "-" if value is None else goal.shown(value)


def _where(measured: dict[str, Any]) -> str:
    where = _machine(measured, measured["demo"]["threads"])
    return f"{where}; official weights, two drawn faces; {measured['date']}."


def _machine(found: dict[str, Any], threads: int) -> str:
    where = found["machine"]
    load = where["load_average"]
    busy = "" if load is None or load < 2 * threads else f", busy with other work (load {load:.0f})"
    return f"{where['cpu']}, {threads} threads{busy}"


#: The pages, and what stands between their marks.
PAGES: Final = {
    "README.md": few,
    "docs/benchmarks.md": table,
    "docs/gallery.md": gallery,
    "benchmarks/RESULTS.md": search,
}


def block(page: str) -> str:
    """What stands between the marks of a page; ValueError where it has none."""
    found = re.search(_BLOCK, page, re.DOTALL)
    if found is None:
        raise ValueError("a page without the marks 'measured: begin' and 'measured: end'")
    return found.group(2)


def with_block(page: str, text: str) -> str:
    """The page with another text between its marks."""
    block(page)
    return re.sub(_BLOCK, lambda m: m.group(1) + text + m.group(3), page, flags=re.DOTALL)


def write(measured: dict[str, Any]) -> None:
    """Keep the numbers, and put them into the pages."""
    text = json.dumps(measured, indent=1, ensure_ascii=False) + "\n"
    MEASURED.write_text(text, encoding="utf-8")
    for name, form in PAGES.items():
        page = REPOSITORY / name
        page.write_text(
            with_block(page.read_text(encoding="utf-8"), form(measured)), encoding="utf-8"
        )


def _answer(file: Path | None, *command: str) -> dict[str, Any]:
    if file is not None:
        content = json.loads(file.read_text(encoding="utf-8"))
    else:
        print("fhe-face", *command, file=sys.stderr)
        program = [sys.executable, "-m", "fhe_face", *command, "--json"]
        done = subprocess.run(program, stdout=subprocess.PIPE, text=True, check=False)
        content = json.loads(done.stdout)
    if "error" in content:
        sys.exit(f"fhe-face {' '.join(command)}: {content['error']}")
    assert isinstance(content, dict)
    return content


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measured", description=__doc__)
    parser.add_argument("--weights", default="official", help="as for fhe-face demo")
    parser.add_argument("--demo", type=Path, help="JSON of fhe-face demo, of this machine")
    parser.add_argument("--targets", type=Path, help="JSON of fhe-face bench targets")
    parser.add_argument("--no-targets", action="store_true", help="leave batches out")
    parser.add_argument("--gallery", type=Path, help="JSON of fhe-face bench gallery")
    parser.add_argument("--only-gallery", action="store_true", help="the rest stays as it is")
    given = parser.parse_args()
    before = json.loads(MEASURED.read_text(encoding="utf-8"))
    date = datetime.now(timezone.utc).date().isoformat()
    if given.only_gallery:
        measured = before
    else:
        weights = ("--weights", given.weights)
        where = machine.facts(0)
        demo = _answer(given.demo, "demo", *weights)
        targets = None
        if not given.no_targets:
            targets = _answer(given.targets, "bench", "targets", *weights)
        # What `benchmarks.cluster` keeps here, with its own date and commit, stays.
        measured = before | kept(demo, targets, where, date)
    measured["gallery"] = kept_gallery(_answer(given.gallery, "bench", "gallery"), date)
    write(measured)


if __name__ == "__main__":
    main()
