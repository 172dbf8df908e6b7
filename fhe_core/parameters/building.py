"""From a specification to parameters: the primes are chosen and everything is checked."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

from fhe_core.parameters import bounds as security
from fhe_core.parameters.parameters import Parameters
from fhe_core.parameters.primes import ntt_primes
from fhe_core.parameters.specification import (
    DIGIT_SLACK_BITS,
    MAX_PRIME_BITS,
    Level,
    ParameterError,
    Ring,
    Specification,
    Tier,
    root_order,
)


def build(specification: Specification) -> Parameters:
    """Choose the primes and check everything.

    Raises:
        ParameterError: sizes, tiers or primes do not fit together.
        security.InsecureParametersError: log2(QP) exceeds the 128-bit bound.
    """
    spec = specification
    if not 4 <= spec.log_ring_dimension <= 17:
        raise ParameterError("log_ring_dimension must be in [4, 17]")
    order = root_order(spec.ring, 1 << spec.log_ring_dimension)
    for bits in (*spec.limb_bits, *spec.special_bits):
        if not order.bit_length() <= bits <= MAX_PRIME_BITS or bits < 18:
            raise ParameterError(f"a prime of {bits} bits is out of range")
    if not spec.limb_bits or not spec.special_bits or not spec.tiers:
        raise ParameterError("limbs, special primes and tiers must not be empty")
    _check_half(spec)
    for tier in spec.all_tiers:
        if not (
            1 <= tier.limbs <= len(spec.limb_bits)
            and 1 <= tier.digit_limbs <= tier.limbs
            and 1 <= tier.special_limbs <= len(spec.special_bits)
        ):
            raise ParameterError(f"'{spec.name}': {tier} does not fit the chain")
    if max(tier.limbs for tier in spec.tiers) != len(spec.limb_bits):
        raise ParameterError("the largest tier must cover the whole chain")
    sprouts = _sprouts(spec)
    wanted = (*spec.limb_bits, *spec.special_bits, *(bits for bits, _ in sprouts))
    pools = {bits: ntt_primes(bits, order // 2) for bits in set(wanted)}
    try:
        primes = [next(pools[bits]) for bits in wanted]
    except StopIteration:
        raise ParameterError(f"'{spec.name}': not enough primes of the sizes asked for") from None
    moduli, others = tuple(primes[: len(spec.limb_bits)]), tuple(primes[len(spec.limb_bits) :])
    count = len(spec.special_bits)
    levels = _levels(spec, sprouts)
    parameters = Parameters(spec, moduli, others[:count], others[count:], levels)
    _check_levels(parameters)
    for ring in parameters.rings:
        security.require_secure(spec.name, ring.ring_dimension, ring.log2_qp)
    return parameters


def _check_half(spec: Specification) -> None:
    """What the ring of half the degree has, or that there is nothing of one.

    Raises:
        ParameterError: tiers without levels or the other way round, or entries that are no levels.
    """
    if bool(spec.half_levels) != bool(spec.half_tiers) or (
        spec.half_entries and not spec.half_levels
    ):
        raise ParameterError(f"'{spec.name}': the ring of half the degree lacks levels or tiers")
    if not spec.half_levels:
        return
    if spec.ring is not Ring.REAL or spec.log_ring_dimension < 5:
        raise ParameterError(f"'{spec.name}': this ring has none of half the degree")
    if max(tier.limbs for tier in spec.half_tiers) < max(one[0] for one in spec.half_levels):
        raise ParameterError(f"'{spec.name}': no tier of the half ring covers its highest level")
    possible = range(len(spec.half_levels))
    ascending = sorted(set(spec.entries))
    if list(spec.entries) != ascending or not set(ascending) <= set(possible):
        raise ParameterError(f"'{spec.name}': half_entries must be levels of the half ring")


def _sprouts(spec: Specification) -> list[tuple[int, int]]:
    """All sprouts, each as its size and its number among those of one level that have this size.

    Raises:
        ParameterError: levels have other limbs than there are, or a size that is out of range.
    """
    found: set[tuple[int, int]] = set()
    for limbs, *sizes in (*spec.levels, *spec.half_levels):
        if not 1 <= limbs <= len(spec.limb_bits):
            raise ParameterError(f"'{spec.name}': a level has {limbs} limbs")
        found |= {(bits, i) for bits, count in Counter(sizes).items() for i in range(count)}
    order = root_order(spec.ring, 1 << spec.log_ring_dimension)
    if any(not order.bit_length() <= bits <= MAX_PRIME_BITS or bits < 18 for bits, _ in found):
        raise ParameterError(f"'{spec.name}': a sprout's size is out of range")
    return sorted(found)


def _levels(spec: Specification, sprouts: list[tuple[int, int]]) -> tuple[Level, ...]:
    first = len(spec.limb_bits) + len(spec.special_bits)
    row_of = {sprout: first + i for i, sprout in enumerate(sprouts)}
    n = 1 << spec.log_ring_dimension

    def rows(limbs: int, *sizes: int) -> tuple[int, ...]:
        own = [(bits, sizes[:i].count(bits)) for i, bits in enumerate(sizes)]
        return (*range(limbs), *(row_of[sprout] for sprout in own))

    def own(one: tuple[int, ...]) -> Level:
        return Level(n, rows(*one), _tier_index(spec.tiers, one[0]))

    first_tier = len(spec.tiers)
    half = [
        Level(n // 2, rows(*one), first_tier + _tier_index(spec.half_tiers, one[0]))
        for one in spec.half_levels
    ]
    leaving = [own(spec.half_levels[entry]) for entry in spec.entries]
    chain = spec.levels or tuple((k + 1,) for k in range(len(spec.limb_bits)))
    return (*half, *leaving, *map(own, chain))


def _check_levels(parameters: Parameters) -> None:
    """Moduli grow from level to level, up to all limbs; digits fit the special primes.

    Raises:
        ParameterError: they do not, or a sprout would belong to two digits of a tier.
    """
    name, moduli = parameters.name, len(parameters.moduli)
    sizes = [parameters.log2_modulus(level) for level in range(parameters.top + 1)]
    spec = parameters.specification
    half, leaving = len(spec.half_levels), len(spec.entries)
    chains = sizes[:half], sizes[half : half + leaving], sizes[half + leaving :]
    if any(b <= a for chain in chains for a, b in pairwise(chain)):
        raise ParameterError(f"'{name}': a level has no larger modulus than the one below")
    if moduli - 1 not in parameters.levels[-1].rows:
        raise ParameterError(f"'{name}': the highest level leaves limbs out")
    homes: dict[tuple[int, int], int] = {}
    for level, one in enumerate(parameters.levels):
        specials = parameters.specials[: parameters.tiers[one.tier].special_limbs]
        p_bits = math.fsum(math.log2(p) for p in specials)
        for digit in parameters.digit_moduli(level):
            digit_bits = math.fsum(math.log2(q) for q in digit)
            if digit_bits > p_bits + DIGIT_SLACK_BITS:
                raise ParameterError(
                    f"'{name}': a digit of {digit_bits:.0f} bits exceeds the special primes "
                    f"({p_bits:.0f} bits); key switching would drown the message in noise"
                )
        last = parameters.digits(level) - 1
        sprouts = [row for row in one.rows if row >= moduli]
        if any(homes.setdefault((one.tier, row), last) != last for row in sprouts):
            raise ParameterError(f"'{name}': a sprout belongs to two digits of one tier")


def _tier_index(tiers: tuple[Tier, ...], limbs: int) -> int:
    """The smallest tier that covers a ciphertext of that many limbs."""
    fitting = [i for i, tier in enumerate(tiers) if tier.limbs >= limbs]
    return min(fitting, key=lambda i: tiers[i].limbs)
