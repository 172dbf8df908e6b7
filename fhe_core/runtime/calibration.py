"""What the rounding of plaintexts does on average, found on calibration images, and taken off.

Weights and masks are rounded to integers at coarse scales. Which integers is known, so that their
effect on a linear step is known as well: it is the same linear map of the step's inputs, whose mean
over calibration images stands for the mean over all. Activations are squares, so this mean is most
of the effect. It is subtracted with the bias, for nothing (Nagel et al. 2019, arXiv:1906.04721,
section 4.2, do so for quantised networks).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fhe_core import encoding
from fhe_core import plan as plans
from fhe_core.errors import Failure
from fhe_core.plan import Plan, Step, step_writes, steps
from fhe_core.runtime.cleartext import CleartextBackend, Tables, linear_sums, mask_slots
from fhe_core.runtime.packed import PackedPlan, PackedTransform, Signed, with_biases
from fhe_core.runtime.sums import Slots, Terms

#: An image whose values are larger than the median image's by more than this diverges.
MAX_GROWTH = 4.0


class CalibrationError(Failure, ValueError):
    """A network that has no mean on its calibration images."""

    code = "plan-calibration"


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a plan holds for the calibration images, on average.

    Vectors are as long as the period with which all inputs and plaintexts repeat: all slots, or
    those of one image of a batch.

    Attributes:
        means: of the values that the plan's linear steps read.
        corrections: by the number of a linear step, what rounding adds to its outputs on average,
            [outputs, period].
    """

    means: Mapping[str, Slots]
    corrections: Mapping[int, Slots]


def calibrate(packed: PackedPlan, tables: Tables, images: Sequence[Sequence[Slots]]) -> Calibration:
    """Run the plan on ``images`` (the slots of its inputs) in the clear, and measure.

    Images on which the network diverges are left out.

    Raises:
        CalibrationError: it diverges on most of them.
        PlanError: the number of inputs is wrong.
    """
    plan = _linear_part(packed.plan)
    period = _period(plan, tables, images)
    short = {name: table[:, :period] for name, table in tables.items()}
    seen = [_Seen(plan, short) for _ in images]
    with np.errstate(all="ignore"):
        for one, inputs in zip(seen, images, strict=True):
            plans.run(plan, one, [np.asarray(row[:period]) for row in inputs])
    sizes = np.array([one.size for one in seen])
    usual = np.sort(sizes)[(len(sizes) - 1) // 2]
    if not np.isfinite(usual):
        raise CalibrationError("the network diverges on most of its calibration images")
    kept = [one.values for one in seen if one.size <= MAX_GROWTH * usual]
    means: dict[str, Slots] = {
        name: np.mean([values[name] for values in kept], axis=0) for name in kept[0]
    }
    rounded = _Rounded(packed, short, means)
    plans.run(plan, rounded, [means[name] for name in plan.inputs])
    return Calibration(means, rounded.corrections)


def corrected(packed: PackedPlan, tables: Tables, calibration: Calibration) -> PackedPlan:
    """The same plan, without what rounding adds to its linear steps on average.

    Raises:
        EncodingError: a bias is too large for its scale.
    """
    biases: dict[int, Slots] = {}
    for number, added in calibration.corrections.items():
        step = packed.plan.steps[number]
        assert isinstance(step, steps.LinearTransform)
        bias = tables[step.bias] if step.bias else np.zeros((1, 1))
        length = max(added.shape[1], bias.shape[1])
        biases[number] = _stretched(bias, length) - _stretched(added, length)
    return with_biases(packed, biases)


def _stretched(rows: Slots, length: int) -> Slots:
    return np.tile(rows, (1, length // rows.shape[1]))


def _linear_part(plan: Plan) -> Plan:
    """The steps up to the last linear one."""
    last = max(
        (n for n, step in enumerate(plan.steps) if isinstance(step, steps.LinearTransform)),
        default=-1,
    )
    return replace(plan, steps=plan.steps[: last + 1], labels=plan.labels[: last + 1], outputs=())


def smallest_period(rows: Slots) -> int:
    """Smallest power of two with which all rows [rows, slots] repeat."""
    period = int(rows.shape[-1])
    while period > 1 and np.array_equal(
        rows[..., : period // 2], rows[..., period // 2 : period], equal_nan=True
    ):
        period //= 2
    return period


def _period(plan: Plan, tables: Tables, images: Sequence[Sequence[Slots]]) -> int:
    """With which inputs, masks and tables repeat, and hence every value of the plan."""
    slots = int(images[0][0].size)
    used = [s for s in plan.steps if isinstance(s, steps.LinearTransform)]
    rows = [np.asarray(row)[None] for inputs in images for row in inputs]
    rows += [mask_slots(plan, mask, slots)[None] for mask in range(len(plan.masks))]
    rows += [tables[step.weights] for step in used]
    return max(smallest_period(row) for row in rows)


@dataclass(eq=False)
class _Seen:
    """Runs a plan on one image and remembers what comes in and what is not linear in it.

    values: by name; size: the largest of them, inf where one is not finite.
    """

    plan: Plan
    tables: Tables
    values: dict[str, Slots] = field(default_factory=dict)
    size: float = 0.0

    def __post_init__(self) -> None:
        self.backend = CleartextBackend(self.plan, self.tables, None, np.random.default_rng(0))

    def check(self, name: str, value: Slots) -> None:
        """Remember all; what is linear could be found again, but costs little memory."""
        self.values[name] = value
        largest = float(np.max(np.abs(value), initial=0.0))
        self.size = max(self.size, largest if np.isfinite(largest) else np.inf)

    def apply(self, number: int, step: Step, values: Mapping[str, Slots]) -> list[Slots]:
        """In the clear, exactly."""
        return self.backend.apply(number, step, values)


@dataclass(eq=False)
class _Rounded:
    """Runs linear steps on mean values, with plaintexts as they are packed.

    Every linear step gives its exact mean in the end, as the corrected one will; so does whatever
    is not linear.
    """

    packed: PackedPlan
    tables: Tables
    means: Mapping[str, Slots]
    corrections: dict[int, Slots] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plan = self.packed.plan
        self.backend = CleartextBackend(self.plan, self.tables, None, np.random.default_rng(0))
        self.decoded: dict[int, Slots] = {}

    def check(self, _name: str, _value: Slots) -> None:
        """Slots in the clear have no level and no scale."""

    def apply(self, number: int, step: Step, values: Mapping[str, Slots]) -> list[Slots]:
        """Means of what the step writes; of a linear step, the correction is kept."""
        exact = [self.means[name] for name in step_writes(step)]
        match step:
            case steps.LinearTransform():
                found = self.linear(step, self.packed.transforms[number], values)
                self.corrections[number] = np.stack(found) - np.stack(
                    [row - self.bias(step, i, row) for i, row in enumerate(exact)]
                )
                return exact
            case steps.MultiplyPlain():
                source = values[step.source]
                mask = self.slots_of(self.packed.masks[number]) / step.mask_scale
                return [source * mask[: source.size]]
            case steps.Rotate() | steps.FoldSum() | steps.DropLevel() | steps.SwitchRing():
                return self.backend.apply(number, step, values)
            case _:
                return exact

    def bias(self, step: steps.LinearTransform, number: int, like: Slots) -> Slots:
        if not step.bias:
            return np.zeros_like(like)
        rows = self.tables[step.bias]
        row = rows[number if len(rows) > 1 else 0]
        return np.tile(row, like.size // row.size)

    def linear(
        self, step: steps.LinearTransform, transform: PackedTransform, values: Mapping[str, Slots]
    ) -> list[Slots]:
        """What the step's sums come to with integer weights and masks, before the bias."""
        scales = [self.plan.values[name].scale for name in step.inputs]
        inputs = [values[name] * scale for name, scale in zip(step.inputs, scales, strict=True)]
        slots = inputs[0].size
        masks = {i: self.slots_of(mask)[:slots] for i, mask in enumerate(transform.masks)}
        terms = Terms(inputs, step.babies, masks, transform.terms)
        weights = self.slots_of(transform.weights)[:, :slots]
        total = step.weight_scales[0] * step.mask_scale * scales[0]
        found = linear_sums(step, transform.entries, weights, terms)
        return [sums / total for sums in found]

    def slots_of(self, coefficients: Signed) -> Slots:
        """Slots of integer coefficients; masks are shared by many steps."""
        if id(coefficients) not in self.decoded:
            slots = encoding.decode(coefficients.astype(np.float64), 1.0)
            self.decoded[id(coefficients)] = slots
        return self.decoded[id(coefficients)]
