"""Bounds of two rings, and their files."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core import container
from fhe_core.container import Kind, Section
from fhe_core.formats.ciphertexts import (
    Bundle,
    bundle_metadata,
    bundle_sections,
    evaluation_key_metadata,
    load_bundle,
    load_evaluation_keys,
    save_bundle,
)
from fhe_core.parameters import (
    ParameterError,
    Parameters,
    Ring,
    Specification,
    Tier,
    build,
    presets,
)
from fhe_core.parameters.bounds import InsecureParametersError
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.files import load_secret_key, save_evaluation_keys
from fhe_core.secret.key import SecretKey
from tests.core import tiny

SCALE = 2.0**40


def secure(half_specials: int) -> Specification:
    """Of 128 bits in the larger ring; in the smaller one by how many special primes it uses."""
    return Specification(
        name="two-rings",
        log_ring_dimension=16,
        limb_bits=(50,) * 13,
        special_bits=(50,) * 6,
        tiers=(Tier(13, 4, 4),),
        half_tiers=(Tier(13, 4, half_specials),),
        half_levels=tuple((limbs,) for limbs in range(1, 14)),
    )


def test_every_ring_is_held_to_its_own_bound() -> None:
    parameters = build(secure(4))  # 13 limbs and 4 special primes: 850 bits of 868 at N = 2^15
    large, small = parameters.rings
    assert (large.ring_dimension, small.ring_dimension) == (1 << 16, 1 << 15)
    assert (large.log2_qp_bound, small.log2_qp_bound) == (1747, 868)
    assert small.log2_qp == pytest.approx(850, abs=0.01)
    with pytest.raises(InsecureParametersError, match="868 for ring dimension 32768"):
        build(secure(5))


def test_the_bound_counts_all_primes_that_a_tier_has() -> None:
    """Two levels of one tier with different sprouts: a key may have the primes of both."""
    both = replace(secure(4), half_levels=((11, 30), (13,)), half_tiers=(Tier(13, 4, 4),))
    with pytest.raises(InsecureParametersError, match=r"log2\(QP\) = 880"):
        build(both)
    assert build(replace(both, half_tiers=(Tier(11, 4, 4), Tier(13, 4, 4)))).half is not None


def test_both_rings_are_described() -> None:
    described = build(secure(4)).describe()
    assert described["half"]["ring_dimension"] == described["ring_dimension"] // 2
    assert described["half"]["log2_qp"] == pytest.approx(850, abs=0.01)
    assert described["half"]["security_bits"] == 128
    assert build(tiny.SHORT).describe()["half"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"half_tiers": ()},
        {"half_levels": ()},
        {"half_levels": (), "half_tiers": (), "half_entries": (0,)},
        {"half_entries": (3,)},
        {"half_entries": (2, 1)},
        {"half_entries": (1, 1)},
        {"half_entries": (-1,)},
        {"half_levels": ((2,), (2,), (3,))},
        {"half_levels": ((1,), (2,), (4,))},
        {"half_levels": ((1,), (2,), (5,))},
        {"half_tiers": (Tier(3, 3, 1),)},
        {"half_tiers": (Tier(3, 1, 3),)},
        {"ring": Ring.STANDARD},
        {"log_ring_dimension": 4},
    ],
)
def test_rings_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        build(replace(tiny.HALVES, **changes))


def test_keys_of_both_rings_in_one_file(
    halves: Parameters, halves_key: SecretKey, tmp_path: Path
) -> None:
    """Every key has the size of its ring."""
    path, wanted = tmp_path / "evaluation.key", tiny.ring_keys(halves)
    save_evaluation_keys(path, halves_key, wanted, {})
    loaded = load_evaluation_keys(path, load=tiny.load)
    assert {name: k.data.size for name, k in loaded.keys.items()} == {
        k.name: 2 * math.prod(k.shape(halves)) for k in wanted
    }
    assert {k.shape(halves)[2] for k in wanted} == {64, 32}
    own = Evaluator(halves, loaded, 1)
    fresh, _ = halves_key.encrypt(np.ones(halves.slots), SCALE)
    small = own.switch_ring(own.drop_to(fresh, 4), 2)
    assert halves_key.at(2).decrypt(small) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "entry",
    [
        [34, 1, 0b110],  # beyond the keys that lead to the smaller ring
        [65, 0, 0b1000000],  # beyond the one that leads back
        [0, 1, 0b1110],  # levels of both rings
        [0, 0, 0b1000],  # a level that has no keys
        [0, 0, 0b1010000],  # and another one
        [0, 0, 0b110],  # the other ring's tier
        [0, 1, 0],
    ],
)
def test_keys_that_no_ring_has_are_refused(
    halves: Parameters, halves_key: SecretKey, tmp_path: Path, entry: list[int]
) -> None:
    path = tmp_path / "evaluation.key"
    metadata = {**evaluation_key_metadata(halves, []), "keys": [entry]}
    seed = Section.from_array("seed", np.zeros(32, dtype=np.uint8))
    container.write(path, Kind.EVALUATION_KEYS, halves.digest, halves_key.key_id, metadata, [seed])
    with pytest.raises(container.Corrupt, match="does not fit the parameters"):
        load_evaluation_keys(path, load=tiny.load)


def test_a_ciphertext_has_the_size_of_its_levels_ring(
    halves: Parameters, halves_key: SecretKey, halves_evaluator: Evaluator, tmp_path: Path
) -> None:
    """A header that names a level of the other ring is refused before anything is read."""
    fresh, _ = halves_key.encrypt(np.ones(halves.slots), SCALE)
    small = halves_evaluator.switch_ring(halves_evaluator.drop_to(fresh, 4), 2)
    path = tmp_path / "small"
    bundle = Bundle("image", halves, halves_key.key_id, {"a": small}, {}, {})
    save_bundle(path, bundle)
    loaded = load_bundle(path, load=tiny.load)
    assert np.array_equal(loaded.items["a"].residues, small.residues)
    metadata = bundle_metadata(bundle)
    metadata["items"][0]["level"] = 4
    container.write(
        path, Kind.CIPHERTEXT, halves.digest, halves_key.key_id, metadata, bundle_sections(bundle)
    )
    with pytest.raises(container.Corrupt, match="wrong shape"):
        load_bundle(path, load=tiny.load)


def test_keys_from_before_there_were_two_rings_are_refused(tmp_path: Path) -> None:
    """In one line, before a section is read."""
    before = build(replace(presets.LEAN, half_levels=(), half_tiers=(), half_entries=()))
    for kind, load in (
        (Kind.SECRET_KEY, load_secret_key),
        (Kind.EVALUATION_KEYS, load_evaluation_keys),
        (Kind.CIPHERTEXT, load_bundle),
    ):
        path = tmp_path / kind.name
        private = kind is Kind.SECRET_KEY
        facts: dict[str, container.JsonValue] = {"parameters": "lean"}
        container.write(path, kind, before.digest, "cd" * 16, facts, [], private=private)
        with pytest.raises(container.ParameterMismatch, match="make new keys") as refused:
            load(path)
        assert "\n" not in str(refused.value)
