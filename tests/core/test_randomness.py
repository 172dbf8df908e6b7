"""Where randomness comes from, and how it is spread."""

from __future__ import annotations

import ast
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fhe_core.keys.expand import SEED_BYTES, uniform_row
from fhe_core.parameters import ERROR_ETA
from fhe_core.parameters.primes import ntt_primes
from fhe_core.secret import sampling

COUNT = 200_000
Q = next(ntt_primes(50, 65536))
SEED = bytes(range(32))


def test_ternary_is_uniform() -> None:
    values, counts = np.unique(sampling.ternary(COUNT), return_counts=True)
    assert values.tolist() == [-1, 0, 1]
    deviation = np.sqrt(COUNT * 2 / 9)
    assert np.all(np.abs(counts - COUNT / 3) < 6 * deviation)


def test_errors_are_centred_binomial() -> None:
    sample = sampling.error(COUNT)
    assert sample.dtype == np.int64
    assert np.abs(sample).max() <= ERROR_ETA
    assert abs(sample.mean()) < 6 * np.sqrt(10.5 / COUNT)
    assert sample.var() == pytest.approx(ERROR_ETA / 2, rel=0.03)
    fourth = np.mean(sample.astype(np.float64) ** 4)
    assert fourth == pytest.approx(3 * 10.5**2 - 10.5, rel=0.1)  # kurtosis 3 - 1 / eta


def test_popcount() -> None:
    words = np.random.default_rng(0).integers(0, 2**32, 1000, dtype=np.uint64)
    expected = [bin(w).count("1") for w in words.tolist()]
    assert sampling._popcount(words).tolist() == expected


def test_every_call_differs() -> None:
    assert not np.array_equal(sampling.ternary(256), sampling.ternary(256))
    assert not np.array_equal(sampling.error(256), sampling.error(256))


def test_keys_use_no_generator_of_numbers_but_the_operating_system(repository: Path) -> None:
    for path in (repository / "fhe_core" / "keys").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("random", "default_rng", "RandomState"), path
            elif isinstance(node, ast.Import):
                assert all(a.name.split(".")[0] != "random" for a in node.names), path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] != "random", path
                assert all(a.name not in ("random", "default_rng") for a in node.names), path


def row(domain: int = 1, digit: int = 2, index: int = 3, seed: bytes = SEED) -> list[int]:
    out = np.empty(300, dtype=np.uint64)
    uniform_row(seed, domain, digit, index, Q, out)
    return [int(v) for v in out]


def test_expansion_is_deterministic_and_separates_everything() -> None:
    variants = [
        row(),
        row(domain=2),
        row(digit=3),
        row(index=4),
        row(domain=2**31),
        row(seed=bytes(32)),
        row(domain=3, digit=2, index=1),
    ]
    assert row() == variants[0]
    seen = {value for variant in variants for value in variant}
    assert len(seen) == 300 * len(variants)
    assert max(seen) < Q


def test_expansion_is_aes_in_counter_mode_with_rejection() -> None:
    stream = Cipher(algorithms.AES(SEED), modes.CTR(struct.pack("<IHH8x", 1, 2, 3))).encryptor()
    words = struct.unpack("<400Q", stream.update(bytes(3200)))
    expected = [w % 2**50 for w in words if w % 2**50 < Q][:300]
    assert row() == expected


def test_expansion_never_changes() -> None:
    """Files hold seeds: another expansion would make them worthless."""
    digest = hashlib.sha256(np.array(row(), dtype="<u8").tobytes()).hexdigest()
    assert digest == "c0c7d3f3cd902f19510afcfb3a71d2e0fe89b0d0569626d5f2673b94552fe870"


@pytest.mark.parametrize("modulus", [2**18 - 5, 2**17 + 29, Q])
def test_expansion_is_uniform(modulus: int) -> None:
    out = np.empty(50_000, dtype=np.uint64)
    uniform_row(SEED, 0, 0, 0, modulus, out)
    assert out.max() < modulus
    counts, _ = np.histogram(out.astype(np.float64), bins=10, range=(0, modulus))
    assert np.all(np.abs(counts - 5000) < 6 * np.sqrt(5000))


@pytest.mark.parametrize("length", [0, SEED_BYTES - 1, SEED_BYTES + 1])
def test_seeds_have_one_length(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        row(seed=bytes(length))
