"""The process in which OpenFHE runs: a job in, an answer out.

    python3.10 -m fhe_core.oracles.openfhe_worker JOB.npz ANSWER.npz

It needs numpy and openfhe only. Ends with status 1 and one line on stderr where it cannot answer.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fhe_core.oracles.exchange import Answer, Job, load_job, save_answer
from fhe_core.oracles.interface import OracleError
from fhe_core.oracles.openfhe_library import OpenFheLibrary, context_of, imported, moduli_of
from fhe_core.oracles.run import Runner, multiplies, rotations


def answer(job: Job) -> Answer:
    """Run a job; OracleError where OpenFHE cannot."""
    imported()
    started = time.perf_counter()
    if job.plan is None:
        context = context_of(job.chain)
        facts = {
            "ring_dimension": int(context.GetRingDimension()),
            "depth": int(context.GetMultiplicativeDepth()),
        }
        moduli = moduli_of(context, job.chain.limbs)
        return Answer({}, {**_report(job, moduli), **facts})
    library = OpenFheLibrary(
        job.chain,
        rotations(job.plan, job.chain.slots),
        multiplies=multiplies(job.plan),
    )
    keys = time.perf_counter()
    runner = Runner(library, job.plan, job.tables or {}, job.chain.levels)
    outputs = runner.run(job.inputs)
    report = {
        **_report(job, library.moduli),
        "keygen_seconds": keys - started,
        "run_seconds": time.perf_counter() - keys,
        "peak_rss_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "operations": dict(runner.counts),
    }
    return Answer(dict(zip(job.plan.outputs, outputs, strict=True)), report)


def _report(job: Job, moduli: Any) -> dict[str, Any]:
    return {
        "library": f"OpenFHE {version('openfhe')}",
        "security": "HEStd_128_classic" if job.chain.secure else "none (test)",
        "log2_q": math.fsum(math.log2(q) for q in moduli),
        "moduli": [str(q) for q in moduli],
    }


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print("usage: openfhe_worker JOB.npz ANSWER.npz", file=sys.stderr)
        return 2
    try:
        save_answer(Path(arguments[1]), answer(load_job(Path(arguments[0]))))
    except (OracleError, RuntimeError, MemoryError) as error:
        print(" ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
