"""Every primitive: OpenFHE and the native backend agree; a broken kernel is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fhe_core.analysis.precision import ErrorModel
from fhe_core.oracles.compare import OracleMismatch, require_agreement
from fhe_core.oracles.openfhe_backend import OpenFheBackend
from fhe_core.runtime import cleartext
from tests.oracles import faults
from tests.oracles.bench import Bench, Values
from tests.oracles.primitives import SHOWS


@pytest.fixture(scope="module")
def theirs(bench: Bench, openfhe: OpenFheBackend) -> Values:
    return openfhe.run(
        bench.plan, bench.tables, bench.parameters, bench.values, every_value=True
    ).outputs


@pytest.fixture(scope="module")
def ours(bench: Bench) -> Values:
    return bench.native()


@pytest.mark.parametrize("name", SHOWS, ids=lambda name: f"{SHOWS[name]} ({name})")
def test_primitive(bench: Bench, ours: Values, theirs: Values, name: str) -> None:
    found = bench.differences({name: ours[name]}, theirs)
    require_agreement(found)
    assert found[name].rms > 0  # encrypted under two keys, not copied


def test_both_are_near_the_clear_result(bench: Bench, ours: Values, theirs: Values) -> None:
    clear = cleartext.run(bench.plan, bench.tables, bench.values)
    predicted = bench.predicted(ErrorModel(bench.parameters))
    for name, slots in zip(bench.plan.outputs, clear, strict=True):
        for found in (ours[name], theirs[name]):
            error = float(np.sqrt(np.mean(np.abs(found - slots) ** 2)))
            # OpenFHE's rotations have more error than ours (docs/oracles.md).
            assert error < 64 * predicted[name], (name, error, predicted[name])


@pytest.mark.parametrize("fault", faults.FAULTS, ids=lambda fault: fault.__name__)
def test_a_broken_kernel_is_found(bench: Bench, theirs: Values, fault: Any) -> None:
    """The same comparison, with one thing wrong in the native arithmetic."""
    evaluator = bench.evaluator()
    evaluator.context = fault(evaluator.context)  # not the class that mypy knows
    broken = bench.native(evaluator)
    with pytest.raises(OracleMismatch, match=r"values differ; the worst is"):
        require_agreement(bench.differences(broken, theirs))
