"""One plan in which every primitive occurs, each on its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fhe_core.compiler import SAFE
from fhe_core.compiler.builder import LinearTables, PlanBuilder, Sums
from fhe_core.parameters import Parameters, Specification, Tier, build
from fhe_core.plan import Plan, Step, Value, steps
from tests.core import tiny
from tests.oracles.bench import Bench, bench_of

PARAMETERS = Specification(
    name="insecure-oracle",
    log_ring_dimension=10,
    limb_bits=(50,) + (43,) * 5,
    special_bits=(50,) * 3,
    tiers=(Tier(6, 3, 3), Tier(4, 2, 2)),
)
#: The same with one special prime and digits of one limb, which is all that SEAL has.
SEAL_PARAMETERS = Specification(
    name="insecure-oracle-seal",
    log_ring_dimension=10,
    limb_bits=PARAMETERS.limb_bits,
    special_bits=(50,),
    tiers=(Tier(6, 1, 1),),
)
#: With a ring of half the degree, in which values are from the fourth limb on.
RINGS = replace(
    PARAMETERS,
    name="insecure-oracle-rings",
    half_tiers=(Tier(4, 2, 2),),
    half_levels=((1,), (2,), (3,), (4,)),
)
SEAL_RINGS = replace(
    SEAL_PARAMETERS,
    name="insecure-oracle-seal-rings",
    half_tiers=(Tier(4, 1, 1),),
    half_levels=RINGS.half_levels,
)
PERIOD = 8

#: What each value of the plan shows. The name of the value, and of the primitive.
SHOWS = {
    "x": "encode, encrypt, decrypt",
    "lower": "drop to fewer limbs",
    "turned once": "rotate",
    "turned by 1": "hoisted rotation",
    "turned by 900": "hoisted rotation by more than half of the slots",
    "turned back": "hoisted rotation by a negative amount",
    "folded": "rotate and add",
    "masked": "plaintext product",
    "masked and rescaled": "plaintext product and rescale",
    "squared": "multiply and relinearise",
    "squared and rescaled": "multiply, relinearise, rescale",
    "product": "multiply, relinearise, rescale twice, at fewer limbs",
    "each squared.0": "multiply, relinearise, plaintext sum",
    "line": "factor and plaintext sum",
    "mixed": "linear transform: masks, weights, hoisting, giant steps",
    "dense": "linear transform without a period",
}


def make(specification: Specification = PARAMETERS) -> Bench:
    """The plan with random inputs, a key and evaluation keys."""
    parameters = build(specification)
    draw = np.random.default_rng(0)
    x, y = draw.uniform(-1, 1, (2, parameters.slots))
    builder = _builder(parameters, draw)
    plan = _with_bare_steps(builder, parameters)
    tables = {name: filler(None, lane) for name, (filler, lane) in builder.fillers.items()}
    return bench_of(parameters, plan, tables, [x, y])


def make_rings(specification: Specification = RINGS) -> Bench:
    """Into the ring of half the degree, every primitive there, and back."""
    parameters = build(specification)
    draw = np.random.default_rng(1)
    builder, half = PlanBuilder(parameters, SAFE), len(specification.half_levels)
    values = draw.uniform(-1, 1, (2, parameters.slots))
    for name in "xy":
        builder.input(name, parameters.top, tiny.SCALE)
        builder.drop_level("leave", name, f"{name} leaves", half)
        builder.switch_ring("switch", f"{name} leaves", f"{name} half", half - 1)
    slots, level = parameters.slots // 2, half - 1
    builder.rotate("rotate", "x half", level, [3, slots - 5])
    builder.fold("fold", "x half", "folded", [1, slots // 2])
    pattern = np.arange(slots) % 3 > 0
    builder.multiply_mask("mask", "x half", "masked", pattern)
    builder.multiply("product", "x half", "y half", "product", 1)
    constant = draw.normal(size=(1, PERIOD))
    builder.square("squared", ["y half"], lambda *_: constant, 0)
    weights, dense = draw.normal(size=(3, PERIOD)), draw.normal(size=(2, slots))
    builder.linear(
        "mixed",
        ["x half", "y half"],
        ["mixed"],
        level,
        Sums(
            babies=[(0, 0), (0, 1), (1, 3)],
            terms=[(0, -1), (1, builder.mask(pattern)), (2, builder.mask(~pattern))],
            giants=[(0, 0), (0, 16)],
            entries=[[(0, 0), (1, 1)], [(2, 2)]],
            period=PERIOD,
        ),
        LinearTables(lambda *_: weights, lambda *_: constant, 0),
        scale=tiny.SCALE,
    )
    builder.linear(
        "dense",
        ["x half"],
        ["dense"],
        level,
        Sums([(0, 0), (0, 7)], [(0, -1), (1, -1)], [(0, 0)], [[(0, 0), (1, 1)]], slots),
        LinearTables(lambda *_: dense, None, 0),
        scale=tiny.SCALE,
    )
    level = builder.values["mixed"].level
    (back,) = [x for x in parameters.other_ring(level) if x > level]
    builder.lift_ring("lift", "mixed", "lifted", back)
    plan = builder.finish("rings", ["x", "y"], ["lifted", "dense"], {})
    tables = {name: filler(None, lane) for name, (filler, lane) in builder.fillers.items()}
    return bench_of(parameters, plan, tables, list(values))


def _builder(parameters: Parameters, draw: np.random.Generator) -> PlanBuilder:
    """The primitives that the compiler's builder makes."""
    builder, level = PlanBuilder(parameters, SAFE), parameters.top
    for name in "xy":
        builder.input(name, level, tiny.SCALE)
    builder.drop_level("drop", "x", "lower", 2)
    builder.fold("fold", "x", "folded", [1, 64])
    pattern = np.arange(parameters.slots) % 3 > 0
    builder.multiply_mask("mask", "x", "masked and rescaled", pattern)
    builder.square_one("square", "x", "squared and rescaled", "", rescale=1)
    builder.multiply("product", "lower", "y", "product", 1)
    offset = draw.normal(size=(1, PERIOD))
    builder.square_each("each squared", ["y"], lambda *_: offset)
    constant = draw.normal(size=(1, PERIOD))
    builder.affine("line", "x", "line", 0.75, lambda *_: constant)
    weights = draw.normal(size=(5, PERIOD))
    builder.linear(
        "mixed",
        ["x", "y"],
        ["mixed"],
        level,
        Sums(
            babies=[(0, 0), (0, 1), (1, 3), (0, -2)],
            terms=[(0, -1), (1, builder.mask(pattern)), (2, builder.mask(~pattern)), (3, -1)],
            giants=[(0, 0), (0, 16)],
            entries=[[(0, 0), (1, 1), (2, 2)], [(0, 3), (3, 4)]],
            period=PERIOD,
        ),
        LinearTables(lambda *_: weights, lambda *_: constant, 0),
        scale=tiny.SCALE,
    )
    dense = draw.normal(size=(2, parameters.slots))
    builder.linear(
        "dense",
        ["x"],
        ["dense"],
        level,
        Sums(
            babies=[(0, 0), (0, 7)],
            terms=[(0, -1), (1, -1)],
            giants=[(0, 0)],
            entries=[[(0, 0), (1, 1)]],
            period=parameters.slots,
        ),
        LinearTables(lambda *_: dense, None, 0),
        scale=tiny.SCALE,
    )
    return builder


def _with_bare_steps(builder: PlanBuilder, parameters: Parameters) -> Plan:
    """And those without a rescale, which no compiled plan has."""
    level, scale = parameters.top, tiny.SCALE
    plan = builder.finish("primitives", ["x", "y"], [], {})
    hoisted = steps.Rotate("x", ("turned by 1", "turned by 900", "turned back"), (1, 900, -3), 3)
    listed: list[tuple[Step, tuple[Value, ...]]] = [
        (steps.Rotate("x", ("turned once",), (1,), level), (Value("turned once", level, scale),)),
        (hoisted, tuple(Value(name, 3, scale) for name in hoisted.outputs)),
        (
            steps.MultiplyPlain("x", "masked", 0, 2.0**19, 0),
            (Value("masked", level, scale * 2.0**19),),
        ),
        (steps.Square("x", "squared", 0, ""), (Value("squared", level, scale**2),)),
    ]
    return replace(
        plan,
        outputs=tuple(SHOWS),
        values=dict(plan.values) | {v.name: v for _, values in listed for v in values},
        steps=(*plan.steps, *(step for step, _ in listed)),
        labels=(*plan.labels, *(step.op for step, _ in listed)),
    )
