"""Keys and networks that many tests share, made once."""

from __future__ import annotations

import pytest

from fhe_core.parameters import Parameters
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from tests.core import tiny


@pytest.fixture(scope="session")
def world() -> tiny.World:
    """A client and a server around one small network; treat it as read-only."""
    return tiny.make_world()


@pytest.fixture(scope="session")
def short() -> Parameters:
    """Six limbs, three tiers, ring dimension 256."""
    return tiny.load(tiny.SHORT.name)


@pytest.fixture(scope="session")
def short_key(short: Parameters) -> SecretKey:
    return SecretKey.generate(short)


@pytest.fixture(scope="session")
def halves() -> Parameters:
    """Levels in rings of dimension 64 and 32."""
    return tiny.load(tiny.HALVES.name)


@pytest.fixture(scope="session")
def halves_key(halves: Parameters) -> SecretKey:
    return SecretKey.generate(halves)


@pytest.fixture(scope="session")
def halves_evaluator(halves: Parameters, halves_key: SecretKey) -> Evaluator:
    return Evaluator(halves, tiny.make_keys(halves_key, tiny.ring_keys(halves)), 1)
