"""Linear steps for random layouts, kernels and strides, against the reference convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fhe_core.compiler.builder import LinearTables, PlanBuilder
from fhe_core.compiler.convolution import Source, Structure, build_structure, fill_rows
from fhe_core.compiler.layouts import Layout, LayoutError, raster, rows_on_top
from fhe_core.compiler.policy import SAFE
from fhe_core.parameters import Parameters
from fhe_core.plan import PlanError, steps
from fhe_core.runtime import cleartext
from fhe_face.models.layers import FusedConv
from fhe_face.models.reference import convolve
from tests.core import tiny

Array = tiny.Array


@dataclass(frozen=True, repr=False)
class Part:
    """A convolution of a tensor (lanes, channels, y, x); weight [lanes, out, in, k, k]."""

    tensor: Array
    weight: Array
    stride: int
    diagonal: bool = False

    @property
    def kernel(self) -> int:
        return int(self.weight.shape[-1])

    def expected(self) -> Array:
        weight = self.weight
        if self.diagonal:  # [lanes, channels, 1, 1, 1]: a product per channel
            weight = weight * np.eye(weight.shape[1])[None, :, :, None, None]
        bias = np.zeros(weight.shape[:2])
        conv = FusedConv(weight, bias, self.stride, self.kernel // 2)
        return np.asarray(convolve(self.tensor[None], conv)[0])


def run(
    parameters: Parameters,
    pre_rotations: int,
    layouts: Sequence[Layout],
    parts: Sequence[Part],
    target: Layout,
    bias: Array | None = None,
    by_columns: bool = False,
) -> tuple[Array, steps.LinearTransform]:
    """Compile one linear step, run it in numpy with anything in free slots, and unpack its result.

    by_columns: with weights that may change along the rows of pixels.
    """
    lanes = target.shape[0]
    padded = 1 << (lanes - 1).bit_length()
    policy = replace(
        SAFE, pre_rotations=pre_rotations, column_channels=target.shape[1] if by_columns else 0
    )
    builder = PlanBuilder(parameters, policy)
    inputs, tensors = [], []
    for number, (layout, part) in enumerate(zip(layouts, parts, strict=True)):
        names = [
            builder.input(f"x{number}.{i}", parameters.top, tiny.SCALE)
            for i in range(layout.ciphertexts)
        ]
        source = Source(layout, part.kernel, part.stride, part.kernel // 2, part.diagonal)
        tensors.append((source, names))
        inputs += names

    def fill(structure: Structure) -> Any:
        weights = [part.weight.reshape(lanes, -1) for part in parts]
        return lambda _network, _lane: fill_rows(structure, weights, padded)

    def fill_bias(_network: Any, _lane: int) -> Array:
        assert bias is not None
        row = np.zeros(target.group)
        row[target.positions()[:, :, 0, 0] % target.slots] = bias
        return row[None]

    outputs = builder.convolution(
        "conv",
        tensors,
        target,
        lambda structure: LinearTables(fill(structure), None if bias is None else fill_bias, 0),
        log_scale=43.0,
    )
    plan = builder.finish("conv", inputs, outputs, {})
    tables = {name: filler(None, lane) for name, (filler, lane) in builder.fillers.items()}
    packed = [with_junk(layout, p.tensor) for layout, p in zip(layouts, parts, strict=True)]
    slots = cleartext.run(plan, tables, list(np.concatenate(packed)))
    assert all(plan.values[name].scale == 2.0**43 for name in outputs)
    step = plan.steps[-1]
    assert isinstance(step, steps.LinearTransform)
    return target.unpack(np.stack(slots)), step


def with_junk(layout: Layout, tensor: Array) -> Array:
    """Its slots, with anything where groups of slots hold no pixel."""
    slots = layout.pack(tensor)
    free = np.repeat(~layout.used_groups(), layout.group)
    slots[:, free] = np.random.default_rng(1).normal(size=(len(slots), int(free.sum())))
    return slots


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Layout], list[Part], Layout, int]:
    """One convolution, or one and a shortcut beside it."""
    slots = 512
    lanes = draw(st.integers(1, 4))
    inputs, outputs = (draw(st.sampled_from([1, 2, 3, 4, 8])) for _ in range(2))
    size, stride = draw(st.sampled_from([2, 4, 8])), draw(st.sampled_from([1, 2]))
    kernel = draw(st.sampled_from([1, 3, 5]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    try:
        source = raster(slots, lanes, inputs, size)
        pitch = next(d.stride for d in source.digits if d.axis == "x") * stride
        target = raster(slots, lanes, outputs, size // stride, pitch_x=pitch)
    except LayoutError:
        assume(False)
        raise
    weight = generator.normal(size=(lanes, outputs, inputs, kernel, kernel))
    layouts, parts = [source], [Part(generator.normal(size=source.shape), weight, stride)]
    shortcut = draw(st.sampled_from(["none", "matrix", "diagonal"]))
    if shortcut == "matrix":
        parts.append(
            Part(parts[0].tensor, generator.normal(size=(*weight.shape[:3], 1, 1)), stride)
        )
    elif shortcut == "diagonal":
        assume(inputs == outputs and source.ciphertexts == target.ciphertexts)
        one = generator.normal(size=(lanes, outputs, 1, 1, 1))
        parts.append(Part(parts[0].tensor, one, stride, diagonal=True))
    return layouts * len(parts), parts, target, draw(st.sampled_from([1, 2, 4, 8]))


@settings(max_examples=80)
@given(problems(), st.booleans())
def test_random_convolutions(
    problem: tuple[list[Layout], list[Part], Layout, int], by_columns: bool
) -> None:
    layouts, parts, target, pre_rotations = problem
    parameters = tiny.chain(9, 3)
    split = any(d.axis == "channel" and d.across for d in target.digits)
    bias = np.random.default_rng(0).normal(size=target.shape[:2]) * (not split)
    got, step = run(parameters, pre_rotations, layouts, parts, target, bias, by_columns)
    expected = sum(part.expected() for part in parts) + bias[:, :, None, None]
    assert np.max(np.abs(got - expected)) < 1e-10
    assert len(step.weight_scales) == len(step.inputs)
    rows = sorted(row for entries in step.entries for _, row in entries)
    assert rows == list(range(len(rows)))  # every weight row is used once


def test_two_sources_at_different_layouts() -> None:
    """As at the end of a block with stride: a convolution, and a strided shortcut beside it."""
    generator = np.random.default_rng(3)
    before, after = raster(512, 2, 4, 8), raster(512, 2, 8, 4, pitch_x=16)
    main = Part(generator.normal(size=after.shape), generator.normal(size=(2, 8, 8, 3, 3)), 1)
    beside = Part(generator.normal(size=before.shape), generator.normal(size=(2, 8, 4, 1, 1)), 2)
    got, _ = run(tiny.chain(9, 3), 4, [after, before], [main, beside], after)
    assert np.max(np.abs(got - main.expected() - beside.expected())) < 1e-10


def test_free_slots_do_not_leak() -> None:
    """Whatever lies in slots that hold no pixel or channel, results are the same."""
    generator = np.random.default_rng(4)
    source = raster(512, 3, 3, 4)
    part = Part(generator.normal(size=source.shape), generator.normal(size=(3, 3, 3, 3, 3)), 1)
    assert source.shape[0] * source.shape[1] < source.group
    got, step = run(tiny.chain(9, 3), 4, [source], [part], source)
    assert np.max(np.abs(got - part.expected())) < 1e-10
    assert all(amount < source.slots for _, amount in (*step.babies, *step.giants))


@pytest.mark.parametrize("by_columns", [False, True])
def test_clean_outputs_leave_zeros_in_free_slots(by_columns: bool) -> None:
    """As behind a stride, where the switch to the smaller ring adds both halves of the slots."""
    source = rows_on_top(raster(512, 2, 4, 8))
    target = replace(raster(256, 2, 4, 4, pitch_x=16), slots=512)
    found = build_structure(
        [Source(source, 3, 2, 1)], target, [2], clean=True, by_columns=by_columns
    )
    kept = np.zeros((len(found.giants), 512), dtype=bool)  # what each sum may hold
    for number, entries in enumerate(found.entries):
        for term, row in entries:
            mask = found.masks[found.terms[term][1]]
            weights = np.repeat(found.row_index[row] >= 0, 2)
            wanted = np.tile(weights, 512 // found.period)
            kept[number] |= np.repeat(mask, 512 // mask.size) & wanted
    for (_, giant), slots in zip(found.giants, kept, strict=True):
        assert not np.roll(slots, -giant)[256:].any()
        assert slots.any()


def test_products_share_masks_and_weights_where_none_of_them_minds() -> None:
    """Free slots may hold anything; weights that change along a row need masks for columns only."""
    full, half_empty = raster(512, 1, 8, 8), raster(512, 1, 16, 4, pitch_x=16)
    counts = {}
    for name, layout in (("full", full), ("half empty", half_empty)):
        source = Source(layout, 3, 1, 1)
        for clean in (True, False):
            for by_columns in (False, True):
                found = build_structure([source], layout, [2], clean=clean, by_columns=by_columns)
                products = sum(len(entries) for entries in found.entries)
                counts[name, clean, by_columns] = products, len(found.masks)
    assert counts["full", True, False] == counts["full", False, False]
    assert counts["half empty", False, False] < counts["half empty", True, False]
    for name in ("full", "half empty"):
        assert counts[name, False, True][0] < 0.75 * counts[name, False, False][0]
        assert counts[name, False, True][1] < counts[name, False, False][1]


def test_pre_rotations_trade_giant_steps_for_inputs() -> None:
    generator = np.random.default_rng(5)
    source = raster(512, 1, 8, 4)
    part = Part(generator.normal(size=source.shape), generator.normal(size=(1, 8, 8, 3, 3)), 1)
    giants, inputs = [], []
    for pre_rotations in (1, 2, 4):
        got, step = run(tiny.chain(9, 3), pre_rotations, [source], [part], source)
        assert np.max(np.abs(got - part.expected())) < 1e-10
        giants.append(len(step.giants))
        inputs.append(len(step.inputs))
    assert giants == sorted(giants, reverse=True)
    assert inputs == sorted(inputs)


def test_a_short_chain_is_refused() -> None:
    source = raster(512, 1, 2, 4)
    part = Part(np.zeros(source.shape), np.zeros((1, 2, 2, 3, 3)), 1)
    with pytest.raises(PlanError, match="too short"):
        run(tiny.chain(9, 1), 4, [source], [part], source)
