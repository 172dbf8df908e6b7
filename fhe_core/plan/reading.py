"""Reads the text of a plan, which may come from anywhere: every field is checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from fhe_core.plan.errors import PlanError
from fhe_core.plan.plan import Plan, Value, check_order
from fhe_core.plan.steps import STEP_TYPES, Step

_T = TypeVar("_T")


def from_json(text: str) -> Plan:
    """Inverse of :meth:`Plan.to_json`, with the structure checked.

    Raises:
        PlanError: the text is not a plan.
    """
    try:
        document = json.loads(text)
        rows = [
            _checked(Value, name=name, level=level, scale=float.fromhex(scale))
            for name, level, scale in document["values"]
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
    check_order(plan)
    return plan


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


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
