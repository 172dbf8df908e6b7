"""What the oracle tests share: the foreign backends, or a printed reason why there is none."""

from __future__ import annotations

import os

import pytest

from fhe_core.oracles import interpreter, seal_library
from fhe_core.oracles.interface import OracleError
from fhe_core.oracles.openfhe_backend import OpenFheBackend
from tests.core import tiny
from tests.oracles import primitives
from tests.oracles.bench import Bench


@pytest.fixture(scope="session")
def openfhe() -> OpenFheBackend:
    """OpenFHE in another Python; skips where there is none. A Python that was named, by the
    environment variable, must be usable.
    """
    try:
        return OpenFheBackend(interpreter.openfhe_interpreter(), threads=1)
    except OracleError as error:
        if os.environ.get(interpreter.VARIABLE):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def seal() -> None:
    """Skips where TenSEAL cannot be imported."""
    try:
        seal_library.imported()
    except OracleError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def world() -> tiny.World:
    """A client and a server around one small network; treat it as read-only."""
    return tiny.make_world()


@pytest.fixture(scope="session")
def bench() -> Bench:
    """One plan with every primitive, its keys and inputs; treat it as read-only."""
    return primitives.make()
