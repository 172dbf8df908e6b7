"""Parts of the real network at the real size, ring dimension 65536, with the bundled weights."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from fhe_core.oracles.compare import Difference, require_agreement
from fhe_core.oracles.excerpt import excerpt, limbs_needed
from fhe_core.oracles.openfhe_backend import OpenFheBackend
from fhe_core.parameters import Parameters, Specification, Tier, build
from fhe_core.plan import Plan
from fhe_core.runtime import cleartext
from fhe_core.secret.key import SecretKey
from fhe_face.circuit import Circuit, normalisation_of
from fhe_face.engine import compile_engine
from fhe_face.models.calibration import images
from fhe_face.models.reference import unit_images
from fhe_face.network import load_network
from tests.oracles.bench import bench_of

#: Of ours. OpenFHE has one: at so few limbs more only wait for each other.
THREADS = 2
#: Set to anything, the test with the whole modulus chain runs too.
LONG = "FHE_FACE_LONG_ORACLES"


def short_chain(whole: Parameters, limbs: int) -> Parameters:
    """A 128-bit secure set with the first limbs of ``whole``, no more than needed."""
    bits = whole.specification.limb_bits[:limbs]
    return build(Specification("oracle-block", 16, bits, (50,) * 2, (Tier(limbs, 2, 2),)))


def before(plan: Plan, prefix: str, names: tuple[str, ...]) -> Plan:
    """The steps in front of a part, which give its inputs."""
    first = next(i for i, label in enumerate(plan.labels) if label.startswith(prefix))
    return replace(plan, outputs=names, steps=plan.steps[:first], labels=plan.labels[:first])


def compared(openfhe: OpenFheBackend, prefix: str, *, whole_chain: bool) -> dict[str, Difference]:
    """All slots of a part's results; on the preset's chain, or one of the part's own length."""
    # A rescale by one limb for every product, as OpenFHE's chains have; what lean has instead is
    # compared on a small network (test_openfhe_network.py).
    chosen, network = compile_engine(Circuit("safe", normalisation_of(None))), load_network(None)
    compiled, parameters = chosen.compiled, chosen.parameters
    whole, tables = compiled.plan, compiled.tables(network)
    if not whole_chain:
        parameters = short_chain(parameters, limbs_needed(whole, prefix))
    plan = excerpt(whole, prefix, parameters)
    drawn = images(np.random.default_rng(3), 1, network.input_size)
    image = unit_images(drawn, network.input_size)[0]
    front = before(whole, prefix, plan.inputs)
    values = cleartext.run(front, tables, list(compiled.pack_image(image)))
    key = SecretKey.generate(parameters, THREADS)
    bench = bench_of(parameters, plan, tables, values, key)
    ours = bench.native(bench.evaluator(THREADS), every_value=False)
    theirs = openfhe.run(plan, tables, parameters, values)
    assert theirs.report["security"] == "HEStd_128_classic"
    assert {x.shape for x in theirs.outputs.values()} == {(65536,)}
    found = bench.differences(ours, theirs.outputs)
    print(prefix, {k: v for k, v in theirs.report.items() if k != "moduli"}, found, sep="\n")
    return found


@pytest.mark.full
def test_block_at_the_real_size(openfhe: OpenFheBackend) -> None:
    """16 channels on all pixels of the four patches, in one ciphertext."""
    require_agreement(compared(openfhe, "block 0", whole_chain=False))


@pytest.mark.full
def test_stem_on_the_whole_chain(openfhe: OpenFheBackend) -> None:
    """All limbs and the real digits: rotations, weights and the first rescale."""
    if LONG not in os.environ:
        pytest.skip(f"takes a minute or two more and twice the memory: set {LONG}=1")
    require_agreement(compared(openfhe, "stem", whole_chain=True))
