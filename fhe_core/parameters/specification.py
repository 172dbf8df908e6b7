"""What a person writes down of a parameter set, and the words it is written in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fhe_core.errors import Failure

#: Largest prime size the kernels accept, in bits.
MAX_PRIME_BITS = 50
#: A digit may exceed the special primes by this much: it multiplies the key-switching noise, about
#: 2^23 in a slot at N = 2^16, which a scale of 2^45 still forgives. Scales are the policy's, which
#: nothing here knows: with smaller ones digits must stay below the special primes (presets.LEAN).
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
    half_levels: as ``levels``, in the ring of half the degree; half_tiers: of these.
    half_entries: at which of them, ascending, a ciphertext may come from the larger ring, which has
        a level of the same primes for each. Empty: at the highest.
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
    half_entries: tuple[int, ...] = ()

    @property
    def all_tiers(self) -> tuple[Tier, ...]:
        """Those of the ring of half the degree come last."""
        return self.tiers + self.half_tiers

    @property
    def entries(self) -> tuple[int, ...]:
        """Levels of the ring of half the degree that ciphertexts come to from the larger one."""
        return self.half_entries or tuple(range(len(self.half_levels)))[-1:]


def root_order(ring: Ring, ring_dimension: int) -> int:
    """Of the roots of unity at which polynomials of a ring are evaluated."""
    return 4 * ring_dimension if ring is Ring.REAL else 2 * ring_dimension
