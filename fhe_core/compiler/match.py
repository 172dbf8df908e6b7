"""The plan of a match: the inner product of two normalised embeddings."""

from __future__ import annotations

from fhe_core.compiler.builder import PlanBuilder
from fhe_core.compiler.layouts import powers_of_two
from fhe_core.compiler.policy import Policy
from fhe_core.parameters import Parameters
from fhe_core.plan import Plan


def compile_match(embedding_plan: Plan, parameters: Parameters, policy: Policy) -> Plan:
    """From two outputs of an embedding plan to their score, in every slot.

    The product is rescaled once, unless its scale would then be less than half of theirs: levels
    differ in size. Levels that a normalisation leaves over are room for scores.
    """
    value = embedding_plan.values[embedding_plan.outputs[0]]
    period = int(embedding_plan.metadata["period"])
    builder = PlanBuilder(parameters, policy)
    left, right = (builder.input(name, value.level, value.scale) for name in ("left", "right"))
    rescaled = value.scale**2 / builder.rescale_factor(value.level, 1)
    rescale = 1 if rescaled > value.scale / 2 else 0
    product = builder.multiply("product", left, right, "product", rescale)
    score = builder.fold("inner product", product, "score", powers_of_two(period))
    return builder.finish("match", [left, right], [score], {"period": period})
