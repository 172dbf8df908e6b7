"""Normalisation and match as plans of their own, shallow enough for every library."""

from __future__ import annotations

import numpy as np

from fhe_core.compiler import SAFE, compile_match
from fhe_core.compiler.builder import PlanBuilder
from fhe_core.compiler.normalisation import append_normalisation, embedding_scale
from fhe_core.parameters import Parameters, Specification, Tier, build
from fhe_core.plan import Plan
from fhe_core.runtime import cleartext
from tests.core import tiny
from tests.oracles.bench import Bench, bench_of

EMBEDDING = 16
#: Limbs that squared norm, quadratic and products take, and two that are left for the match.
LIMBS = 5


def parameters_of(log_ring_dimension: int, limbs: int = LIMBS) -> Parameters:
    """One special prime and digits of one limb, as SEAL has them too; secure from 2^14 on."""
    kind = "shallow" if log_ring_dimension >= 14 else "insecure-shallow"
    return build(
        Specification(
            f"{kind}-{log_ring_dimension}",
            log_ring_dimension,
            (50,) + (43,) * (limbs - 1),
            (50,),
            (Tier(limbs, 1, 1),),
        )
    )


def embeddings(slots: int, count: int, seed: int) -> tiny.Array:
    """Random vectors in the interval of the tests' normalisation, repeated: [count, slots]."""
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(count, EMBEDDING))
    vectors *= np.sqrt(draw.uniform(30, 90, (count, 1))) / np.linalg.norm(
        vectors, axis=1, keepdims=True
    )
    return np.tile(vectors, slots // EMBEDDING)


def normalisation_plan(parameters: Parameters) -> tuple[Plan, dict[str, tiny.Array]]:
    """From an embedding to the normalised one and its squared norm."""
    builder, product = PlanBuilder(parameters, SAFE), tiny.ROOT.product()
    scale = embedding_scale(parameters, SAFE, parameters.top, tiny.ROOT)
    source = builder.input("embedding", parameters.top, scale)
    outputs = append_normalisation(builder, source, EMBEDDING, tiny.ROOT, product)
    plan = builder.finish("normalise", [source], outputs, {"period": EMBEDDING})
    return plan, {name: fill(None, lane) for name, (fill, lane) in builder.fillers.items()}


def normalisation(log_ring_dimension: int, seed: int) -> Bench:
    parameters = parameters_of(log_ring_dimension)
    plan, tables = normalisation_plan(parameters)
    vectors = embeddings(parameters.slots, 1, seed) * tiny.ROOT.product().sign
    return bench_of(parameters, plan, tables, [vectors[0]])


def match(bench: Bench) -> Bench:
    """The match of two results of a normalisation, with the same key."""
    plan = compile_match(bench.plan, bench.parameters, SAFE)
    results = [
        cleartext.run(bench.plan, bench.tables, [vector])[0]
        for vector in embeddings(bench.parameters.slots, 2, 1) * tiny.ROOT.product().sign
    ]
    return bench_of(bench.parameters, plan, {}, results, bench.key)


def gallery(bench: Bench, seed: int) -> tuple[Bench, tiny.Array]:
    """One probe, repeated in all slots, matched with a different face in every block of slots.

    Returns the bench and the scores to expect, [faces]: face i's is in the first slot of block i.
    """
    plan = compile_match(bench.plan, bench.parameters, SAFE)
    draw = np.random.default_rng(seed)
    faces = draw.normal(size=(bench.parameters.slots // EMBEDDING, EMBEDDING))
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    probe = np.tile(faces[3], len(faces))
    return bench_of(bench.parameters, plan, {}, [probe, faces.ravel()], bench.key), faces @ faces[3]
