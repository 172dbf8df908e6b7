"""Parameter sets: a specification in, a checked immutable object out.

The modulus chain is a list of limbs, bottom first: limb 0 is the base prime. ``Parameters.levels``
says what a ciphertext has at every level: the first limbs of the chain and, to reach a modulus of
any size, *sprouts* (Grafting, ia.cr/2024/1014): primes of other sizes that only some levels have.
Special primes belong to key switching only. A tier says how ciphertexts of up to ``limbs`` limbs
are key-switched: digits of ``digit_limbs`` limbs, the last one with the level's sprouts, and the
first ``special_limbs`` special primes. Lower tiers have smaller keys and cost less.

A set may have levels in the ring of half the degree as well, with tiers of their own and a bound of
their own on QP. They come first; then, for each at which ciphertexts come in, the level of the same
primes at which they leave the larger ring; then the chain of the larger ring.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from fhe_core.parameters import bounds as security
from fhe_core.parameters.specification import (
    ERROR_ETA,
    Level,
    Ring,
    Specification,
    Tier,
    root_order,
)


@dataclass(frozen=True)
class Parameters:
    """A checked parameter set. Build it with :func:`build`."""

    specification: Specification
    moduli: tuple[int, ...]
    specials: tuple[int, ...]
    sprouts: tuple[int, ...]
    #: Bottom first: the last one is that of fresh ciphertexts. See the module.
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
        """The ring of half the degree, if there is one: its levels only, which have the same
        numbers, tiers and primes there."""
        spec = self.specification
        if not spec.half_levels:
            return None
        small = replace(
            spec, log_ring_dimension=spec.log_ring_dimension - 1, half_levels=(), half_entries=()
        )
        levels = self.levels[: len(spec.half_levels)]
        return Parameters(small, self.moduli, self.specials, self.sprouts, levels)

    @property
    def rings(self) -> tuple[Parameters, ...]:
        """The largest one first."""
        return (self,) if self.half is None else (self, self.half)

    def in_half(self, level: int) -> bool:
        """Whether ciphertexts at that level are in the ring of half the degree."""
        return self.levels[level].ring_dimension < self.ring_dimension

    def leaves(self, level: int) -> bool:
        """Whether ciphertexts at that level do nothing but leave for the ring of half the degree:
        it belongs to no chain, and there are no keys for it."""
        spec = self.specification
        return 0 <= level - len(spec.half_levels) < len(spec.entries)

    def same_chain(self, level: int, lower: int) -> bool:
        """Whether ciphertexts come down from a level to a lower one within their ring."""
        if not 0 <= lower < level:
            return False
        before, after = self.levels[level], self.levels[lower]
        within = before.ring_dimension == after.ring_dimension
        return within and self.log2_modulus(lower) < self.log2_modulus(level)

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

    def prefixes(self, level: int, lower: int) -> bool:
        """Whether the first limbs of a ciphertext are one at that lower level, or the same."""
        if not 0 <= lower <= level:
            return False
        before, after = self.levels[level], self.levels[lower]
        own = before.rows[: after.limbs], before.ring_dimension
        return own == (after.rows, after.ring_dimension)

    @cached_property
    def log2_q(self) -> float:
        return self.log2_modulus(self.top)

    def log2_modulus(self, level: int) -> float:
        """Of a ciphertext at that level."""
        return math.fsum(math.log2(q) for q in self.moduli_at(level))

    @cached_property
    def log2_qp(self) -> float:
        """Of the largest key under the secret of this ring that there could be, one for all levels
        of a tier: a sample modulo the product of all its primes, sprouts included."""
        own: dict[int, list[int]] = {}
        for number, level in enumerate(self.levels):
            if not self.in_half(number) and not self.leaves(number):
                own.setdefault(level.tier, []).append(number)
        return max(
            math.fsum(math.log2(self.primes[row]) for row in self.key_rows(tier, levels))
            for tier, levels in own.items()
        )

    @property
    def log2_qp_bound(self) -> int | None:
        return security.bound(self.ring_dimension)

    def rotations_at(self, level: int) -> int:
        """How many evaluation keys have a name at that level: 0 (relinearisation) and amounts below
        the slots there. None where ciphertexts leave the ring.

        In the standard ring as many as there are slots stand for conjugation, X -> X^-1; in the
        ring of half the degree the next two for the keys of `ring_switch`, in the one of twice its
        degree the next for that of `ring_lift`.
        """
        if self.leaves(level):
            return 0
        others = 2 if self.in_half(level) else 1
        return self.slots_at(level) + (
            self.ring is Ring.STANDARD or others * bool(self.specification.half_levels)
        )

    def ring_switch(self, level: int) -> tuple[int, int]:
        """In place of rotation amounts: the keys that lead to that level of the ring of half the
        degree from the larger one, one for each half of the secret there (ring/halves.hpp)."""
        return self.slots_at(level), self.slots_at(level) + 1

    def ring_lift(self, level: int) -> int:
        """The key that leads from the ring of half the degree to that level of the larger one."""
        return self.slots_at(level)

    @property
    def device_switch(self) -> int:
        """In place of a rotation amount: the key that leads from a device's secret to its owner's.
        It has a file of its own; no file of evaluation keys may name it."""
        return self.slots + 1

    def other_ring(self, level: int) -> tuple[int, ...]:
        """Levels of the other ring with the same primes and keys: where a ciphertext can go on."""
        own, levels = self.levels[level], enumerate(self.levels)
        return tuple(
            number
            for number, one in levels
            if one.rows == own.rows
            and one.ring_dimension != own.ring_dimension
            and not self.leaves(number)
        )

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
        for name in ("half_tiers", "half_levels", "half_entries"):
            if not facts[name]:
                del facts[name]
        text = json.dumps(facts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Facts a person or a script may want, JSON-ready; ``half``: the same of the ring of half
        the degree, or None."""
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
            "half": None if self.half is None else self.half._describe_half(),
        }

    def _describe_half(self) -> dict[str, Any]:
        """What is the ring's own."""
        shared = {"name", "ring", "special_limbs", "bound_source", "secret", "error_deviation"}
        shared |= {"digest", "half"}
        return {name: fact for name, fact in self.describe().items() if name not in shared}
