"""One HerPNConv block at the real size, ring dimension 65536, with the bundled weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fhe_core.keys.secret import SecretKey
from fhe_core.parameters import Parameters, Specification, Tier, build
from fhe_core.plan import Plan
from fhe_core.runtime import cleartext
from fhe_face import engine
from models import synthetic
from models.reference import unit_images
from oracles.compare import require_agreement
from oracles.excerpt import excerpt, limbs_needed
from oracles.openfhe_backend import OpenFheBackend
from tests.oracles.bench import bench_of

#: 16 channels on all pixels of the four patches: two ciphertexts, 684 weights per convolution.
BLOCK = "block 0"
THREADS = 2


def short_chain(limbs: int) -> Parameters:
    """A 128-bit secure set with no limb more than the block needs."""
    return build(
        Specification(
            "oracle-block", 16, (50,) + (43,) * (limbs - 1), (50,) * 2, (Tier(limbs, 2, 2),)
        )
    )


def before(plan: Plan, block: Plan) -> Plan:
    """The steps up to the block, which give its inputs."""
    first = next(i for i, label in enumerate(plan.labels) if label.startswith(BLOCK))
    return replace(plan, outputs=block.inputs, steps=plan.steps[:first], labels=plan.labels[:first])


@pytest.mark.full
def test_block_at_the_real_size(openfhe: OpenFheBackend) -> None:
    chosen = engine.choose_engine()
    network = engine.load_network(None)
    compiled = chosen.compiled
    parameters = short_chain(limbs_needed(compiled.plan, BLOCK))
    plan = excerpt(compiled.plan, BLOCK, parameters)
    tables = compiled.tables(network)
    drawn = synthetic.images(np.random.default_rng(3), 1, network.input_size)
    image = unit_images(drawn, network.input_size)[0]
    values = cleartext.run(before(compiled.plan, plan), tables, list(compiled.pack_image(image)))
    key = SecretKey.generate(parameters, THREADS)
    bench = bench_of(parameters, plan, tables, values, key)
    ours = bench.native(bench.evaluator(THREADS), every_value=False)
    theirs = replace(openfhe, threads=THREADS).run(plan, tables, parameters, values)
    assert theirs.report["security"] == "HEStd_128_classic"
    assert len(next(iter(theirs.outputs.values()))) == 32768
    require_agreement(bench.differences(ours, theirs.outputs))
