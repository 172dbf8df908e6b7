"""The plan: a flat list of typed steps with exact levels and scales, all that compiler and runtime
share.

A plan holds structure only (rotations, masks, where each weight goes), never the values of weights:
a client needs it to know which keys to make, and every model of the same architecture shares it.
Values are in static single assignment: a step names the ciphertexts it reads and writes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from fhe_core.files import one_line
from fhe_core.parameters import Parameters

_T = TypeVar("_T")


class PlanError(ValueError):
    """A plan that is malformed or does not belong to the parameters at hand."""

    def __init__(self, text: str) -> None:
        """`text` may quote the plan: what cannot be printed is escaped."""
        super().__init__(one_line(text))


@dataclass(frozen=True)
class Value:
    """A ciphertext during the run: its number of limbs and exact scale."""

    name: str
    limbs: int
    scale: float


@dataclass(frozen=True)
class Rotate:
    """outputs[i] = source dropped to ``limbs`` limbs and rotated by amounts[i] (hoisted)."""

    op: ClassVar[str] = "rotate"
    source: str
    outputs: tuple[str, ...]
    amounts: tuple[int, ...]
    limbs: int


@dataclass(frozen=True)
class FoldSum:
    """x += rotation of x by each amount in turn, then rescale; the sum lands in every slot of the
    period."""

    op: ClassVar[str] = "fold-sum"
    source: str
    output: str
    amounts: tuple[int, ...]
    rescale: int = 0

    def pairs(self) -> list[tuple[int, ...]]:
        """Rotations that are added at once, from one decomposition: two amounts a and b in a row
        add the rotations by a, b and a + b."""
        found: list[tuple[int, ...]] = []
        for first in range(0, len(self.amounts), 2):
            pair = self.amounts[first : first + 2]
            found.append((*pair, sum(pair)) if len(pair) > 1 else pair)
        return found


@dataclass(frozen=True)
class LinearTransform:
    """outputs[o] = sum over accumulators a of o: rotation by giants[a] of
    sum over entries of a: weight * mask * rotation(inputs[i], amount), then rescale.

    Attributes:
        inputs: ciphertext names; all are dropped to ``limbs`` limbs first.
        weight_scales: one per input: exact scale of its periodic weights.
        babies: (input, rotation amount) pairs.
        terms: (baby, mask) pairs; mask is an index into the plan's masks, or -1.
        giants: (output, rotation amount) pairs, one per accumulator. Run as Horner's scheme: an
            accumulator is rotated by its distance to the next lower amount only, together with
            all that came before it; equal distances share a key.
        entries: one tuple of (term, weight row) pairs per accumulator.
        weights: name of the weight table, [rows, period] slot values.
        period: slots after which weights repeat; may be all slots of the ciphertext.
        mask_scale: exact scale of the masks.
        bias: name of a table that is added, of one row for all outputs or one for each, or "".
        rescale: limbs dropped at the end.
    """

    op: ClassVar[str] = "linear"
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    limbs: int
    weight_scales: tuple[float, ...]
    babies: tuple[tuple[int, int], ...]
    terms: tuple[tuple[int, int], ...]
    giants: tuple[tuple[int, int], ...]
    entries: tuple[tuple[tuple[int, int], ...], ...]
    weights: str
    period: int
    mask_scale: float
    bias: str
    rescale: int

    def horner(self) -> list[list[tuple[int, int]]]:
        """Per output: accumulators, highest amount first, with the rotation that follows each."""
        chains = []
        for output in range(len(self.outputs)):
            own = sorted((-amount, i) for i, (o, amount) in enumerate(self.giants) if o == output)
            lower = [*(-amount for amount, _ in own[1:]), 0]
            chains.append(
                [(i, -amount - after) for (amount, i), after in zip(own, lower, strict=True)]
            )
        return chains


@dataclass(frozen=True)
class Square:
    """output = source**2 + offset (a table name of one row, or ""), relinearised and rescaled."""

    op: ClassVar[str] = "square"
    source: str
    output: str
    rescale: int
    offset: str


@dataclass(frozen=True)
class SquareParts:
    """output = Re(source)**2 + i Im(source)**2 + offset: two real vectors, squared side by side."""

    op: ClassVar[str] = "square-parts"
    source: str
    output: str
    rescale: int
    offset: str


@dataclass(frozen=True)
class Join:
    """output = left + i right, of the same limbs and scale. Free and exact."""

    op: ClassVar[str] = "join"
    left: str
    right: str
    output: str


@dataclass(frozen=True)
class Part:
    """outputs = Re(source), Im(source)."""

    op: ClassVar[str] = "part"
    source: str
    outputs: tuple[str, str]


@dataclass(frozen=True)
class Multiply:
    """output = left * right, both dropped to ``limbs`` limbs, relinearised and rescaled."""

    op: ClassVar[str] = "multiply"
    left: str
    right: str
    output: str
    limbs: int
    rescale: int


@dataclass(frozen=True)
class MultiplyPlain:
    """output = source * mask, then rescale."""

    op: ClassVar[str] = "multiply-plain"
    source: str
    output: str
    mask: int
    mask_scale: float
    rescale: int


@dataclass(frozen=True)
class Affine:
    """output = factor * source + table (of one row). The factor is free: the same residues are read
    at the scale divided by it."""

    op: ClassVar[str] = "affine"
    source: str
    output: str
    factor: float
    table: str


@dataclass(frozen=True)
class DropLevel:
    """output = source with only its first ``limbs`` limbs."""

    op: ClassVar[str] = "drop-level"
    source: str
    output: str
    limbs: int


Step = (
    Rotate
    | FoldSum
    | LinearTransform
    | Square
    | SquareParts
    | Join
    | Part
    | Multiply
    | MultiplyPlain
    | Affine
    | DropLevel
)
STEP_TYPES: tuple[type[Step], ...] = (
    Rotate,
    FoldSum,
    LinearTransform,
    Square,
    SquareParts,
    Join,
    Part,
    Multiply,
    MultiplyPlain,
    Affine,
    DropLevel,
)


@dataclass(frozen=True)
class KeyName:
    """One evaluation key: a rotation amount and the tier it serves.

    0 stands for relinearisation, as many as there are slots for complex conjugation.
    """

    rotation: int
    tier: int


@dataclass(frozen=True)
class KeySpecification:
    """A key with the number of limbs it must cover, which decides its size."""

    name: KeyName
    limbs: int

    def shape(self, parameters: Parameters) -> tuple[int, int, int]:
        """(digits, limbs + specials, ring dimension) of each half of the key."""
        tier = parameters.tiers[self.name.tier]
        return (
            tier.digits(self.limbs),
            self.limbs + tier.special_limbs,
            parameters.ring_dimension,
        )


@dataclass(frozen=True)
class Plan:
    """Steps with everything needed to check and run them.

    Attributes:
        name: what the plan computes.
        parameters_digest: the parameter set it was compiled for.
        inputs, outputs: names of ciphertexts that come in and go out, in order.
        values: every ciphertext by name, with limbs and scale.
        masks: slot patterns, each a tuple of (start, stop) runs of slots that are one.
        steps: in execution order.
        labels: one human-readable label per step.
        metadata: layouts and other facts that client and server must agree on; JSON-ready.
    """

    name: str
    parameters_digest: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Mapping[str, Value]
    masks: tuple[tuple[tuple[int, int], ...], ...]
    steps: tuple[Step, ...]
    labels: tuple[str, ...]
    metadata: Mapping[str, Any]

    @property
    def real(self) -> bool:
        """Whether all slots are real numbers: imaginary parts hold errors only."""
        return not any(isinstance(step, Join | Part | SquareParts) for step in self.steps)

    def to_json(self) -> str:
        """Canonical text; scales as exact hexadecimal floats."""
        document = {
            "name": self.name,
            "parameters": self.parameters_digest,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "values": [[v.name, v.limbs, v.scale.hex()] for v in self.values.values()],
            "masks": self.masks,
            "steps": [_step_to_json(step) for step in self.steps],
            "labels": self.labels,
            "metadata": self.metadata,
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the canonical text."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def from_json(text: str) -> Plan:
    """Inverse of :meth:`Plan.to_json`, with the structure checked.

    Raises:
        PlanError: the text is not a plan.
    """
    try:
        document = json.loads(text)
        rows = [
            _checked(Value, name=name, limbs=limbs, scale=float.fromhex(scale))
            for name, limbs, scale in document["values"]
        ]
        plan = _checked(
            Plan,
            name=document["name"],
            parameters_digest=document["parameters"],
            inputs=_tuples(document["inputs"]),
            outputs=_tuples(document["outputs"]),
            values={row.name: row for row in rows},
            masks=_tuples(document["masks"]),
            steps=tuple(_step_from_json(item) for item in document["steps"]),
            labels=_tuples(document["labels"]),
            metadata=document["metadata"],
        )
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise PlanError(f"not a plan: {error}") from None
    _check_order(plan)
    return plan


def _check_order(plan: Plan) -> None:
    """Every step reads what was written before, writes something new, and rotates by something."""
    known = set(plan.inputs)
    if not known <= plan.values.keys():
        raise PlanError("an input has no value")
    for step in plan.steps:
        if not known.issuperset(step_reads(step)):
            raise PlanError(f"a '{step.op}' step reads a ciphertext that is not there yet")
        written = set(step_writes(step))
        if known & written or not written <= plan.values.keys():
            raise PlanError(f"a '{step.op}' step writes a ciphertext twice, or one without a value")
        if isinstance(step, LinearTransform) and len(step.giants) != len(set(step.giants)):
            raise PlanError("two sums of one output have no rotation between them")
        known |= written
    if not known.issuperset(plan.outputs):
        raise PlanError("an output is never written")


def step_reads(step: Step) -> tuple[str, ...]:
    """Names of the ciphertexts a step reads."""
    match step:
        case LinearTransform():
            return step.inputs
        case Multiply() | Join():
            return (step.left, step.right)
        case _:
            return (step.source,)


def step_writes(step: Step) -> tuple[str, ...]:
    """Names of the ciphertexts a step writes."""
    match step:
        case LinearTransform() | Rotate() | Part():
            return step.outputs
        case _:
            return (step.output,)


def step_limbs(step: Step, values: Mapping[str, Value]) -> int:
    """Limbs at which the step's key switching happens."""
    match step:
        case LinearTransform() | Multiply() | Rotate():
            return step.limbs
        case Join():
            return values[step.left].limbs
        case _:
            return values[step.source].limbs


def step_keys(step: Step, values: Mapping[str, Value], parameters: Parameters) -> Iterator[KeyName]:
    """Evaluation keys a step needs, with repetitions (one per key switch or inner product)."""
    tier = parameters.tier_index(step_limbs(step, values))
    for amount in step_rotations(step):
        if amount % parameters.slots:
            yield KeyName(amount % parameters.slots, tier)
    if isinstance(step, SquareParts | Part):
        yield KeyName(parameters.conjugation, tier)
    if isinstance(step, Square | SquareParts | Multiply):
        yield KeyName(0, tier)


def required_keys(plans: Iterable[Plan], parameters: Parameters) -> list[KeySpecification]:
    """Every evaluation key the plans need, with the most limbs it is used at, sorted."""
    limbs: dict[KeyName, int] = {}
    for plan in plans:
        for step in plan.steps:
            count = step_limbs(step, plan.values)
            for name in step_keys(step, plan.values, parameters):
                limbs[name] = max(count, limbs.get(name, 0))
    ordered = sorted(limbs, key=lambda name: (name.tier, name.rotation))
    return [KeySpecification(name, limbs[name]) for name in ordered]


def step_rotations(step: Step) -> Iterable[int]:
    """Rotation amounts of a step, with repetitions."""
    match step:
        case Rotate():
            return step.amounts
        case FoldSum():
            return [amount for pair in step.pairs() for amount in pair]
        case LinearTransform():
            giants = [rotation for chain in step.horner() for _, rotation in chain]
            return [amount for _, amount in step.babies] + giants
        case _:
            return ()


def last_reads(plan: Plan) -> list[tuple[str, ...]]:
    """For each step, the values that no later step reads and that are not outputs."""
    remaining: dict[str, int] = {}
    for i, step in enumerate(plan.steps):
        for name in step_reads(step):
            remaining[name] = i
    dead: list[list[str]] = [[] for _ in plan.steps]
    for name, i in remaining.items():
        if name not in plan.outputs:
            dead[i].append(name)
    return [tuple(names) for names in dead]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _step_to_json(step: Step) -> dict[str, Any]:
    document: dict[str, Any] = {"op": step.op}
    for item in fields(step):
        value = getattr(step, item.name)
        if isinstance(value, float):
            value = value.hex()
        elif item.name.endswith("scales"):
            value = [scale.hex() for scale in value]
        document[item.name] = value
    return document


def _step_from_json(document: dict[str, Any]) -> Step:
    types = {step_type.op: step_type for step_type in STEP_TYPES}
    op = document.get("op")
    if op not in types:
        raise PlanError(f"unknown step '{op}'")
    values: dict[str, Any] = {}
    for item in fields(types[op]):
        value = _tuples(document[item.name])
        if item.name in ("mask_scale", "factor"):
            value = float.fromhex(value)
        elif item.name.endswith("scales"):
            value = tuple(float.fromhex(scale) for scale in value)
        values[item.name] = value
    return _checked(types[op], **values)


def _checked(kind: type[_T], **values: Any) -> _T:
    """An object whose fields all have the type that they are declared with."""
    for name, hint in get_type_hints(kind).items():
        if get_origin(hint) is not ClassVar and not _fits(values[name], hint):
            raise PlanError(f"not a plan: '{name}' of a {kind.__name__} is not of its type")
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        items = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return len(items) == len(value) and all(map(_fits, value, items))
    if hint is float:
        return type(value) is float and math.isfinite(value)
    if hint in (int, str):
        return type(value) is hint
    # One of the steps, or a mapping: values were checked one by one, metadata is free.
    return isinstance(value, Mapping if origin is Mapping else hint)
