"""Jobs and answers survive the way through a file; anything else is refused in one line."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core.oracles.chain import chain_of
from fhe_core.oracles.exchange import Answer, Job, load_answer, load_job, save_answer, save_job
from fhe_core.oracles.interface import OracleError
from tests.oracles.bench import Bench


def test_job(tmp_path: Path, bench: Bench) -> None:
    path, chain = tmp_path / "job.npz", chain_of(bench.parameters)
    save_job(path, Job(chain, bench.plan, bench.tables, bench.values))
    job = load_job(path)
    assert job.chain == chain
    assert job.plan is not None
    assert job.plan.digest == bench.plan.digest
    assert job.tables is not None
    assert job.tables.keys() == bench.tables.keys()
    assert all(np.array_equal(job.tables[n], bench.tables[n]) for n in bench.tables)
    assert all(map(np.array_equal, job.inputs, bench.values))
    save_job(path, Job(chain))
    assert load_job(path).plan is None


def test_answer(tmp_path: Path) -> None:
    outputs: dict[str, Any] = {"a b": np.arange(4) * 1.5, "": np.zeros(0)}
    path = tmp_path / "answer.npz"
    save_answer(path, Answer(outputs, {"seconds": 1.5}))
    answer = load_answer(path)
    assert answer.report == {"seconds": 1.5}
    assert all(np.array_equal(answer.outputs[name], outputs[name]) for name in outputs)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"PK\x03\x04 cut off", pickle.dumps({"head": 1})]
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    with pytest.raises(OracleError, match=r"file\.npz: not a job"):
        load_job(path)
    with pytest.raises(OracleError, match=r"file\.npz: not an oracle's answer"):
        load_answer(path)
    with pytest.raises(OracleError):
        load_answer(tmp_path / "missing.npz")
