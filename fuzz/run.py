"""Fuzzes all targets in turn: ``python -m fuzz.run --seconds 60 [--corpus DIR] [TARGET ...]``.

Prints what each did and ends with status 1 where there is a finding; the input that caused it
stays in DIR/findings, and what the parser raised in DIR/findings/TARGET.log. To turn it into a
test, put it into fuzz/regressions/TARGET.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from fuzz.registry import TARGETS, regressions

#: For a process that neither ends in time nor is ended by libFuzzer; busy machines start slowly.
_PATIENCE_SECONDS = 1800
_STATISTIC = re.compile(r"stat::(\w+):\s+(\d+)")


@dataclass(frozen=True)
class Outcome:
    """What one target did; status: of the process, 0 where nothing was found."""

    target: str
    status: int
    runs: int
    kept: int
    peak_rss_mb: int


def fuzz(name: str, seconds: int, corpus: Path) -> Outcome:
    """One target for so many seconds."""
    own, findings = corpus / name, corpus / "findings"
    for folder in (own, findings):
        folder.mkdir(parents=True, exist_ok=True)
    corpora = [own, *(f for f in [regressions() / name] if f.is_dir())]
    with tempfile.TemporaryDirectory(prefix="fhe-face-fuzz-") as scratch:
        command = [sys.executable, "-W", "ignore", "-m", "fuzz.one", name, scratch]
        command += [str(findings), str(seconds), *map(str, corpora)]
        log = findings / f"{name}.log"
        with log.open("wb") as stream:
            try:
                status = subprocess.run(
                    command,
                    stdout=stream,
                    stderr=stream,
                    timeout=seconds + _PATIENCE_SECONDS,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                status = -1
    text = log.read_text("utf-8", "replace")
    statistics = {key: int(value) for key, value in _STATISTIC.findall(text)}
    if not status:
        log.unlink()
    return Outcome(
        name,
        status,
        statistics.get("number_of_executed_units", 0),
        sum(1 for _ in own.iterdir()),
        statistics.get("peak_rss_mb", 0),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the parsers.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all of them")
    parser.add_argument("--seconds", type=int, default=230, help="in all (default: %(default)s)")
    parser.add_argument("--corpus", type=Path, default=Path(".fuzz"), help="kept between runs")
    given = parser.parse_args()
    names = given.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no target {min(unknown)}; choose from {', '.join(TARGETS)}")
    if importlib.util.find_spec("atheris") is None:
        parser.error("fuzzing needs atheris: pip install 'fhe-face[fuzz]'")
    each = max(1, given.seconds // len(names))
    corpus = given.corpus.resolve()
    outcomes = []
    for name in names:
        outcomes.append(fuzz(name, each, corpus))
        print(json.dumps(asdict(outcomes[-1])), flush=True)
    found = [outcome.target for outcome in outcomes if outcome.status]
    runs = sum(outcome.runs for outcome in outcomes)
    where = f": findings in {', '.join(found)}, see {corpus / 'findings'}" if found else ""
    print(f"{runs} runs of {len(names)} parsers in {each * len(names)} s{where}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
