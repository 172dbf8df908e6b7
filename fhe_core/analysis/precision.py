"""The precision model: the error that encryption adds to every step of a plan, predicted.

Slot by slot, as variances; docs/precision.md derives the terms. Message magnitudes
come from a cleartext run, so the prediction holds for inputs like the ones given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fhe_core import encoding
from fhe_core.analysis.extremes import likely_largest
from fhe_core.parameters import ERROR_ETA, Parameters
from fhe_core.plan import Observer, Plan, PlanError, Step, step_writes, steps
from fhe_core.runtime import cleartext
from fhe_core.runtime.cleartext import Noise, Tables, mask_slots
from fhe_core.runtime.sums import Slots, Terms, weighted_sums

ERROR_VARIANCE = ERROR_ETA / 2
#: Of a number rounded to an integer.
ROUNDING_VARIANCE = 1 / 12
#: How far the model claims to be off at most (docs/precision.md); its own tests hold it to that.
MODEL_FACTOR = 4.0
#: What is so close to an integer is one; and of what doubles hold of a number near one.
_INTEGER = 1e-6
_PRECISION_OF_DOUBLES = 1e-13
#: Of a coefficient of a uniform ternary secret.
SECRET_VARIANCE = 2 / 3


@dataclass(frozen=True)
class StepPrecision:
    """What a step's results carry.

    Attributes:
        magnitude: largest absolute slot value.
        predicted_std: standard deviation of the slot error, over all slots of all results.
        added_std: the part that this step itself adds, per result.
        predicted_largest: the slot error that the worst of all slots is as likely above as below.
    """

    label: str
    op: str
    magnitude: float
    predicted_std: float
    added_std: Mapping[str, float]
    predicted_largest: float

    @property
    def precision_bits(self) -> float:
        """Bits of the largest value that lie above the error."""
        if not self.predicted_std > 0 or not self.magnitude > 0:
            return math.nan
        return math.log2(self.magnitude) - math.log2(self.predicted_std)


@dataclass(frozen=True)
class ErrorStatistics:
    """-log2 of slot errors: more is better. ``worst_bits`` belongs to the largest error."""

    best_bits: float
    mean_bits: float
    worst_bits: float
    standard_deviation: float


def statistics(error: NDArray[np.float64]) -> ErrorStatistics:
    """Bits of the smallest, mean and largest absolute error; inf where it is zero.

    Raises:
        ValueError: there are no errors, or one is not finite.
    """
    size = np.abs(error)
    if not size.size or not np.all(np.isfinite(size)):
        raise ValueError("errors must be finite, and there must be at least one")
    with np.errstate(divide="ignore"):
        best, mean, worst = -np.log2([size.min(), size.mean(), size.max()])
    return ErrorStatistics(float(best), float(mean), float(worst), float(np.std(error)))


def predict(
    plan: Plan,
    tables: Tables,
    parameters: Parameters,
    inputs: Sequence[Slots],
    model: ErrorModel | None = None,
    observe: Observer[Slots] | None = None,
    means: Mapping[str, Slots] | None = None,
) -> list[StepPrecision]:
    """The predicted error of every step for freshly encrypted ``inputs``.

    model: of a library other than the native backend; observe: of the cleartext run; means: of
    values on calibration images (`runtime.calibration`), where the plan is corrected for what
    rounding does to them, so that only the rest of an input meets the rounding of plaintexts.

    Raises:
        PlanError: the plan was compiled for other parameters.
        ValueError: the number of inputs is wrong.
    """
    if plan.parameters_digest != parameters.digest:
        raise PlanError(f"the plan was not compiled for parameters '{parameters.name}'")
    tracker = _Tracker(plan, tables, parameters, model or ErrorModel(parameters), means or {})

    def follow(number: int, step: Step, values: Mapping[str, Slots]) -> None:
        tracker.observe(number, step, values)
        if observe is not None:
            observe(number, step, values)

    cleartext.run(plan, tables, inputs, observe=follow)
    return tracker.rows


def noise_of(rows: Sequence[StepPrecision]) -> Noise:
    """The noise for ``cleartext.run`` that adds to every result what its step adds."""
    deviation = {name: std for row in rows for name, std in row.added_std.items()}

    def noise(_step: Step, name: str) -> float:
        return deviation[name]

    return noise


@dataclass(frozen=True)
class ErrorModel:
    """Variances of a slot for the errors of single operations, in the ring of their level."""

    parameters: Parameters

    def dimension(self, level: int) -> int:
        """Of the ring that computes at that level."""
        return self.parameters.levels[level].ring_dimension

    def slot(self, coefficient_variance: float, level: int, scale: float) -> float:
        """Of a polynomial with independent coefficients of that variance: each coefficient counts
        as X^i + X^-i, which has a mean square of two."""
        return 2 * self.dimension(level) * coefficient_variance / scale**2

    def fresh(self, scale: float) -> float:
        """A fresh secret-key encryption: its error and the rounding of the encoding."""
        error = self.slot(ERROR_VARIANCE, self.parameters.top, scale)
        return error + self.encoding(self.parameters.slots, scale)

    def rounding(self, level: int, scale: float) -> float:
        """Division with rounding (rescale, mod-down) that ends at ``scale``: t0 + t1 s."""
        secret = 2 * self.dimension(level) * SECRET_VARIANCE
        return self.slot(ROUNDING_VARIANCE * (1 + secret), level, scale)

    def switching(self, level: int, scale: float) -> float:
        """Key switching at that level, without the rounding of its mod-down."""
        parameters = self.parameters
        tier = parameters.tiers[parameters.levels[level].tier]
        log_p = math.fsum(math.log2(p) for p in parameters.specials[: tier.special_limbs])
        total = 0.0
        for digit in parameters.digit_moduli(level):
            total += 4.0 ** (math.fsum(math.log2(q) for q in digit) - log_p)
        n = self.dimension(level)
        return self.slot(2 * n * ERROR_VARIANCE * total / 12, level, scale)

    @staticmethod
    def encoding(terms: int, scale: float) -> float:
        """Rounding of a plaintext of so many coefficients: those of a period, where it repeats."""
        return 2 * terms * ROUNDING_VARIANCE / scale**2


class DeviceErrorModel(ErrorModel):
    """Of faces that a device encrypted, which the server switches to its owner's key first."""

    def fresh(self, scale: float) -> float:
        """A fresh encryption, and the switch."""
        top = self.parameters.top
        return super().fresh(scale) + self.switching(top, scale) + self.rounding(top, scale)


def rounded_terms(mask: Slots, scale: float) -> int:
    """Coefficients of an encoded mask that rounding moves.

    A mask that repeats has fewer than N, and a constant none: a power of two represents it.
    """
    scaled = encoding.coefficients(mask, mask.size) * scale
    beyond_doubles = scale * _PRECISION_OF_DOUBLES
    moved = np.abs(scaled - np.rint(scaled)) > max(_INTEGER, beyond_doubles)
    return int(np.count_nonzero(moved))


@dataclass
class _Variance:
    """Per slot: what came in with the inputs of a step, and what the step adds."""

    carried: Slots
    added: Slots

    @property
    def total(self) -> Slots:
        return self.carried + self.added

    def roll(self, amount: int) -> _Variance:
        return _Variance(np.roll(self.carried, -amount), np.roll(self.added, -amount))

    def __add__(self, other: _Variance) -> _Variance:
        return _Variance(self.carried + other.carried, self.added + other.added)

    def plus(self, added: float | Slots) -> _Variance:
        return _Variance(self.carried, self.added + added)


@dataclass
class _Tracker:
    """Variances of all live values, step by step."""

    plan: Plan
    tables: Tables
    parameters: Parameters
    model: ErrorModel
    means: Mapping[str, Slots]
    rows: list[StepPrecision] = field(default_factory=list)
    variances: dict[str, Slots] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.plan.inputs:
            fresh = self.model.fresh(self.plan.values[name].scale)
            self.variances[name] = np.full(self.parameters.slots, fresh)

    def observe(self, number: int, step: Step, values: Mapping[str, Slots]) -> None:
        names = step_writes(step)
        results = dict(zip(names, self.results(step, values), strict=True))
        for name, variance in results.items():
            self.variances[name] = variance.total
        self.rows.append(
            StepPrecision(
                self.plan.labels[number],
                step.op,
                max(float(np.max(np.abs(values[name]))) for name in names),
                math.sqrt(np.mean([np.mean(v.total) for v in results.values()])),
                {name: math.sqrt(np.mean(v.added)) for name, v in results.items()},
                likely_largest(np.sqrt([v.total for v in results.values()])),
            )
        )

    def carried(self, name: str) -> _Variance:
        variance = self.variances[name]
        return _Variance(variance, np.zeros_like(variance))

    def uncorrected(self, name: str, value: Slots) -> Slots:
        """What of a value meets the rounding of plaintexts: all that is not its usual mean."""
        if name not in self.means:
            return value
        mean = self.means[name]
        rest: Slots = value - np.tile(mean, value.size // mean.size)
        return rest

    def switch(self, level: int, scale: float) -> float:
        """A whole key switch, mod-down included."""
        return self.model.switching(level, scale) + self.model.rounding(level, scale)

    def table(self, name: str, output: str) -> float:
        """Encoding error of a one-row table that is added."""
        if not name:
            return 0.0
        return self.model.encoding(self.tables[name].shape[1], self.plan.values[output].scale)

    def results(self, step: Step, values: Mapping[str, Slots]) -> Iterator[_Variance]:
        plan = self.plan
        match step:
            case steps.Rotate():
                error = self.switch(step.level, plan.values[step.source].scale)
                for amount in step.amounts:
                    yield self.carried(step.source).roll(amount).plus(error)
            case steps.FoldSum():
                source = plan.values[step.source]
                total = self.carried(step.source)
                rounding = self.model.rounding(source.level, source.scale)
                for amounts in step.pairs():
                    switching = len(amounts) * self.model.switching(source.level, source.scale)
                    total = sum((total.roll(a) for a in amounts), total).plus(switching + rounding)
                if step.rescale:
                    total = total.plus(self.result(step.output))
                yield total
            case steps.LinearTransform():
                yield from _linear(self, step, values)
            case steps.Square():
                squared: Slots = 4 * values[step.source] ** 2 * self.variances[step.source]
                rest = self.product(step.source, step.source, step.output)
                yield _Variance(squared, rest + self.table(step.offset, step.output))
            case steps.Multiply():
                left, right = values[step.left], values[step.right]
                product = left**2 * self.variances[step.right]
                product = product + right**2 * self.variances[step.left]
                yield _Variance(product, self.product(step.left, step.right, step.output))
            case steps.MultiplyPlain():
                mask = mask_slots(plan, step.mask, values[step.source].size)
                error = self.mask_error(mask, step.mask_scale)
                rest = self.uncorrected(step.source, values[step.source])
                added: Slots = rest**2 * error
                if step.rescale:
                    added = added + self.result(step.output)
                yield _Variance(mask * self.variances[step.source], added)
            case steps.Affine():
                carried = step.factor**2 * self.variances[step.source]
                error = self.table(step.table, step.output)
                yield _Variance(carried, np.full_like(carried, error))
            case steps.DropLevel():
                source = plan.values[step.source]
                dropped = self.carried(step.source)
                if self.parameters.drop_multiple(source.level, step.level) > 1:
                    dropped = dropped.plus(self.model.rounding(source.level, source.scale))
                yield dropped
            case steps.SwitchRing():
                lower, upper = np.split(self.variances[step.source], 2)
                output = plan.values[step.output]
                switching = self.model.switching(output.level, output.scale)
                switched = self.switch(output.level, output.scale) + switching
                yield _Variance(lower + upper, np.full_like(lower, switched))
            case steps.LiftRing():
                output = plan.values[step.output]
                carried = np.tile(self.variances[step.source], 2)
                yield _Variance(
                    carried, np.full_like(carried, self.switch(output.level, output.scale))
                )

    def product(self, left: str, right: str, output: str) -> Slots:
        """Error of a relinearised product."""
        a, b = self.plan.values[left], self.plan.values[right]
        error = self.model.switching(min(a.level, b.level), a.scale * b.scale)
        error += self.result(output)
        return np.full(self.parameters.slots_at(a.level), error)

    def result(self, name: str) -> float:
        """The division that ends with that ciphertext."""
        value = self.plan.values[name]
        return self.model.rounding(value.level, value.scale)

    def mask_error(self, mask: Slots, scale: float) -> float:
        return self.model.encoding(rounded_terms(mask, scale), scale)


def _linear(
    tracker: _Tracker, step: steps.LinearTransform, values: Mapping[str, Slots]
) -> Iterator[_Variance]:
    """Errors of one linear step, accumulator by accumulator; see docs/precision.md."""
    plan, model, weights = tracker.plan, tracker.model, tracker.tables[step.weights]
    slots = values[step.inputs[0]].size
    masks = {m: mask_slots(plan, m, slots) for _, m in step.terms if m >= 0}
    rest = [tracker.uncorrected(name, values[name]) for name in step.inputs]
    power = Terms([row**2 for row in rest], step.babies, masks, step.terms)
    variance = replace(power, inputs=[tracker.variances[name] for name in step.inputs])
    scales = [plan.values[name].scale for name in step.inputs]
    switching = [np.full(slots, model.switching(step.level, scale)) for scale in scales]
    unmoved = len(switching)
    moved = [(i if amount else unmoved, amount) for i, amount in step.babies]
    switched = replace(power, inputs=[*switching, np.zeros(slots)], babies=moved)
    squared = weights**2
    carried = weighted_sums(step.entries, squared, variance)
    added = weighted_sums(step.entries, squared, switched)
    added += weighted_sums(step.entries, _encoding_errors(model, step, weights), power)
    for mask in masks:  # what a mask multiplies, and its error with it
        own = [t for t, (_, m) in enumerate(step.terms) if m == mask]
        place = {t: i for i, t in enumerate(own)}
        entries = [[(place[t], row) for t, row in e if t in place] for e in step.entries]
        babies = [step.babies[step.terms[t][0]] for t in own]
        alone = Terms(rest, babies, {}, [(i, -1) for i in range(len(own))])
        product = weighted_sums(entries, weights, alone)
        added += product**2 * tracker.mask_error(masks[mask], step.mask_scale)
    output_scale = plan.values[step.outputs[0]].scale
    divided = tracker.parameters.rescale_factor(step.level, step.level - step.rescale)
    sum_scale = output_scale * divided
    totals = [_Variance(np.zeros(slots), np.zeros(slots)) for _ in step.outputs]
    for number, (output, giant) in enumerate(step.giants):
        own_added = added[number]
        if giant:
            own_added = own_added + tracker.switch(step.level, sum_scale)
        totals[output] = totals[output] + _Variance(carried[number], own_added).roll(giant)
    bias = tracker.table(step.bias, step.outputs[0])
    for total in totals:
        yield total.plus(tracker.result(step.outputs[0]) + bias)


def _encoding_errors(model: ErrorModel, step: steps.LinearTransform, weights: Slots) -> Slots:
    """Variances [rows, period] of encoded weights; a constant is off by its own rounding only."""
    scales = np.ones(len(weights))
    for entries in step.entries:
        for term, row in entries:
            baby, mask = step.terms[term]
            scale = step.weight_scales[step.babies[baby][0]]
            scales[row] = scale if mask >= 0 else scale * step.mask_scale
    scaled = weights[:, 0] * scales
    constant = np.all(weights == weights[:, :1], axis=1)
    errors = np.where(
        constant,
        (scaled - np.rint(scaled)) ** 2 / scales**2,
        model.encoding(step.period, 1.0) / scales**2,
    )
    return np.repeat(errors[:, None], weights.shape[1], axis=1)
