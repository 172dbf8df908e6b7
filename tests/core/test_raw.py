"""Plans that end with the embedding itself: the network in two rings, without a normalisation."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_core.analysis.cost import step_costs, totals
from fhe_core.analysis.precision import predict
from fhe_core.compiler import LEAN, CompiledNetwork, compile_batch, compile_network
from fhe_core.compiler.architecture import architecture_of
from fhe_core.compiler.policy import RAW, RAW_BATCH
from fhe_core.formats.ciphertexts import key_layout
from fhe_core.parameters import Parameters, presets
from fhe_core.plan import PlanError, required_keys
from fhe_core.runtime import cleartext, native, packed
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from fhe_face.engine import architecture
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.reference import embed
from fhe_face.models.synthetic import random_fused
from tests.core import tiny


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return tiny.raw(11)


def compiled_for(network: FusedNetwork, parameters: Parameters, views: int = 1) -> CompiledNetwork:
    return compile_network(architecture_of(network), parameters, RAW, None, views)


def test_encrypted_embeddings_are_close(parameters: Parameters) -> None:
    network = random_fused(0)
    compiled = compiled_for(network, parameters)
    plan, tables = compiled.plan, compiled.tables(network)
    (output,) = plan.outputs
    assert (plan.values[output].level, plan.values[output].scale) == (0, 2.0**26)
    assert plan.metadata["normalisation"] is None
    (image,) = tiny.images_for(network, 1)
    slots = compiled.pack_image(image)
    (exact,) = cleartext.run(plan, tables, list(slots))
    (wanted,) = embed(network, image[None])
    period = plan.metadata["period"]
    assert np.allclose(exact.reshape(-1, period)[:, : wanted.size], wanted, atol=1e-9)
    key = SecretKey.generate(parameters)
    evaluator = Evaluator(parameters, tiny.make_keys(key, required_keys([plan], parameters)), 1)
    inputs = tiny.encrypt_inputs(key, plan, slots)
    (result,) = native.run(packed.pack(plan, tables, parameters), evaluator, inputs)
    row = predict(plan, tables, parameters, list(slots))[-1]
    got = key.decrypt(result)
    assert row.predicted_std / 4 < np.std(got - exact) < 4 * row.predicted_std
    assert np.linalg.norm(got[: wanted.size] - wanted) < 0.02 * np.linalg.norm(wanted)


def test_views_are_averaged(parameters: Parameters) -> None:
    network = random_fused(0)
    compiled = compiled_for(network, parameters, views=2)
    views = tiny.images_for(network, 2)
    inputs = list(compiled.pack_image(views))
    (got,) = cleartext.run(compiled.plan, compiled.tables(network), inputs)
    wanted = embed(network, views).mean(axis=0)
    assert np.allclose(got[: wanted.size], wanted, atol=1e-9)


def test_batches(parameters: Parameters) -> None:
    network = random_fused(0)
    compiled = compile_batch(architecture_of(network), parameters, RAW_BATCH, None, 8)
    assert len(compiled.plan.outputs) == 1
    images = tiny.images_for(network, 5)
    inputs = list(compiled.pack_images(images))
    (got,) = cleartext.run(compiled.plan, compiled.tables(network), inputs)
    blocks = got.reshape(8, -1)
    for own, wanted in zip(blocks, embed(network, images), strict=False):
        for start in (0, compiled.plan.metadata["period"]):  # it stands in two periods
            assert np.allclose(own[start : start + wanted.size], wanted, atol=1e-9)


def test_there_is_no_level_for_a_normalisation(parameters: Parameters) -> None:
    network = random_fused(0)
    with pytest.raises(PlanError, match="too short"):
        compile_network(architecture_of(network), parameters, RAW, tiny.ROOT)


def test_the_preset_is_two_limbs_shorter_and_as_secure() -> None:
    """What `lean` has behind the embedding is gone; both rings keep their own bounds."""
    raw, lean = presets.load("raw"), presets.load("lean")
    assert lean.levels[-1].limbs - raw.levels[-1].limbs == 2
    assert lean.log2_q - raw.log2_q == pytest.approx(100, abs=0.5)
    assert lean.half is not None
    assert raw.half is not None
    assert lean.half.log2_q - raw.half.log2_q == pytest.approx(100, abs=0.5)
    assert len(raw.half.levels) == len(lean.half.levels) - 4
    for ring in raw.rings:
        assert ring.log2_qp_bound is not None
        assert ring.log2_qp <= ring.log2_qp_bound


def test_batches_at_full_size_are_cheaper() -> None:
    """Counts, as those of `lean` in test_batch.py."""
    parameters = presets.load("raw")
    plan = compile_batch(architecture(64), parameters, RAW_BATCH, None, 64).plan
    work = totals(step_costs(plan, parameters)).work
    assert work.key_switches <= 506
    assert work.inner_products <= 4_216
    assert work.ntts <= 76_622
    assert work.plaintext_products <= 3_041_408
    size = sum(key_layout(key, parameters).bytes for key in required_keys([plan], parameters))
    assert size <= 866e6


def test_scales_of_the_network_are_those_of_the_other_circuit() -> None:
    """So its precision is: all but the result has the scale that `LEAN` gives it."""
    assert LEAN.log_scale == RAW.log_scale
    assert LEAN.switch == RAW.switch
    assert presets.load("raw").specification.levels != presets.load("lean").specification.levels
