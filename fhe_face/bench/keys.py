"""Evaluation keys in memory, without a file in between."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fhe_core.keys.evaluation import EvaluationKey, EvaluationKeys, expand_key
from fhe_core.keys.expand import SEED_BYTES
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.secret.key import SecretKey
from fhe_face.progress import Stage, silent


def evaluation_keys(
    key: SecretKey, wanted: Sequence[KeySpecification], stage: Stage = silent
) -> EvaluationKeys:
    """The wanted keys, as a server holds them. For measurements: no server may see ``key``."""
    seed = os.urandom(SEED_BYTES)
    made: dict[KeyName, EvaluationKey] = {}
    for position, specification in enumerate(wanted):
        stage("making evaluation keys", position, len(wanted))
        domain = position + 1
        bodies = key.evaluation_key(specification, seed, domain)
        made[specification.name] = expand_key(key.parameters, specification, bodies, seed, domain)
    stage("making evaluation keys", len(wanted), len(wanted))
    return EvaluationKeys(key.parameters, key.key_id, made)
