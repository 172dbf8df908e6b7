"""Every step's measured error against the model, and what the report says of layers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core.analysis.precision import MODEL_FACTOR
from fhe_core.ciphertext import Ciphertext
from fhe_core.outputs import Outputs
from fhe_core.plan import step_writes
from fhe_core.secret.key import SecretKey
from fhe_face.bench import plots
from fhe_face.bench.subject import Subject
from fhe_face.failures import UsageError
from fhe_face.places import Packing as Together
from fhe_face.precision import table as precision_table
from fhe_face.precision.report import PrecisionError, Report, report
from fhe_face.precision.runs import Work, encrypted, simulated, work_of
from tests.core import tiny

IMAGES = 5
NAMES = [f"image {number}" for number in range(IMAGES)]


def work_for(subject: Subject, count: int = IMAGES) -> Work:
    images = tiny.images_for(subject.network, count, seed=8)
    return work_of(subject.engine, subject.network, images, NAMES[:count])


def require_agreement(found: Report) -> None:
    """No step is further off than the model says. After a sum over all slots their errors are one
    and the same, which may happen to be small."""
    summed = False
    for row in found.rows:
        summed = summed or row.op == "fold-sum"
        least = 1 / (4 * MODEL_FACTOR) if summed else 1 / MODEL_FACTOR
        assert least < row.ratio < MODEL_FACTOR, (row.label, row.ratio)
        assert abs(row.measured.worst_slot - row.predicted.worst_slot) < 4, row


@pytest.fixture(scope="module")
def work(subject: Subject) -> Work:
    return work_for(subject)


@pytest.fixture(scope="module")
def found(work: Work) -> Report:
    return report(work, "encrypted", encrypted(work, 1))


def test_measured_agrees_with_predicted(found: Report, work: Work) -> None:
    assert [row.label for row in found.rows] == list(work.plan.labels)
    require_agreement(found)
    early = [row for row in found.rows if row.op == "linear"]
    assert early[0].ratio == pytest.approx(1, abs=0.2)


def test_bits_are_ordered(found: Report) -> None:
    for row in found.rows:
        for bits in (row.predicted, row.measured):
            assert bits.worst_slot < bits.least <= bits.mean
        assert row.tightest in found.runs
        assert 0 < row.headroom_bits < 43 * 14


def test_layers_are_those_of_the_plan(found: Report) -> None:
    layers = found.layers()
    assert all(a.label != b.label for a, b in pairwise(layers))
    assert sum(row.steps for row in layers) == len(found.rows) > len(layers)
    assert min(row.headroom_bits for row in layers) == found.tightest.headroom_bits
    assert min(r.predicted.least for r in layers) == min(r.predicted.least for r in found.rows)
    answer = found.to_json()
    assert answer["smallest_headroom"]["label"] == found.tightest.label
    assert answer["largest_ratio"]["ratio"] == max(row.ratio for row in found.rows)
    assert len(answer["layers"]) == len(layers)
    assert answer["runs"] == NAMES


def test_simulation_agrees_as_well(work: Work) -> None:
    found = report(work, "simulated", simulated(work))
    assert found.source == "simulated"
    require_agreement(found)


def test_a_smaller_scale_is_noticed(work: Work, subject: Subject) -> None:
    """A backend that loses bits where the model does not expect it is found out, at its step."""
    exact = simulated(work)
    label = work.plan.labels[4]

    def careless(inputs, rows, observe):  # type: ignore[no-untyped-def]
        def worse(number, step, values):  # type: ignore[no-untyped-def]
            error = 100 * rows[number].predicted_std if number == 4 else 0.0
            observe(number, step, {name: slots + error for name, slots in values.items()})

        exact(inputs, rows, worse)

    found = report(work, "simulated", careless)
    assert found.worse_than_predicted.label == label
    assert found.worse_than_predicted.ratio > 90


def test_a_batch(subject: Subject) -> None:
    many = subject.engine.only([Together.BATCH])
    images = tiny.images_for(subject.network, 3)
    work = work_of(many, subject.network, images, NAMES[:3])
    assert len(work.inputs) == 1
    require_agreement(report(work, "encrypted", encrypted(work, 1)))


def test_overflow_is_seen(subject: Subject) -> None:
    """Inputs a million times too large: negative room, and precision is gone from there on."""
    work = work_for(subject, 1)
    huge = replace(work, inputs=[[1e3 * row for row in work.inputs[0]]])
    found = report(huge, "encrypted", encrypted(huge, 1))
    assert found.tightest.headroom_bits < 0
    wrapped = [row for row in found.rows if row.headroom_bits < 0]
    assert all(row.measured.least < 3 < row.predicted.least for row in wrapped)


def test_a_diverging_network_is_refused(subject: Subject) -> None:
    work = work_for(subject, 1)
    infinite = replace(work, inputs=[[1e200 * row for row in work.inputs[0]]])
    with pytest.raises(PrecisionError, match="image 0: the network diverges at"):
        report(infinite, "simulated", simulated(infinite))


def test_tables_and_plots(found: Report, tmp_path: Path) -> None:
    for name, mark in (("t.md", "| stem |"), ("t.csv", "\nstem,")):
        precision_table.check(tmp_path / name, Outputs())
        precision_table.write(found, tmp_path / name)
        text = (tmp_path / name).read_text()
        assert mark in text
        assert len(text.splitlines()) == len(found.layers()) + (2 if name == "t.md" else 1)
    with pytest.raises(UsageError, match=r"must be one of .md, .csv"):
        precision_table.check(tmp_path / "t.txt", Outputs())
    pytest.importorskip("matplotlib")
    plots.draw_precision(found, tmp_path / "p.svg")
    assert b"<svg" in (tmp_path / "p.svg").read_bytes()


def test_every_value_is_decrypted_once(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(work, inputs=work.inputs[:1], names=work.names[:1])
    decrypt, levels = SecretKey.decrypt, []

    def counted(key: SecretKey, ciphertext: Ciphertext) -> NDArray[np.float64]:
        levels.append(ciphertext.level)
        return decrypt(key, ciphertext)

    monkeypatch.setattr(SecretKey, "decrypt", counted)
    report(one, "encrypted", encrypted(one, 1))
    values = one.plan.values
    assert levels == [values[n].level for step in one.plan.steps for n in step_writes(step)]
