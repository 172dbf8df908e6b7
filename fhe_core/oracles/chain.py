"""A modulus chain as foreign libraries ask for it.

They know the standard ring only. Elements of the real ring of degree N are some of those of the
standard ring of degree 2N, which has N complex slots in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from fhe_core.parameters import Parameters


@dataclass(frozen=True)
class Levels:
    """What the levels of a plan are in a foreign chain.

    Attributes:
        limbs: of each level.
        halves: so many levels, the first ones, are in the ring of half the degree. That lies in the
            larger one, and a foreign library stays there: slots repeat after half of them.
    """

    limbs: tuple[int, ...]
    halves: int = 0


@dataclass(frozen=True)
class Chain:
    """Sizes in bits; the first limb is the base, all others have one size, no more than its.

    Attributes:
        digits: of a key switch at the top.
        secure: whether the library must insist on 128 bits of security.
        levels: of plans.
    """

    ring_dimension: int
    limbs: int
    base_bits: int
    limb_bits: int
    digits: int
    secure: bool
    levels: Levels

    @property
    def slots(self) -> int:
        return self.ring_dimension // 2

    @property
    def digit_limbs(self) -> int:
        return -(-self.limbs // self.digits)

    def describe(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_description(cls, content: Mapping[str, Any]) -> Chain:
        """Inverse of :meth:`describe`; KeyError or TypeError for anything else."""
        chain = cls(**content)
        levels = content["levels"]
        return replace(chain, levels=Levels(tuple(levels["limbs"]), levels["halves"]))


def levels_of(parameters: Parameters) -> Levels:
    """A limb for every prime of a level, sprouts included."""
    levels = range(len(parameters.levels))
    limbs = tuple(parameters.levels[level].limbs for level in levels)
    return Levels(limbs, sum(parameters.in_half(level) for level in levels))


def chain_of(parameters: Parameters) -> Chain:
    """The chain like that of ``parameters``, in the ring that holds theirs.

    It has a limb for every prime of the top level, sprouts included. Primes of several sizes give
    their mean, rounded up, and a base that is smaller grows to it, so that the modulus is never
    smaller. Only a set within the 128-bit bound must be secure there too.
    """
    bits = [prime.bit_length() for prime in parameters.moduli_at(parameters.top)]
    others = bits[1:] or bits
    limb_bits = math.ceil(sum(others) / len(others))
    limit = parameters.log2_qp_bound
    return Chain(
        parameters.root_order // 2,
        len(bits),
        max(bits[0], limb_bits),
        limb_bits,
        parameters.digits(parameters.top),
        limit is not None and parameters.log2_qp <= limit,
        levels_of(parameters),
    )
