"""The SEAL backend: runs shallow plans in this process, through TenSEAL."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import version

from fhe_core.oracles.chain import levels_of
from fhe_core.oracles.exchange import Answer
from fhe_core.oracles.interface import Slots
from fhe_core.oracles.run import Runner, Tables, checked, multiplies, rotations
from fhe_core.oracles.seal_library import SealLibrary
from fhe_core.parameters import Parameters
from fhe_core.plan import Plan


def run(
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
        OracleError: TenSEAL is missing, or the plan is beyond SEAL's limits.
    """
    plan = checked(plan, parameters, every_value)
    started = time.perf_counter()
    library = SealLibrary(
        parameters,
        rotations(plan, parameters.slots),
        multiplies=multiplies(plan),
    )
    keys = time.perf_counter()
    runner = Runner(library, plan, tables, levels_of(parameters))
    outputs = runner.run(inputs)
    report = {
        "library": f"SEAL, in TenSEAL {version('tenseal')}",
        "keygen_seconds": keys - started,
        "run_seconds": time.perf_counter() - keys,
        "operations": dict(runner.counts),
    }
    return Answer(dict(zip(plan.outputs, outputs, strict=True)), report)
