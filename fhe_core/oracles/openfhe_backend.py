"""The OpenFHE backend: runs a plan in the process that can import OpenFHE.

Between the processes go files (``fhe_core.oracles.exchange``), so that the other Python needs numpy
and openfhe only: neither our extension nor our other dependencies have to exist for its version,
and the oracle cannot use our kernels even by accident.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fhe_core.oracles import interpreter
from fhe_core.oracles.chain import Chain, chain_of
from fhe_core.oracles.exchange import Answer, Job, load_answer, save_job
from fhe_core.oracles.interface import Slots
from fhe_core.oracles.run import Tables, checked
from fhe_core.parameters import Parameters
from fhe_core.plan import Plan

_WORKER = "fhe_core.oracles.openfhe_worker"
_PATIENCE_SECONDS = 1800.0


@dataclass(frozen=True)
class OpenFheBackend:
    """python: an interpreter that imports numpy and openfhe, as ``interpreter`` finds one."""

    python: Path
    threads: int = 1

    def run(
        self,
        plan: Plan,
        tables: Tables,
        parameters: Parameters,
        inputs: Sequence[Slots],
        *,
        every_value: bool = False,
    ) -> Answer:
        """Decrypted outputs of a plan; with ``every_value`` those of all its steps.

        Raises:
            PlanError: the plan was compiled for other parameters.
            OracleError: OpenFHE refuses the parameters or fails.
        """
        plan = checked(plan, parameters, every_value)
        return self.answer(Job(chain_of(parameters), plan, tables, inputs))

    def accepts(self, chain: Chain) -> Answer:
        """What OpenFHE's parameter generator makes of a chain, without keys.

        Raises:
            OracleError: it refuses; the text is its own.
        """
        return self.answer(Job(chain))

    def answer(self, job: Job) -> Answer:
        """Raises OracleError: the other process failed; the text is its last line."""
        with tempfile.TemporaryDirectory(prefix="oracle-") as folder:
            question, reply = Path(folder, "job.npz"), Path(folder, "answer.npz")
            save_job(question, job)
            interpreter.run_module(
                self.python,
                _WORKER,
                [os.fspath(question), os.fspath(reply)],
                self.threads,
                _PATIENCE_SECONDS,
            )
            return load_answer(reply)
