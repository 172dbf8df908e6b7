"""A face's ciphertext of a small engine, and the gallery that it is switched to, for tests."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np

from fhe_core.ciphertext import Ciphertext
from fhe_core.keys.evaluation import EvaluationKeys, expand_key
from fhe_core.matching import MatchParameters
from fhe_core.matching.switch_plan import PART, Form, SwitchPlan
from fhe_core.matching.switching import Switcher, SwitchKey
from fhe_core.parameters import Parameters
from fhe_core.secret.key import SecretKey
from fhe_core.secret.switching import switch_bodies
from tests.core import tiny

#: As results of engines have.
SCALE, NORM_SCALE = 2.0**31, 2.0**24


@dataclass(frozen=True)
class Crossing:
    """Both keys, and the server between them."""

    plan: SwitchPlan
    engine: SecretKey
    gallery: SecretKey
    keys: EvaluationKeys
    key: SwitchKey
    switcher: Switcher

    def result(self, vector: tiny.Array, scale: float = SCALE) -> Ciphertext:
        """As the engine leaves a face alone: its numbers again and again."""
        repeats = self.plan.engine.slots // len(vector)
        fresh, _ = self.engine.encrypt(np.tile(vector, repeats), scale)
        return fresh


def switch_key(engine: SecretKey, gallery: SecretKey, plan: SwitchPlan) -> SwitchKey:
    """As its file gives it."""
    seed = os.urandom(32)
    bodies = list(switch_bodies(engine, gallery, plan, seed))
    ring, specifications = plan.gallery.parameters, [PART] * plan.parts + plan.added_keys()
    keys = [
        expand_key(ring, one, [body], seed, number)
        for number, (one, body) in enumerate(zip(specifications, bodies, strict=True), 1)
    ]
    parts = [
        EvaluationKeys(ring, gallery.key_id, {PART.name: key}).residues(0, 0)[0]
        for key in keys[: plan.parts]
    ]
    named = zip(plan.added_keys(), keys[plan.parts :], strict=True)
    held = EvaluationKeys(ring, gallery.key_id, {one.name: key for one, key in named})
    return SwitchKey(plan, engine.key_id, gallery.key_id, np.stack(parts), held)


def make_crossing(parameters: Parameters, log_n: int = 6, features: int = 16) -> Crossing:
    """Of an engine's parameters, and a gallery's ring of 2^log_n."""
    ring = replace(tiny.gallery(log_n, features), probe_scale=2.0**26, template_scale=2.0**20)
    engine, gallery = SecretKey.generate(parameters), SecretKey.generate(ring.parameters)
    return crossing_of(engine, gallery, ring)


def crossing_of(engine: SecretKey, gallery: SecretKey, ring: MatchParameters) -> Crossing:
    """Of two keys; results are at the engine's top level."""
    top = engine.parameters.top
    plan = SwitchPlan(engine.parameters, ring, Form(top, SCALE), Form(top, NORM_SCALE))
    keys = tiny.gallery_keys(gallery, ring)
    key = switch_key(engine, gallery, plan)
    return Crossing(plan, engine, gallery, keys, key, Switcher(key, keys, 1))
