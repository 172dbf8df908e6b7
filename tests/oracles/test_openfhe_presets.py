"""OpenFHE's own parameter generator accepts every shipped preset at 128 bits of security."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhe_core.oracles.chain import chain_of
from fhe_core.oracles.interface import OracleError
from fhe_core.oracles.openfhe_backend import OpenFheBackend
from fhe_core.parameters import Specification, presets

NAMES = sorted(s.name for s in vars(presets).values() if isinstance(s, Specification))


@pytest.mark.parametrize("name", NAMES)
def test_preset_is_accepted(openfhe: OpenFheBackend, name: str) -> None:
    """Both for the ring that holds ours and for the dimension of our problem, which is half of
    it."""
    parameters = presets.load(name)
    chain = chain_of(parameters)
    assert chain.secure
    assert chain.ring_dimension == 2 * parameters.ring_dimension
    own = openfhe.accepts(replace(chain, ring_dimension=parameters.ring_dimension)).report
    assert own["security"] == "HEStd_128_classic"
    assert own["ring_dimension"] == parameters.ring_dimension
    report = openfhe.accepts(chain).report
    assert report["security"] == "HEStd_128_classic"
    assert report["ring_dimension"] == chain.ring_dimension
    assert report["depth"] == parameters.limbs - 1
    assert len(report["moduli"]) == parameters.limbs
    assert report["log2_q"] > parameters.log2_q - 0.01


@pytest.mark.parametrize("name", NAMES)
def test_half_the_ring_dimension_is_refused(openfhe: OpenFheBackend, name: str) -> None:
    """The generator does look: the same chain is not secure in a smaller ring."""
    parameters = presets.load(name)
    chain = replace(chain_of(parameters), ring_dimension=parameters.ring_dimension // 2)
    with pytest.raises(OracleError, match="OpenFHE refuses"):
        openfhe.accepts(chain)


def test_the_smaller_ring_is_accepted(openfhe: OpenFheBackend) -> None:
    """At its own dimension. OpenFHE's special primes have 60 bits: with as many digits as ours its
    product would be larger than ours, and is refused."""
    half = presets.load("lean").half
    assert half is not None
    chain = replace(chain_of(half), ring_dimension=half.ring_dimension)
    assert chain.secure
    own = openfhe.accepts(replace(chain, digits=chain.digits + 1)).report
    assert own["security"] == "HEStd_128_classic"
    assert own["ring_dimension"] == half.ring_dimension
    assert own["log2_q"] > half.log2_q - 0.01
    with pytest.raises(OracleError, match="OpenFHE refuses"):
        openfhe.accepts(chain)
