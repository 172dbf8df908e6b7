"""A modulus chain as foreign libraries ask for it.

They know the standard ring only. Elements of the real ring of degree N are some of those of the
standard ring of degree 2N, which has N complex slots in the same order.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from fhe_core.parameters import Parameters


@dataclass(frozen=True)
class Chain:
    """Sizes in bits; the first limb is the base, all others have one size, no more than its.

    Attributes:
        digits: of a key switch at the top.
        secure: whether the library must insist on 128 bits of security.
    """

    ring_dimension: int
    limbs: int
    base_bits: int
    limb_bits: int
    digits: int
    secure: bool

    @property
    def slots(self) -> int:
        return self.ring_dimension // 2

    @property
    def digit_limbs(self) -> int:
        return -(-self.limbs // self.digits)

    def describe(self) -> dict[str, Any]:
        return asdict(self)


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
    )
