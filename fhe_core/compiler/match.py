"""The plan of a match: the inner product of two normalised embeddings."""

from __future__ import annotations

from math import isclose

from fhe_core.compiler.builder import PlanBuilder
from fhe_core.compiler.layouts import powers_of_two
from fhe_core.compiler.policy import Policy
from fhe_core.parameters import Parameters
from fhe_core.plan import Plan, PlanError


def compile_match(embedding_plan: Plan, parameters: Parameters, policy: Policy) -> Plan:
    """From two outputs of an embedding plan to their score, in every slot.

    The product is rescaled once, unless its scale would then be less than half of theirs: levels
    differ in size. Levels that a normalisation leaves over are room for scores.
    """
    value = embedding_plan.values[embedding_plan.outputs[0]]
    period = int(embedding_plan.metadata["period"])
    builder = PlanBuilder(parameters, policy)
    left, right = (builder.input(name, value.level, value.scale) for name in ("left", "right"))
    score = _score(builder, left, right, period)
    return builder.finish("match", [left, right], [score], {"period": period})


def compile_mixed_match(alone: Plan, batch: Plan, parameters: Parameters, policy: Policy) -> Plan:
    """From the outputs of a plan for one face, which end in the ring of half the degree, and the
    embeddings of a batch, in the larger one, to scores as of a batch.

    The one face is lifted into the larger ring, where it lies beside every face of the batch: its
    slots repeat. Its squared norm is lifted as well, so that scores look like those of a batch.

    Raises:
        PlanError: the results of both plans do not fit together.
    """
    builder = PlanBuilder(parameters, policy)
    periods = {int(plan.metadata["period"]) for plan in (alone, batch)}
    if len(periods) > 1:
        raise PlanError("embeddings of different lengths")
    names = "one", "one squared norm", "many"
    results = [*(alone.values[name] for name in alone.outputs), batch.values[batch.outputs[0]]]
    inputs = [
        builder.input(name, result.level, result.scale)
        for name, result in zip(names, results, strict=True)
    ]
    wanted = [batch.values[name] for name in batch.outputs]
    lifted = []
    for name, value in zip(inputs[:2], wanted, strict=True):
        own = builder.values[name]
        if value.level not in parameters.other_ring(own.level) or not isclose(
            value.scale, own.scale, rel_tol=1e-12
        ):
            raise PlanError("the results of a face alone and of a batch have different levels")
        lifted.append(builder.lift_ring(f"lift {name}", name, f"lifted {name}", value.level))
    score = _score(builder, lifted[0], inputs[2], *periods)
    return builder.finish("mixed match", inputs, [score, lifted[1]], {"period": periods.pop()})


def _score(builder: PlanBuilder, left: str, right: str, period: int) -> str:
    value = builder.values[right]
    rescaled = value.scale**2 / builder.rescale_factor(value.level, 1)
    rescale = 1 if rescaled > value.scale / 2 else 0
    product = builder.multiply("product", left, right, "product", rescale)
    return builder.fold("inner product", product, "score", powers_of_two(period))
