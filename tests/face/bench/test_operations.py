"""Operations compute what they say; OpenFHE's part fails politely."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core.parameters import Parameters
from fhe_core.runtime.evaluator import Evaluator
from fhe_face.bench import openfhe_process, operations
from fhe_face.bench.openfhe_process import SCRIPT, OpenFhe
from fhe_face.bench.operations import COPY, Bench, Operation
from tests.core import tiny

BOTH = {
    "rotation",
    "decompose",
    "hoisted rotation",
    "multiply + relinearise",
    "plaintext product",
    "rescale",
    "decrypt",
}


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return tiny.load(tiny.TINY.name)


def test_every_operation_at_every_level(parameters: Parameters) -> None:
    theirs = {17: {"rotation": 2.0}}
    levels = operations.default_levels(parameters)
    assert levels == (16, 8)
    found = operations.measure(parameters, levels, rounds=2, openfhe=theirs)
    for limbs in (17, 9):
        names = {one.name for one in found if one.limbs == limbs}
        assert names >= BOTH | {COPY}
        assert ("encrypt" in names) == (limbs == 17)
    by_name = {(one.limbs, one.name): one for one in found}
    rotation = by_name[17, "rotation"]
    assert rotation.openfhe_ratio == pytest.approx(2.0 / rotation.seconds)
    assert by_name[9, "rotation"].openfhe_ratio is None
    assert by_name[17, COPY].copies == 1
    assert all(one.seconds >= one.fastest > 0 for one in found)
    assert rotation.to_json()["ratio_openfhe"] == rotation.openfhe_ratio


def test_only_what_is_asked_for(parameters: Parameters) -> None:
    found = operations.measure(parameters, (8,), rounds=1, only=("rescale",))
    assert [one.name for one in found] == [COPY, "rescale"]


@pytest.mark.parametrize("limbs", [17, 9])
def test_jobs_compute_what_they_say(parameters: Parameters, limbs: int) -> None:
    bench = Bench(parameters, (16, 8), 1)
    jobs: dict[str, Any] = dict(bench.jobs(limbs - 1))
    slots, key = bench.slots, bench.key
    (rotated,) = jobs["rotation"]()
    assert np.allclose(key.decrypt(rotated), np.roll(slots, -1), atol=1e-5)
    assert np.array_equal(jobs["hoisted rotation"](), rotated.residues)
    for name in ("multiply + relinearise", "multiply + relinearise + rescale"):
        assert np.allclose(key.decrypt(jobs[name]()), slots**2, atol=1e-5)
    assert np.allclose(jobs["decrypt"](), slots, atol=1e-5)
    assert jobs["rescale"]().limbs == limbs - 1
    assert isinstance(bench.evaluator, Evaluator)


def test_operations_without_openfhe() -> None:
    one = Operation("rotation", 3, 0.5, 0.4, 2.0)
    assert one.to_json()["ratio_openfhe"] is None


def test_openfhe_or_the_reason_why_not(parameters: Parameters) -> None:
    answer = openfhe_process.measure(None, parameters, operations.default_levels(parameters), 1, 1)
    if answer.reason:
        assert "No module named 'openfhe'" in answer.reason
        assert "--openfhe-python" in answer.reason
        assert answer.to_json() == {"available": False, "reason": answer.reason}
    else:
        assert answer.seconds.keys() == {17, 9}
        assert answer.seconds[9].keys() >= BOTH


@pytest.mark.parametrize(
    ("python", "reason"),
    [("/missing/python", "No such file"), ("/bin/false", "status 1"), ("/bin/echo", "status 0")],
)
def test_pythons_that_are_none(parameters: Parameters, python: str, reason: str) -> None:
    answer = openfhe_process.measure(python, parameters, (3,), 1, 1)
    assert reason in answer.reason
    assert answer.seconds == {}


def test_a_python_that_answers(parameters: Parameters, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "print('a line of a library')\n"
        "print(json.dumps({'levels': {'17': {'rotation': 1.5}}, 'library': 'OpenFHE 0',\n"
        "    'threads': os.environ['OMP_NUM_THREADS'], 'arguments': sys.argv[2:]}))\n"
    )
    python.chmod(0o700)
    answer = openfhe_process.measure(python, parameters, (16,), 3, 2)
    assert answer == OpenFhe("", answer.report)
    assert answer.seconds == {17: {"rotation": 1.5}}
    assert answer.to_json()["threads"] == "3"
    given = " ".join(answer.report["arguments"])
    for text in ("--limbs 17", "--base-bits 50", "--limb-bits 43", "--digits 4", "--levels 17"):
        assert text in given


def test_the_script_needs_nothing_of_ours(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), "--json", "--ring-dimension", "1024", "--limbs", "4"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert ("levels" in answer) == (done.returncode == 0)
    assert "levels" in answer or "openfhe" in answer["error"]
    assert "fhe_core" not in SCRIPT.read_text(encoding="utf-8")
