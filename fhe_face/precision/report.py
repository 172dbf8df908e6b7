"""Bits of precision of every layer, predicted beside measured, and the room before an overflow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import numpy as np

from fhe_core.analysis.extremes import headroom_bits
from fhe_core.analysis.precision import MODEL_FACTOR, StepPrecision, predict
from fhe_core.errors import Failure
from fhe_core.plan import Step, step_writes
from fhe_core.runtime.sums import Slots
from fhe_face.precision.runs import Backend, Work
from fhe_face.progress import Stage, silent


class PrecisionError(Failure):
    """A precision report that would say nothing: the network diverges in the clear."""

    code = "precision"


@dataclass(frozen=True)
class Bits:
    """log2 of a step's largest value over its error: over the root mean square of all slots, for
    the worst run and in the mean over runs, and over the largest error of all slots and runs."""

    least: float
    mean: float
    worst_slot: float

    def to_json(self) -> dict[str, float]:
        return {"min": self.least, "mean": self.mean, "worst_slot": self.worst_slot}


@dataclass(frozen=True)
class Row:
    """A step, or steps in a row with the same label.

    Attributes:
        magnitude: largest absolute slot of all runs.
        ratio: measured error by predicted error, root mean squares over all runs.
        headroom_bits: least room before the step's results wrap around
            (fhe_core.analysis.extremes).
        tightest: the run that it belongs to.
    """

    label: str
    op: str
    steps: int
    level: int
    log_scale: float
    magnitude: float
    predicted: Bits
    measured: Bits
    ratio: float
    headroom_bits: float
    tightest: str

    def to_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "op": self.op,
            "steps": self.steps,
            "level": self.level,
            "log2_scale": self.log_scale,
            "magnitude": self.magnitude,
            "predicted_bits": self.predicted.to_json(),
            "measured_bits": self.measured.to_json(),
            "ratio": self.ratio,
            "headroom_bits": self.headroom_bits,
            "tightest": self.tightest,
        }


@dataclass(frozen=True)
class Report:
    """source: "encrypted" or "simulated"; runs: their names; rows: one for each step."""

    plan: str
    plan_digest: str
    source: str
    runs: tuple[str, ...]
    rows: tuple[Row, ...]

    def layers(self) -> list[Row]:
        """Steps in a row with the same label as one, as `fhe-face plan` shows them: the least
        precise of them, and the least room."""
        return [_layer(list(group)) for _, group in groupby(self.rows, lambda row: row.label)]

    @property
    def tightest(self) -> Row:
        """The step with the least room before an overflow."""
        return min(self.rows, key=lambda row: row.headroom_bits)

    @property
    def worse_than_predicted(self) -> Row:
        """The step whose measured error is largest beside the predicted one."""
        return max(self.rows, key=lambda row: row.ratio)

    def to_json(self) -> dict[str, Any]:
        tightest, worse = self.tightest, self.worse_than_predicted
        return {
            "plan": self.plan,
            "plan_digest": self.plan_digest,
            "source": self.source,
            "runs": list(self.runs),
            "layers": [row.to_json() for row in self.layers()],
            "steps": [row.to_json() for row in self.rows],
            "smallest_headroom": {
                "label": tightest.label,
                "bits": tightest.headroom_bits,
                "run": tightest.tightest,
            },
            "largest_ratio": {"label": worse.label, "ratio": worse.ratio},
            "model_factor": MODEL_FACTOR,
        }


@dataclass(frozen=True)
class _Errors:
    """Of one step's results in one run."""

    std: float
    largest: float


@dataclass
class _Comparison:
    """One run: what is so in the clear, until the backend's results are compared with it."""

    name: str
    total: int
    stage: Stage
    clear: dict[str, Slots] = field(default_factory=dict)
    errors: list[_Errors] = field(default_factory=list)

    def remember(self, number: int, step: Step, values: Mapping[str, Slots]) -> None:
        self.clear.update({written: values[written] for written in step_writes(step)})
        self.stage(f"predicting {self.name}", number + 1, self.total)

    def compare(self, number: int, step: Step, values: Mapping[str, Slots]) -> None:
        pairs = [(self.clear.pop(name), values[name]) for name in step_writes(step)]
        self.errors.append(_errors(pairs))
        self.stage(f"running {self.name}", number + 1, self.total)


def report(work: Work, source: str, backend: Backend, stage: Stage = silent) -> Report:
    """Predict every run of ``work``, run it, and compare step by step.

    Raises:
        PrecisionError: a run is not finite even in the clear.
    """
    plan = work.plan
    predicted: list[list[StepPrecision]] = []
    measured: list[list[_Errors]] = []
    for name, inputs in zip(work.names, work.inputs, strict=True):
        one = _Comparison(name, len(plan.steps), stage)
        means = work.plaintexts.means
        rows = predict(
            plan, work.tables, work.parameters, inputs, observe=one.remember, means=means
        )
        for row in rows:
            if not math.isfinite(row.magnitude):
                raise PrecisionError(f"{name}: the network diverges at '{row.label}', in the clear")
        backend(inputs, rows, one.compare)
        predicted.append(rows)
        measured.append(one.errors)
    return Report(
        plan.name, plan.digest, source, tuple(work.names), tuple(_rows(work, predicted, measured))
    )


def _errors(pairs: Sequence[tuple[Slots, Slots]]) -> _Errors:
    """Of all slots."""
    errors = np.abs([got - wanted for wanted, got in pairs])
    return _Errors(float(np.sqrt(np.mean(errors**2))), float(np.max(errors)))


def _rows(
    work: Work, predicted: Sequence[Sequence[StepPrecision]], measured: Sequence[Sequence[_Errors]]
) -> list[Row]:
    plan, found = work.plan, []
    for number, (step, label) in enumerate(zip(plan.steps, plan.labels, strict=True)):
        own, errors = [run[number] for run in predicted], [run[number] for run in measured]
        sizes = [row.magnitude for row in own]
        values = [plan.values[name] for name in step_writes(step)]
        room = [min(headroom_bits(work.parameters, v, size) for v in values) for size in sizes]
        actual = math.sqrt(np.mean([e.std**2 for e in errors]))
        expected = math.sqrt(np.mean([row.predicted_std**2 for row in own]))
        found.append(
            Row(
                label,
                step.op,
                1,
                values[0].level,
                round(math.log2(values[0].scale), 3),
                max(sizes),
                _bits(sizes, [p.predicted_std for p in own], [p.predicted_largest for p in own]),
                _bits(sizes, [e.std for e in errors], [e.largest for e in errors]),
                actual / expected,
                min(room),
                work.names[int(np.argmin(room))],
            )
        )
    return found


def _bits(sizes: Sequence[float], deviations: Sequence[float], largest: Sequence[float]) -> Bits:
    with np.errstate(divide="ignore", invalid="ignore"):
        usual, worst = np.log2(sizes) - np.log2([deviations, largest])
    return Bits(float(usual.min()), float(usual.mean()), float(worst.min()))


def _layer(rows: Sequence[Row]) -> Row:
    least = min(rows, key=lambda row: row.predicted.least)
    tightest = min(rows, key=lambda row: row.headroom_bits)
    return replace(
        least,
        steps=len(rows),
        magnitude=max(row.magnitude for row in rows),
        headroom_bits=tightest.headroom_bits,
        tightest=tightest.tightest,
    )
