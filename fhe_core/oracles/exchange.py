"""Jobs and answers as .npz files, for a library that runs in another Python.

A job holds a plan, its tables and its inputs; an answer the decrypted outputs and a report. No
pickle: arrays, and text as bytes.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.oracles.chain import Chain
from fhe_core.oracles.interface import OracleError, Slots
from fhe_core.plan import Plan, PlanError, from_json

#: What numpy and json raise for a file that is missing, damaged or something else.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, eq=False)
class Job:
    """Run ``plan`` on ``inputs``; without a plan, only make the context and describe it."""

    chain: Chain
    plan: Plan | None = None
    tables: Mapping[str, NDArray[Any]] | None = None
    inputs: Sequence[Slots] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """outputs: decrypted slots by name; report: library, ring, primes, counts, seconds."""

    outputs: Mapping[str, NDArray[np.float64]]
    report: Mapping[str, Any]


def save_job(path: Path, job: Job) -> None:
    tables = dict(job.tables or {})
    head = {
        "chain": job.chain.describe(),
        "tables": list(tables),
        "inputs": len(job.inputs),
    }
    arrays: dict[str, NDArray[Any]] = {
        f"table{i}": table for i, table in enumerate(tables.values())
    }
    arrays |= {f"input{i}": values for i, values in enumerate(job.inputs)}
    if job.plan is not None:
        arrays["plan"] = _bytes(job.plan.to_json())
    _save(path, head, arrays)


def load_job(path: Path) -> Job:
    """Raises OracleError: the file is not a job."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            head = json.loads(_text(archive["head"]))
            plan = from_json(_text(archive["plan"])) if "plan" in archive.files else None
            return Job(
                Chain.from_description(head["chain"]),
                plan,
                {name: archive[f"table{i}"] for i, name in enumerate(head["tables"])},
                [archive[f"input{i}"] for i in range(head["inputs"])],
            )
    except (*_DAMAGE, PlanError) as error:
        raise OracleError(f"{path}: not a job for an oracle ({error})") from None


def save_answer(path: Path, answer: Answer) -> None:
    head = {"report": dict(answer.report), "outputs": list(answer.outputs)}
    arrays = {f"output{i}": values for i, values in enumerate(answer.outputs.values())}
    _save(path, head, arrays)


def load_answer(path: Path) -> Answer:
    """Raises OracleError: the file is not an answer."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            head = json.loads(_text(archive["head"]))
            outputs = {name: archive[f"output{i}"] for i, name in enumerate(head["outputs"])}
            return Answer(outputs, head["report"])
    except _DAMAGE as error:
        raise OracleError(f"{path}: not an oracle's answer ({error})") from None


def _save(path: Path, head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    everything: dict[str, Any] = {**arrays, "head": _bytes(json.dumps(head))}
    np.savez(path, **everything)


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _text(data: NDArray[np.uint8]) -> str:
    return data.tobytes().decode()
