"""Normalisation at the real parameters: norms of one on the whole interval."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_core.compiler import SAFE
from fhe_core.compiler.builder import PlanBuilder
from fhe_core.compiler.normalisation import append_normalisation, embedding_scale
from fhe_core.normalisation import Normalisation
from fhe_core.parameters import presets
from fhe_core.plan import required_keys
from fhe_core.runtime import native, packed
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from fhe_face.coeffs.fit import fit
from tests.core import tiny

LENGTH = 256
INTERVAL = (100.0, 3000.0)
#: What the network leaves of the chain of 'deep'.
LIMBS = 7


@pytest.mark.full
@pytest.mark.parametrize(("degree", "newton_steps", "within"), [(8, 0, 0.02), (4, 1, 0.02)])
def test_norms_are_one(degree: int, newton_steps: int, within: float) -> None:
    fitted = fit("minimax", INTERVAL, degree, newton_steps=newton_steps)
    normalisation = Normalisation(fitted.chebyshev, fitted.interval, fitted.newton_steps)
    parameters = presets.load("deep")
    product = normalisation.product()
    builder = PlanBuilder(parameters, SAFE)
    source = builder.input(
        "embedding", LIMBS - 1, embedding_scale(parameters, SAFE, LIMBS - 1, normalisation)
    )
    outputs = append_normalisation(builder, source, LENGTH, normalisation, product)
    plan = builder.finish("normalise", [source], outputs, {})
    tables = {name: fill(None, lane) for name, (fill, lane) in builder.fillers.items()}
    key = SecretKey.generate(parameters)
    keys = tiny.make_keys(key, required_keys([plan], parameters))
    evaluator = Evaluator(parameters, keys, 2)
    ready = packed.pack(plan, tables, parameters)
    direction = np.random.default_rng(0).normal(size=LENGTH)
    direction /= np.linalg.norm(direction)
    errors = []
    for squared_norm in np.geomspace(*INTERVAL, 7):
        embedding = product.sign * np.sqrt(squared_norm) * direction
        slots = np.tile(embedding, parameters.slots // LENGTH)
        fresh = key.encrypt(slots, plan.values[source].scale)[0].drop_to(LIMBS - 1, parameters)
        result, norm = native.run(ready, evaluator, [fresh])
        values = key.decrypt(result).real[:LENGTH]
        errors.append(abs(np.linalg.norm(values) - 1))
        assert values @ direction == pytest.approx(np.linalg.norm(values), rel=1e-9)
        assert np.allclose(key.decrypt(norm).real, squared_norm, rtol=1e-4)
    assert max(errors) <= within
    assert max(errors) > within / 20  # it is the polynomial's error that is seen
