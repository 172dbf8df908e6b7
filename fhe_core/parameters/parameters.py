"""Parameter sets: a specification in, a checked immutable object out.

The modulus chain is a list of limbs, bottom first: limb 0 is the base prime. ``Parameters.levels``
says what a ciphertext has at every level: the first limbs of the chain and, to reach a modulus of
any size, *sprouts* (Grafting, ia.cr/2024/1014): primes of other sizes that only some levels have.
Special primes belong to key switching only. A tier says how ciphertexts of up to ``limbs`` limbs
are key-switched: digits of ``digit_limbs`` limbs, the last one with the level's sprouts, and the
first ``special_limbs`` special primes. Lower tiers have smaller keys and cost less.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import Enum
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any

from fhe_core.errors import Failure
from fhe_core.parameters import bounds as security
from fhe_core.parameters.primes import ntt_primes

#: Largest prime size the kernels accept, in bits.
MAX_PRIME_BITS = 50
#: A digit may exceed the special primes by this much: it multiplies the key-switching noise, about
#: 2^23 in a slot at N = 2^16, which a scale of 2^45 still forgives.
DIGIT_SLACK_BITS = 6
#: Centred binomial errors: variance ETA / 2, standard deviation 3.24 (the bound assumes 3.19).
ERROR_ETA = 21


class ParameterError(Failure, ValueError):
    """A specification that cannot be turned into parameters."""

    code = "parameters"


class Ring(Enum):
    """What the N coefficients of a polynomial are the coordinates of; the extension's names.

    REAL: a_0 + sum of a_i (X^i + X^-i), modulo X^2N + 1. An element has a real value at every root,
    so that N coefficients make N real slots (Kim and Song 2018, ia.cr/2018/952). Of engines.
    STANDARD: a_0 + a_1 X + ... modulo X^N + 1. Of galleries, whose messages are coefficients.
    """

    STANDARD = "standard"
    REAL = "real"


@dataclass(frozen=True)
class Tier:
    """Key switching for ciphertexts of at most ``limbs`` limbs (hybrid, Han-Ki 2020)."""

    limbs: int
    digit_limbs: int
    special_limbs: int

    def digits(self, limbs: int) -> int:
        """Number of digits of a ciphertext with that many limbs."""
        return -(-limbs // self.digit_limbs)


@dataclass(frozen=True)
class Level:
    """What a ciphertext has at one level of the chain.

    Attributes:
        ring_dimension: of its polynomials.
        rows: its primes, as indices of ``Parameters.primes``: limbs first, then sprouts.
        tier: how it is key-switched, as an index of ``Parameters.tiers``.
    """

    ring_dimension: int
    rows: tuple[int, ...]
    tier: int

    @property
    def limbs(self) -> int:
        """How many primes it has; a sprout costs as much as a limb."""
        return len(self.rows)


@dataclass(frozen=True)
class Specification:
    """What a person writes down. Bits are prime sizes; limb_bits[0] is the base prime.

    levels: for every level, bottom first, how many limbs it has, then the sizes of its sprouts.
        Empty: a level for every limb. Sprouts of one size are the same primes at all levels.
    half_levels: as ``levels``, in the ring of half the degree, which a ciphertext enters at the
        highest of them; half_tiers: of these.
    """

    name: str
    log_ring_dimension: int
    limb_bits: tuple[int, ...]
    special_bits: tuple[int, ...]
    tiers: tuple[Tier, ...]
    ring: Ring = Ring.REAL
    levels: tuple[tuple[int, ...], ...] = ()
    half_tiers: tuple[Tier, ...] = ()
    half_levels: tuple[tuple[int, ...], ...] = ()

    @property
    def all_tiers(self) -> tuple[Tier, ...]:
        """Those of the ring of half the degree come last."""
        return self.tiers + self.half_tiers


@dataclass(frozen=True)
class Parameters:
    """A checked parameter set. Build it with :func:`build`."""

    specification: Specification
    moduli: tuple[int, ...]
    specials: tuple[int, ...]
    sprouts: tuple[int, ...]
    #: Bottom first: the last one is that of fresh ciphertexts.
    levels: tuple[Level, ...]

    @property
    def name(self) -> str:
        return self.specification.name

    @property
    def ring_dimension(self) -> int:
        return 1 << self.specification.log_ring_dimension

    @property
    def ring(self) -> Ring:
        return self.specification.ring

    @property
    def slots(self) -> int:
        """Values at roots of unity that may be chosen freely."""
        return self.ring_dimension if self.ring is Ring.REAL else self.ring_dimension // 2

    def slots_at(self, level: int) -> int:
        """Of a ciphertext at that level."""
        return self.slots * self.levels[level].ring_dimension // self.ring_dimension

    @cached_property
    def half(self) -> Parameters | None:
        """The ring of half the degree, with its own levels; they have the same numbers here."""
        spec = self.specification
        if not spec.half_levels:
            return None
        small = replace(spec, log_ring_dimension=spec.log_ring_dimension - 1, half_levels=())
        levels = self.levels[: len(spec.half_levels)]
        return Parameters(small, self.moduli, self.specials, self.sprouts, levels)

    @property
    def root_order(self) -> int:
        """Order of the roots of unity at which polynomials are evaluated: 4N, or 2N."""
        return root_order(self.ring, self.ring_dimension)

    @property
    def limbs(self) -> int:
        """Of a fresh ciphertext."""
        return self.levels[-1].limbs

    @property
    def tiers(self) -> tuple[Tier, ...]:
        return self.specification.all_tiers

    @cached_property
    def primes(self) -> tuple[int, ...]:
        """All of them; a *row* is an index of this list."""
        return self.moduli + self.specials + self.sprouts

    @property
    def top(self) -> int:
        """The level of fresh ciphertexts."""
        return len(self.levels) - 1

    def moduli_at(self, level: int) -> tuple[int, ...]:
        """The primes of a ciphertext at that level, row by row."""
        return tuple(self.primes[row] for row in self.levels[level].rows)

    def rescale_factor(self, level: int, lower: int) -> float:
        """What rescaling from a level to a lower one divides by: one modulus over the other."""
        before, after = self.levels[level].rows, self.levels[lower].rows
        divided = math.prod(float(self.primes[row]) for row in before if row not in after)
        return divided / math.prod(float(self.primes[row]) for row in after if row not in before)

    def drop_multiple(self, level: int, lower: int) -> int:
        """The integer by which a ciphertext is multiplied before it is rescaled to a lower level
        whose sprouts it does not have, so that its scale stays: the ratio of the moduli, rounded.

        1 where the lower level has no other primes: they are just left away.
        """
        if set(self.levels[lower].rows) <= set(self.levels[level].rows):
            return 1
        before, after = math.prod(self.moduli_at(level)), math.prod(self.moduli_at(lower))
        return (2 * before + after) // (2 * after)

    def drop_factor(self, level: int, lower: int) -> float:
        """By what dropping from a level to a lower one multiplies the scale: about 1."""
        multiple = self.drop_multiple(level, lower)
        if multiple == 1:
            return 1.0
        before, after = math.prod(self.moduli_at(level)), math.prod(self.moduli_at(lower))
        return float(Fraction(multiple * after, before))

    @cached_property
    def log2_q(self) -> float:
        return self.log2_modulus(self.top)

    def log2_modulus(self, level: int) -> float:
        """Of a ciphertext at that level."""
        return math.fsum(math.log2(q) for q in self.moduli_at(level))

    @cached_property
    def log2_qp(self) -> float:
        """Of the largest key that there could be, one for all levels of a tier: a sample modulo the
        product of all its primes, sprouts included."""
        return max(self._log2_qp_of(tier) for tier in range(len(self.specification.tiers)))

    @cached_property
    def log2_qp_half(self) -> float | None:
        """The same of keys under the secret of the ring of half the degree, if there is one."""
        tiers = range(len(self.specification.tiers), len(self.tiers))
        return max(map(self._log2_qp_of, tiers), default=None)

    def _log2_qp_of(self, tier: int) -> float:
        own = [number for number, level in enumerate(self.levels) if level.tier == tier]
        return math.fsum(math.log2(self.primes[row]) for row in self.key_rows(tier, own))

    @property
    def log2_qp_bound(self) -> int | None:
        return security.bound(self.ring_dimension)

    @property
    def rotations(self) -> int:
        """How many evaluation keys have a name: 0 (relinearisation), amounts below ``slots``, and
        as many as there are slots, which stands for the switch to the ring of half the degree; in
        the standard ring for conjugation, X -> X^-1.
        """
        return self.slots + 1

    @property
    def ring_switch(self) -> int:
        """In place of a rotation amount: the key that leads to the ring of half the degree."""
        return self.slots

    def galois_element(self, rotation: int) -> int:
        """5**rotation modulo ``root_order``: slot j of the result holds slot j + rotation.

        -1 for the conjugation of the standard ring.
        """
        if self.ring is Ring.STANDARD and rotation == self.slots:
            return self.root_order - 1
        return pow(5, rotation % self.slots, self.root_order)

    def special_rows(self, tier: Tier) -> list[int]:
        """Rows of the tier's special primes."""
        return list(range(len(self.moduli), len(self.moduli) + tier.special_limbs))

    def digit_moduli(self, level: int) -> list[tuple[int, ...]]:
        """The primes of every digit of a ciphertext at that level."""
        moduli, count = self.moduli_at(level), self.tiers[self.levels[level].tier].digit_limbs
        last = count * (self.digits(level) - 1)
        return [moduli[i : i + count] for i in range(0, last, count)] + [moduli[last:]]

    def digit_of_rows(self, tier: int) -> dict[int, int]:
        """The digit that each limb of the tier's levels belongs to."""
        count = self.tiers[tier].digit_limbs
        return {
            row: min(place // count, self.digits(level) - 1)
            for level, one in enumerate(self.levels)
            if one.tier == tier
            for place, row in enumerate(one.rows)
        }

    def key_rows(self, tier: int, levels: Iterable[int]) -> tuple[int, ...]:
        """Of a tier's key for some levels: all their primes, then the special ones."""
        limbs = {row for level in levels for row in self.levels[level].rows}
        return (*sorted(limbs), *self.special_rows(self.tiers[tier]))

    def digits(self, level: int) -> int:
        """Digits of a ciphertext at that level: of ``digit_limbs`` limbs each, the last one of what
        remains, sprouts included."""
        limbs = sum(row < len(self.moduli) for row in self.levels[level].rows)
        return self.tiers[self.levels[level].tier].digits(limbs)

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of everything that must agree between client and server."""
        facts = {"moduli": self.moduli, "specials": self.specials, **asdict(self.specification)}
        if facts.pop("ring") is Ring.REAL:  # galleries were before there were two rings
            facts["ring"] = Ring.REAL.value
        if self.sprouts:
            facts["sprouts"] = self.sprouts
        if not facts["levels"]:  # nor were there sprouts
            del facts["levels"]
        for name in ("half_tiers", "half_levels"):
            if not facts[name]:
                del facts[name]
        text = json.dumps(facts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Facts a person or a script may want, JSON-ready."""
        limit = self.log2_qp_bound
        return {
            "name": self.name,
            "ring": self.ring.value,
            "ring_dimension": self.ring_dimension,
            "slots": self.slots,
            "limbs": self.limbs,
            "special_limbs": len(self.specials),
            "log2_q": round(self.log2_q, 2),
            "log2_qp": round(self.log2_qp, 2),
            "log2_qp_bound": limit,
            "margin_bits": None if limit is None else round(limit - self.log2_qp, 2),
            "security_bits": None if limit is None or self.log2_qp > limit else 128,
            "bound_source": security.SOURCE,
            "secret": "uniform ternary",
            "error_deviation": math.sqrt(ERROR_ETA / 2),
            "digest": self.digest,
        }


def _tier_index(tiers: tuple[Tier, ...], limbs: int) -> int:
    """The smallest tier that covers a ciphertext of that many limbs."""
    fitting = [i for i, tier in enumerate(tiers) if tier.limbs >= limbs]
    return min(fitting, key=lambda i: tiers[i].limbs)


def root_order(ring: Ring, ring_dimension: int) -> int:
    """Of the roots of unity at which polynomials of a ring are evaluated."""
    return 4 * ring_dimension if ring is Ring.REAL else 2 * ring_dimension


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
    ring_dimension = 1 << spec.log_ring_dimension
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
    security.require_secure(spec.name, ring_dimension, parameters.log2_qp)
    if parameters.log2_qp_half is not None:
        security.require_secure(spec.name, ring_dimension // 2, parameters.log2_qp_half)
    return parameters


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

    half = []
    for one in spec.half_levels:
        tier = len(spec.tiers) + _tier_index(spec.half_tiers, one[0])
        half.append(Level(n // 2, rows(*one), tier))
    # Where a ciphertext leaves its ring: the switch's key is one under the other ring's secret.
    leaving = [replace(half[-1], ring_dimension=n)] if half else []
    all_of_them = [(k + 1,) for k in range(len(spec.limb_bits))]
    own = [
        Level(n, rows(*one), _tier_index(spec.tiers, one[0])) for one in spec.levels or all_of_them
    ]
    return (*half, *leaving, *own)


def _check_levels(parameters: Parameters) -> None:
    """Moduli grow from level to level, up to all limbs; digits fit the special primes.

    Raises:
        ParameterError: they do not, or a sprout would belong to two digits of a tier.
    """
    name, moduli = parameters.name, len(parameters.moduli)
    sizes = [parameters.log2_modulus(level) for level in range(parameters.top + 1)]
    half = len(parameters.specification.half_levels)
    chains = sizes[:half], sizes[half + bool(half) :]
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
