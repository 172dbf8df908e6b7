"""OpenFHE's times, measured by another Python where its wheel is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhe_core.oracles import interpreter
from fhe_core.oracles.chain import chain_of
from fhe_core.oracles.interface import OracleError
from fhe_core.parameters import Parameters

#: It imports nothing of ours, so that any Python can run it.
SCRIPT = Path(__file__).with_name("openfhe_operations.py")
_PATIENCE_SECONDS = 900


@dataclass(frozen=True)
class OpenFhe:
    """What came back.

    Attributes:
        reason: why there are no times; "" where there are.
        report: what the script printed.
    """

    reason: str
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> dict[int, dict[str, float]]:
        """By number of limbs and operation."""
        return {int(limbs): dict(rows) for limbs, rows in self.report.get("levels", {}).items()}

    def to_json(self) -> dict[str, Any]:
        if self.reason:
            return {"available": False, "reason": self.reason}
        return {"available": True, **{k: v for k, v in self.report.items() if k != "levels"}}


def measure(
    python: str | os.PathLike[str] | None,
    parameters: Parameters,
    levels: Sequence[int],
    threads: int,
    rounds: int,
) -> OpenFhe:
    """Run the script with an interpreter (None: this one), on a chain like that of ``parameters``.

    OpenFHE's chain (``fhe_core.oracles.chain``) is in the ring of the same dimension here. No
    errors: where it cannot run, the answer says why.
    """
    chain = chain_of(parameters)
    command = [str(python or sys.executable), str(SCRIPT), "--json"]
    numbers = {
        "--ring-dimension": parameters.ring_dimension,
        "--limbs": chain.limbs,
        "--limb-bits": chain.limb_bits,
        "--base-bits": chain.base_bits,
        "--digits": chain.digits,
        "--rounds": rounds,
    }
    for option, value in numbers.items():
        command += [option, str(value)]
    command += ["--levels", *(str(parameters.levels[level].limbs) for level in levels)]
    try:
        done = interpreter.run(command, _PATIENCE_SECONDS, {"OMP_NUM_THREADS": str(threads)})
    except OracleError as error:
        return OpenFhe(f"{command[0]}: {error}")
    return _answer(command[0], done)


def _answer(python: str, done: subprocess.CompletedProcess[str]) -> OpenFhe:
    try:
        report = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = interpreter.last_line(done)
        return OpenFhe(f"{python} ended with status {done.returncode}: {last}")
    if not isinstance(report, dict) or "levels" not in report:
        reason = report.get("error", "no times") if isinstance(report, dict) else "no times"
        hint = " (its wheel needs Python 3.10: --openfhe-python)" if "module" in reason else ""
        return OpenFhe(f"{python}: {reason}{hint}")
    return OpenFhe("", report)
