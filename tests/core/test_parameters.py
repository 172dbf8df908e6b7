"""Parameter sets: tiers, digits, refusals, and a digest that covers everything."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from fhe_core.matching.parameters import gallery_parameters
from fhe_core.parameters import (
    DIGIT_SLACK_BITS,
    ParameterError,
    Parameters,
    Ring,
    Specification,
    Tier,
    build,
    presets,
)
from tests.core import tiny


def changed(**changes: Any) -> Specification:
    return dataclasses.replace(tiny.SHORT, **changes)


def test_primes_are_distinct_and_have_the_sizes_asked_for(short: Parameters) -> None:
    primes = [*short.moduli, *short.specials]
    assert len(set(primes)) == len(primes)
    sizes = [*tiny.SHORT.limb_bits, *tiny.SHORT.special_bits]
    assert [q.bit_length() for q in primes] == sizes
    assert short.log2_q == pytest.approx(math.log2(math.prod(short.moduli)))
    assert short.log2_qp == pytest.approx(math.log2(math.prod(primes)))


def test_tiers(short: Parameters) -> None:
    assert [level.tier for level in short.levels] == [2, 2, 1, 1, 0, 0]
    assert [Tier(29, 10, 9).digits(limbs) for limbs in (1, 10, 11, 20, 21, 29)] == [
        1,
        1,
        2,
        2,
        3,
        3,
    ]
    assert short.special_rows(short.tiers[1]) == [6, 7]


def test_levels(short: Parameters) -> None:
    """A limb more with every level; a rescale divides by the primes that go."""
    assert [level.rows for level in short.levels] == [tuple(range(n)) for n in range(1, 7)]
    assert {level.ring_dimension for level in short.levels} == {short.ring_dimension} == {256}
    assert short.top == 5
    assert short.moduli_at(2) == short.moduli[:3]
    assert short.rescale_factor(4, 2) == math.prod(map(float, short.moduli[3:5]))
    assert short.rescale_factor(4, 4) == 1
    assert short.log2_modulus(0) == math.log2(short.moduli[0])


def test_digits_of_levels_and_rows_of_keys(short: Parameters) -> None:
    assert [short.digits(level) for level in range(6)] == [1, 2, 2, 2, 2, 2]
    assert short.digit_moduli(4) == [short.moduli[:3], short.moduli[3:5]]
    assert short.digit_of_rows(0) == {0: 0, 1: 0, 2: 0, 3: 1, 4: 1, 5: 1}
    assert short.key_rows(0, [4]) == (0, 1, 2, 3, 4, 6, 7, 8)
    assert short.key_rows(1, [2]) == (0, 1, 2, 6, 7)


def test_tier_order_does_not_matter() -> None:
    backwards = build(changed(tiers=tuple(reversed(tiny.SHORT.tiers))))
    assert [level.tier for level in backwards.levels] == [0, 0, 1, 1, 2, 2]


def test_galois_elements_are_powers_of_five(short: Parameters) -> None:
    assert short.galois_element(0) == 1
    assert short.galois_element(1) == 5
    assert short.galois_element(-1) * 5 % (4 * short.ring_dimension) == 1
    assert short.galois_element(2 * short.slots) == 1
    assert short.rotations_at(0) == short.slots == short.ring_dimension


def test_the_standard_ring_has_half_as_many_slots_and_conjugation() -> None:
    standard = tiny.gallery().parameters
    assert standard.slots == standard.ring_dimension // 2
    assert standard.rotations_at(0) == standard.slots + 1
    assert standard.root_order == 2 * standard.ring_dimension
    assert standard.galois_element(1) == 5
    assert standard.galois_element(-1) * 5 % standard.root_order == 1
    assert standard.galois_element(standard.slots) == standard.root_order - 1


def test_the_ring_is_part_of_the_digest(short: Parameters) -> None:
    standard = dataclasses.replace(short.specification, ring=Ring.STANDARD)
    assert dataclasses.replace(short, specification=standard).digest != short.digest


def test_the_digest_of_galleries_is_that_of_before_there_were_two_rings() -> None:
    """Or no gallery that was sealed then could be opened."""
    digest = gallery_parameters().parameters.digest
    assert digest == "956c8cc398efe2c4ef2ebdb61048e7c08bdb157d8c2d06373f804491e9104975"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"log_ring_dimension": 3}, "log_ring_dimension"),
        ({"log_ring_dimension": 18}, "log_ring_dimension"),
        ({"limb_bits": (51,) + (43,) * 5}, "51 bits"),
        ({"limb_bits": (50,) * 5 + (9,)}, "9 bits"),
        ({"limb_bits": ()}, "empty"),
        ({"special_bits": ()}, "empty"),
        ({"tiers": ()}, "empty"),
        ({"tiers": (Tier(5, 2, 2),)}, "largest tier"),
        ({"tiers": (Tier(6, 2, 2), Tier(7, 2, 2))}, "does not fit"),
        ({"tiers": (Tier(6, 0, 2),)}, "does not fit"),
        ({"tiers": (Tier(6, 2, 4),)}, "does not fit"),
        ({"tiers": (Tier(6, 2, 0),)}, "does not fit"),
        ({"tiers": (Tier(6, 7, 3),)}, "does not fit"),
        ({"tiers": (Tier(6, 3, 2),)}, "drown"),
        ({"log_ring_dimension": 12, "limb_bits": (18,) * 20}, "not enough primes"),
    ],
)
def test_refusals(changes: dict[str, Any], message: str) -> None:
    if "limb_bits" in changes and "tiers" not in changes:
        count = max(1, len(changes["limb_bits"]))
        changes = {**changes, "tiers": (Tier(count, 1, 1),)}
    with pytest.raises(ParameterError, match=message):
        build(changed(**changes))


def test_a_digit_may_exceed_the_special_primes_by_the_slack_only() -> None:
    def single(bits: int) -> Specification:
        return changed(limb_bits=(bits,), special_bits=(40,), tiers=(Tier(1, 1, 1),))

    for bits in range(20, 40 + DIGIT_SLACK_BITS):
        build(single(bits))
    for bits in range(41 + DIGIT_SLACK_BITS, 50):
        with pytest.raises(ParameterError, match="drown"):
            build(single(bits))


def test_the_digest_covers_every_field(short: Parameters) -> None:
    half = changed(half_levels=((1,), (2,)), half_tiers=(Tier(2, 1, 1),))
    variants = [
        changed(name="insecure-other"),
        changed(log_ring_dimension=9),
        changed(limb_bits=(50,) + (43,) * 4 + (42,)),
        changed(special_bits=(50, 50, 49)),
        changed(tiers=(*tiny.SHORT.tiers[:2], Tier(2, 2, 2))),
        changed(tiers=tiny.SHORT.tiers[:2]),
        changed(levels=((1,), (2,), (4,), (6,))),
        half,
        dataclasses.replace(half, half_tiers=(Tier(2, 1, 2),)),
        dataclasses.replace(half, half_entries=(0,)),
    ]
    assert len(variants) >= len(dataclasses.fields(Specification))
    digests = {build(spec).digest for spec in variants}
    assert len(digests | {short.digest}) == len(variants) + 1
    assert build(tiny.SHORT).digest == short.digest
    primes = dataclasses.replace(short, moduli=(short.moduli[1], *short.moduli[1:]))
    assert primes.digest != short.digest


def test_description_is_json_and_immutable(short: Parameters) -> None:
    description = json.loads(json.dumps(short.describe()))
    assert description["ring_dimension"] == 256
    assert description["log2_qp_bound"] is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        short.moduli = ()  # type: ignore[misc]


def test_images_of_batches_are_rotated_without_excess() -> None:
    """Key switching adds about 2^17 in a slot, times how far a digit exceeds the special primes;
    the images of a batch of `lean` have a scale of 2^26."""
    lean = presets.load("lean")
    top = lean.levels[lean.top].tier
    room = math.prod(lean.specials[: lean.tiers[top].special_limbs])
    levels = [number for number, one in enumerate(lean.levels) if one.tier == top]
    assert len(levels) >= 3
    for level in levels:
        for digit in lean.digit_moduli(level):
            assert math.log2(math.prod(digit)) < math.log2(room) - 1
