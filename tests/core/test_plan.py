"""The plan: text form, digest, and what it says about keys and lifetimes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fhe_core import plan as plans
from fhe_core.parameters import Parameters
from fhe_core.plan import KeyName, KeySpecification, Plan, PlanError, Step, Value, steps
from tests.core import tiny


def example(parameters: Parameters) -> Plan:
    """One step of every type, at the levels of the short chain."""
    listed: list[Step] = [
        steps.Rotate("x", ("r1", "r2"), (1, -2), 5),
        steps.LinearTransform(
            inputs=("r1", "r2"),
            outputs=("l",),
            level=5,
            weight_scales=(0.1, 2.0**43 / 3),
            babies=((0, 0), (1, 3), (1, 256)),
            terms=((0, -1), (1, 0), (2, 1)),
            giants=((0, 0), (0, 16)),
            entries=(((0, 0), (1, 1)), ((2, 2),)),
            weights="w",
            period=8,
            mask_scale=2.0**20,
            bias="b",
            rescale=1,
        ),
        steps.Square("l", "s", 1, "o"),
        steps.MultiplyPlain("s", "m", 1, 1.0, 1),
        steps.FoldSum("m", "f", (1, 2, 4)),
        steps.Affine("f", "a", 1 / 3, "t"),
        steps.Multiply("a", "l", "p", 2, 1),
        steps.DropLevel("p", "d", 0),
        steps.SwitchRing("p", "h"),
        steps.LiftRing("h", "u"),
    ]
    levels = {
        "x": 5,
        "r1": 5,
        "r2": 5,
        "l": 4,
        "s": 3,
        "m": 2,
        "f": 2,
        "a": 2,
        "p": 1,
        "d": 0,
        "h": 1,
        "u": 3,
    }
    return Plan(
        name="example",
        parameters_digest=parameters.digest,
        inputs=("x",),
        outputs=("d", "p"),
        values={name: Value(name, n, 2.0**43 / 7 * (n + 1)) for name, n in levels.items()},
        masks=(((0, 8), (16, 128)), ((8, 16),)),
        steps=tuple(listed),
        labels=tuple(f"step {i}" for i in range(len(listed))),
        metadata={"period": 8, "nested": {"a": [1, 2]}, "text": "é"},
    )


def test_every_step_type_is_covered(short: Parameters) -> None:
    assert {type(step) for step in example(short).steps} == set(steps.STEP_TYPES)


def test_json_round_trip(short: Parameters, world: tiny.World) -> None:
    for plan in (example(short), world.compiled.plan, world.match):
        text = plan.to_json()
        again = plans.from_json(text)
        assert again == plan
        assert again.to_json() == text
        assert again.digest == plan.digest
        assert [v.scale for v in again.values.values()] == [v.scale for v in plan.values.values()]


def test_the_digest_never_changes_by_itself(short: Parameters) -> None:
    """Ciphertexts name the plan they were made for by this digest."""
    plan = replace(example(short), parameters_digest="0" * 64)
    assert plan.digest == "b21719dd670b4682916ebf47c83f3abb9a2a05ab0861d3ba77279bf4178d9dd3"


def test_the_digest_covers_every_field(short: Parameters) -> None:
    plan = example(short)
    x = plan.values["x"]
    rotate, linear = plan.steps[:2]
    assert isinstance(rotate, steps.Rotate)
    assert isinstance(linear, steps.LinearTransform)
    variants = [
        replace(plan, name="other"),
        replace(plan, parameters_digest="0" * 64),
        replace(plan, inputs=("d",)),
        replace(plan, outputs=("p", "d")),
        replace(plan, values={**plan.values, "x": replace(x, level=4)}),
        replace(plan, values={**plan.values, "x": replace(x, scale=x.scale * (1 + 2**-52))}),
        replace(plan, masks=plan.masks[::-1]),
        replace(plan, labels=("", *plan.labels[1:])),
        replace(plan, metadata={}),
        replace(plan, steps=(replace(rotate, amounts=(1, 2)), *plan.steps[1:])),
        replace(plan, steps=(rotate, replace(linear, rescale=2), *plan.steps[2:])),
        replace(plan, steps=(rotate, replace(linear, mask_scale=1.0), *plan.steps[2:])),
        replace(plan, steps=plan.steps[:-1]),
    ]
    assert len({plan.digest, *(v.digest for v in variants)}) == len(variants) + 1


Damage = Callable[[dict[str, Any]], Any]
DAMAGES: list[Damage] = [
    lambda d: d["steps"][0].update(op="bootstrap"),
    lambda d: d["steps"][0].pop("op"),
    lambda d: d["steps"][1].pop("weights"),
    lambda d: d["steps"][1].update(mask_scale=1.0),
    lambda d: d["steps"][1].update(mask_scale="huge"),
    lambda d: d["steps"][1].update(mask_scale="0x1p999999"),
    lambda d: d["steps"][1].update(weight_scales=["x"]),
    lambda d: d["steps"][1].update(weight_scales=3),
    lambda d: d["steps"].append("rotate"),
    lambda d: d["steps"].append(None),
    lambda d: d.pop("steps"),
    lambda d: d.update(steps=5),
    lambda d: d.update(values=[["x", 6]]),
    lambda d: d.update(values=[["x", "six", "0x1p+43"]]),
    lambda d: d.update(values={"x": 6}),
    lambda d: d.update(inputs=None),
    lambda d: d.update(labels=7),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_malformed_documents_are_refused(damage: Damage, short: Parameters) -> None:
    document = json.loads(example(short).to_json())
    damage(document)
    with pytest.raises(PlanError, match="not a plan"):
        plans.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"plan"', "{}", "[" * 100_000])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(PlanError, match="not a plan"):
        plans.from_json(text)


def test_truncated_text_is_refused(short: Parameters) -> None:
    text = example(short).to_json()
    for length in range(0, len(text), 97):
        with pytest.raises(PlanError):
            plans.from_json(text[:length])


def test_reads_and_writes(short: Parameters) -> None:
    plan = example(short)
    assert [plans.step_reads(s) for s in plan.steps] == [
        ("x",),
        ("r1", "r2"),
        ("l",),
        ("s",),
        ("m",),
        ("f",),
        ("a", "l"),
        ("p",),
        ("p",),
        ("h",),
    ]
    writes = [plans.step_writes(s) for s in plan.steps]
    assert writes[:6] == [("r1", "r2"), ("l",), ("s",), ("m",), ("f",), ("a",)]
    assert writes[6:] == [("p",), ("d",), ("h",), ("u",)]
    assert plans.last_reads(plan) == [
        ("x",),
        ("r1", "r2"),
        (),
        ("s",),
        ("m",),
        ("f",),
        ("l", "a"),
        (),
        (),
        ("h",),
    ]
    assert [plans.step_level(s, plan.values) for s in plan.steps] == [
        5,
        5,
        4,
        3,
        2,
        2,
        2,
        1,
        1,
        3,
    ]


def test_required_keys(short: Parameters) -> None:
    """Each rotation and tier once, with the highest level; nothing for rotations by all slots."""
    plan = example(short)
    plan = replace(plan, steps=plan.steps[:-2], labels=plan.labels[:-2])  # those of two rings
    found = plans.required_keys([plan, plan], short)
    expected = {
        KeyName(1, 0): 5,  # Rotate
        KeyName(254, 0): 5,  # Rotate by -2
        KeyName(3, 0): 5,  # baby step
        KeyName(16, 0): 5,  # giant step
        KeyName(0, 0): 4,  # Square
        KeyName(1, 1): 2,  # FoldSum
        KeyName(2, 1): 2,
        KeyName(3, 1): 2,  # the two before, at once
        KeyName(4, 1): 2,
        KeyName(0, 1): 2,  # Multiply
    }
    assert {spec.name: max(spec.levels) for spec in found} == expected
    assert found == sorted(found, key=lambda s: (s.name.tier, s.name.rotation))
    with pytest.raises(PlanError, match="no key for a step at level 1"):
        plans.required_keys([example(short)], short)


@pytest.mark.parametrize("level", [-1, 6, 2**31])
def test_levels_that_the_parameters_lack_have_no_keys(short: Parameters, level: int) -> None:
    """Of a plan from a file, which may say any level."""
    values = {name: Value(name, 1, 2.0**40) for name in ("a", "b", "c")}
    step = steps.Multiply("a", "b", "c", level, 1)
    plan = Plan("p", short.digest, ("a", "b"), ("c",), values, (), (step,), ("x",), {})
    with pytest.raises(PlanError, match=f"a step at level {level}, but the highest level is"):
        plans.required_keys([plan], short)


def test_key_shapes(short: Parameters) -> None:
    assert KeySpecification(KeyName(1, 0), (5,)).shape(short) == (2, 9, 256)
    assert KeySpecification(KeyName(1, 0), (4,)).shape(short) == (2, 8, 256)
    assert KeySpecification(KeyName(1, 1), (2,)).shape(short) == (2, 5, 256)
    assert KeySpecification(KeyName(1, 2), (1,)).shape(short) == (2, 3, 256)
