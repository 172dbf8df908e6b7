"""The kinds of steps that a plan is made of, and what each reads, writes and rotates by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Rotate:
    """outputs[i] = source dropped to ``level`` and rotated by amounts[i] (hoisted)."""

    op: ClassVar[str] = "rotate"
    source: str
    outputs: tuple[str, ...]
    amounts: tuple[int, ...]
    level: int


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
        inputs: ciphertext names; all are dropped to ``level`` first.
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
        rescale: levels that the sum is rescaled by at the end.
    """

    op: ClassVar[str] = "linear"
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    level: int
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
class Multiply:
    """output = left * right, both dropped to ``level``, relinearised and rescaled."""

    op: ClassVar[str] = "multiply"
    left: str
    right: str
    output: str
    level: int
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
class SwitchRing:
    """output = source in the ring of half the degree: slot j is the sum of the slots j and j + N/2,
    at half the scale (the ciphertext has their mean)."""

    op: ClassVar[str] = "switch-ring"
    source: str
    output: str


@dataclass(frozen=True)
class LiftRing:
    """output = source in the ring of twice the degree, which contains its own: slots j and j + N/2
    are slot j."""

    op: ClassVar[str] = "lift-ring"
    source: str
    output: str


@dataclass(frozen=True)
class DropLevel:
    """output = source with only the limbs of ``level``."""

    op: ClassVar[str] = "drop-level"
    source: str
    output: str
    level: int


Step = (
    Rotate
    | FoldSum
    | LinearTransform
    | Square
    | Multiply
    | MultiplyPlain
    | Affine
    | DropLevel
    | SwitchRing
    | LiftRing
)
STEP_TYPES: tuple[type[Step], ...] = (
    Rotate,
    FoldSum,
    LinearTransform,
    Square,
    Multiply,
    MultiplyPlain,
    Affine,
    DropLevel,
    SwitchRing,
    LiftRing,
)


def step_reads(step: Step) -> tuple[str, ...]:
    """Names of the ciphertexts a step reads."""
    match step:
        case LinearTransform():
            return step.inputs
        case Multiply():
            return (step.left, step.right)
        case _:
            return (step.source,)


def step_writes(step: Step) -> tuple[str, ...]:
    """Names of the ciphertexts a step writes."""
    match step:
        case LinearTransform() | Rotate():
            return step.outputs
        case _:
            return (step.output,)


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
