"""The same, encrypted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fhe_core.compiler import SAFE, compile_network
from fhe_core.compiler.architecture import architecture_of
from fhe_core.compiler.policy import Switch
from fhe_core.parameters import Specification, Tier, build
from fhe_core.plan import required_keys
from fhe_core.runtime import native
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import pack
from fhe_core.secret.key import SecretKey
from fhe_face.models.reference import embed, squared_norm
from fhe_face.models.synthetic import random_fused
from tests.core import tiny

SPECIFICATION = Specification(
    name="insecure-two-rings",
    log_ring_dimension=11,
    limb_bits=(50,) + (43,) * 19,
    special_bits=(50,) * 6,
    tiers=(Tier(20, 5, 5), Tier(14, 4, 4)),
    half_tiers=(Tier(13, 4, 4), Tier(12, 6, 6), Tier(5, 3, 3)),
    half_levels=tuple((limbs,) for limbs in range(1, 14)),
)


def test_encrypted() -> None:
    network, parameters = random_fused(3), build(SPECIFICATION)
    policy = replace(SAFE, switch=Switch(1, 43.0, 43.0, 43.0, 43.0, 19.0))
    compiled = compile_network(architecture_of(network), parameters, policy, tiny.ROOT)
    plan, key = compiled.plan, SecretKey.generate(parameters)
    keys = tiny.make_keys(key, required_keys([plan], parameters))
    image = tiny.images_for(network, 1)
    inputs = tiny.encrypt_inputs(key, plan, compiled.pack_image(image[0]))
    packed = pack(plan, compiled.tables(network), parameters)
    found, norm = native.run(packed, Evaluator(parameters, keys, 1), inputs)
    raw = embed(network, image)
    wanted = raw * tiny.ROOT.evaluate(squared_norm(raw))[:, None]
    slots = key.decrypt(found)
    assert slots.size == parameters.ring_dimension
    assert np.linalg.norm(slots[: network.embedding] - wanted[0]) < 1e-3 * np.linalg.norm(wanted)
    assert np.allclose(key.decrypt(norm), squared_norm(raw)[0], rtol=1e-3)
