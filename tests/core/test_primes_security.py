"""Primes, and the bound that every parameter set must respect."""

from __future__ import annotations

import itertools

import pytest

from fhe_core.parameters import Specification, Tier, build, presets
from fhe_core.parameters import bounds as security
from fhe_core.parameters.bounds import InsecureParametersError
from fhe_core.parameters.primes import is_prime, ntt_primes

# Composites that fool Miller-Rabin with many small bases (Jaeschke 1993, and others).
PSEUDOPRIMES = [
    2047,
    1373653,
    25326001,
    3215031751,
    2152302898747,
    3474749660383,
    341550071728321,
    3825123056546413051,
    561,
    6601,
    9746347772161,
]


def test_primality_against_a_sieve() -> None:
    limit = 20_000
    sieve = [True] * limit
    sieve[:2] = [False, False]
    for i in range(2, 142):
        if sieve[i]:
            sieve[i * i :: i] = [False] * len(sieve[i * i :: i])
    assert [is_prime(n) for n in range(limit)] == sieve


def test_primality_of_hard_numbers() -> None:
    assert not any(is_prime(n) for n in PSEUDOPRIMES)
    assert all(is_prime(n) for n in (2**61 - 1, 2**64 - 59, 2**31 - 1))
    assert not is_prime((2**31 - 1) * (2**31 - 19))


@pytest.mark.parametrize(("bits", "n"), [(50, 65536), (43, 32768), (18, 16), (22, 1024)])
def test_ntt_primes(bits: int, n: int) -> None:
    primes = list(itertools.islice(ntt_primes(bits, n), 30))
    assert primes
    assert primes == sorted(set(primes), reverse=True)
    for q in primes:
        assert q % (2 * n) == 1
        assert 2 ** (bits - 1) < q < 2**bits
        assert is_prime(q)


def test_primes_run_out_instead_of_shrinking() -> None:
    assert all(q > 2**17 for q in ntt_primes(18, 4096))
    assert len(list(ntt_primes(18, 4096))) < 16


def specification(
    name: str, log_n: int, limbs: int, specials: int, bits: int = 50
) -> Specification:
    tier = Tier(limbs, specials, specials)
    return Specification(name, log_n, (bits,) * limbs, (bits,) * specials, (tier,))


# (log2 N, limbs, special primes) that just fit: one prime more of either kind breaks them.
FITTING = [(15, 15, 2), (16, 30, 4), (14, 7, 1)]


@pytest.mark.parametrize(("log_n", "limbs", "specials"), FITTING)
def test_special_primes_count(log_n: int, limbs: int, specials: int) -> None:
    parameters = build(specification("fits", log_n, limbs, specials))
    assert parameters.log2_qp <= security.MAX_LOG2_QP[1 << log_n]
    assert parameters.describe()["security_bits"] == 128
    for more in ((limbs + 1, specials), (limbs, specials + 1)):
        if 50 * sum(more) <= security.MAX_LOG2_QP[1 << log_n]:
            continue
        with pytest.raises(InsecureParametersError, match="special primes included"):
            build(specification("too-large", log_n, *more))
        insecure = build(specification("insecure-too-large", log_n, *more))
        assert insecure.describe()["security_bits"] is None


@pytest.mark.parametrize(("n", "bound"), [(4096, 106), (8192, 214), (32768, 868), (65536, 1747)])
def test_the_bounds_of_the_source(n: int, bound: int) -> None:
    assert security.bound(n) == bound
    security.require_secure("edge", n, float(bound))
    with pytest.raises(InsecureParametersError, match=str(bound)):
        security.require_secure("edge", n, bound + 0.01)
    security.require_secure("insecure-edge", n, bound + 500.0)
    with pytest.raises(InsecureParametersError):
        security.require_secure("not-insecure-edge", n, bound + 0.01)


@pytest.mark.parametrize("n", [1024, 2048, 262144, 3 * 4096])
def test_ring_dimensions_without_a_bound_are_refused(n: int) -> None:
    with pytest.raises(InsecureParametersError, match="no 128-bit bound"):
        security.require_secure("small", n, 10.0)
    security.require_secure("insecure-small", n, 10.0)


def test_shipped_presets_are_secure() -> None:
    parameters = presets.load("safe")
    assert parameters.ring_dimension == 65536
    assert parameters.log2_qp <= 1747
    assert parameters.describe()["margin_bits"] >= 0
    assert not parameters.name.startswith(security.INSECURE_PREFIX)
    with pytest.raises(KeyError, match="safe"):
        presets.load("unknown")
