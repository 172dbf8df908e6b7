"""From the engine's ring to a gallery's: what a server does with a face's ciphertext alone.

The engine's ring R = Z[X + 1/X], modulo X^2N + 1, has N coordinates; a gallery's is S = Z[V],
modulo V^n + 1. With V = X^k, k = 2N / n, both contain R' = Z[V + 1/V] with its n / 2 coordinates:
in R they stand at multiples of k. So a ciphertext (c0, c1) of R under s is brought to S in three
steps.

1. *Modulus.* It is multiplied by an integer and rounded from its modulus Q to the gallery's q.
2. *Ring.* What stands at multiples of k in c0 + c1 s is a sum of k products in R': with
   s = s_0 + sum of s_j (X^j + X^-j), s_j in R', it is c0's own part and, for every j, s_j times the
   part of (X^j + X^-j) c1. Each product is switched with a key that encrypts P s_j under the
   gallery's secret: k Ring-LWE samples of S, no larger than the gallery's other keys.
3. *Expansion.* A face alone repeats with period F in slots, so its numbers are coefficients
   a_0, ..., a_(F-1) in Z = V^(n / 2F), and number 2F - i of the ciphertext is -a_i. The levels of
   matching/plan.py part them, from the stride n / 2F on, for half of the key switches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from fhe_core.container import ParameterMismatch
from fhe_core.matching.parameters import MatchParameters
from fhe_core.matching.plan import Level, MatchPlan, levels_from
from fhe_core.parameters import Parameters, Ring, bounds
from fhe_core.plan import KeyName, KeySpecification

#: Of a squared norm in the gallery's ring: noise of a slot is then 0.34, and 2^35 the room for what
#: has diverged (docs/server-only.md).
NORM_SCALE = 2.0**13
#: How far scales may be apart that should be one: they are floats.
_SCALE_TOLERANCE = 1e-9
#: The largest inner product of two faces that fits the limb; lengths differ by some percent.
_ROOM = 4
#: All samples of the switch are of this shape.
PART = KeySpecification(KeyName(0, 0), (0,))


@dataclass(frozen=True)
class Form:
    """Level and exact scale of a ciphertext of the engine."""

    level: int
    scale: float

    def fits(self, level: int, scale: float) -> bool:
        """Whether a ciphertext has them, but for the last bits of its scale."""
        return level == self.level and abs(scale / self.scale - 1) <= _SCALE_TOLERANCE


@dataclass(frozen=True)
class SwitchPlan:
    """What follows from both sides' parameters, and from what the engine's results are like.

    Attributes:
        embedding, norm: of a face that was computed alone.

    Raises:
        ParameterMismatch: the engine's ring does not contain the gallery's real part, or a template
            does not fit that, or results have no room.
        InsecureParametersError: the gallery's ring is beyond the 128-bit bound of its dimension.
    """

    engine: Parameters
    gallery: MatchParameters
    embedding: Form
    norm: Form

    def __post_init__(self) -> None:
        if self.engine.ring is not Ring.REAL:
            raise ParameterMismatch("an engine's parameters are of the real ring")
        if self.engine.ring_dimension < self.half or self.features > self.half:
            raise ParameterMismatch(
                f"the ring of '{self.engine.name}' has no part that is one of the gallery's"
            )
        if self.features.bit_count() != 1:
            raise ParameterMismatch("a template's length must be a power of two")
        ring = self.gallery.parameters  # the key's samples are of this ring, whatever they encrypt
        bounds.require_secure(ring.name, ring.ring_dimension, ring.log2_qp)
        for form, wanted in ((self.embedding, self.wanted_scale), (self.norm, NORM_SCALE)):
            self._multiple(form, wanted)
        if _ROOM * self.embedding_scale**2 / self.features > self.gallery.modulus / 2:
            raise ParameterMismatch("the inner product of two faces does not fit the limb")

    @property
    def features(self) -> int:
        """F: numbers of a template."""
        return self.gallery.features

    @property
    def half(self) -> int:
        """n / 2: coordinates of the real part of the gallery's ring."""
        return self.gallery.templates // 2

    @property
    def parts(self) -> int:
        """k: of the engine's secret, and samples of the key."""
        return self.engine.ring_dimension // self.half

    @property
    def stride(self) -> int:
        """n / 2F: between numbers of a template."""
        return self.half // self.features

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """Of the expansion, in the order in which they run."""
        # Of a node and its mirror image one is grown: 0, ..., 2^(depth - 1).
        nodes = [1, *(1 + (1 << depth) // 2 for depth in range(1, self.features.bit_length()))]
        return tuple(levels_from(self.gallery.parameters, self.stride, nodes))

    @property
    def key_switches(self) -> int:
        """Of a probe's expansion."""
        return sum(level.nodes for level in self.levels)

    def added_keys(self) -> list[KeySpecification]:
        """For levels that a search with sealed probes does not have."""
        known = {level.rotation for level in MatchPlan(self.gallery).levels}
        rotations = [level.rotation for level in self.levels if level.rotation not in known]
        return [KeySpecification(KeyName(rotation, 0), (0,)) for rotation in rotations]

    @property
    def wanted_scale(self) -> float:
        """Of an embedding in the gallery's ring, so that constants have the probe's scale."""
        doubled = 2.0 ** len(self.levels)
        return self.gallery.probe_scale * math.sqrt(2 * self.features) / doubled

    @cached_property
    def embedding_multiple(self) -> int:
        """The integer of step 1; it makes the wanted scale, as nearly as an integer can."""
        return self._multiple(self.embedding, self.wanted_scale)

    @cached_property
    def norm_multiple(self) -> int:
        """The same of a squared norm."""
        return self._multiple(self.norm, NORM_SCALE)

    @property
    def embedding_scale(self) -> float:
        """Of an embedding in the gallery's ring, exactly."""
        return self.embedding.scale * self.embedding_multiple / self._share(self.embedding)

    @property
    def norm_scale(self) -> float:
        """Of a squared norm in the gallery's ring, exactly."""
        return self.norm.scale * self.norm_multiple / self._share(self.norm)

    @property
    def probe_share(self) -> float:
        """Of constants, as a part of the gallery's `probe_scale`: about 1."""
        return self.embedding_scale / self.wanted_scale

    def _share(self, form: Form) -> float:
        """The engine's modulus over the gallery's."""
        return math.prod(self.engine.moduli_at(form.level)) / self.gallery.modulus

    def _multiple(self, form: Form, wanted: float) -> int:
        found = round(wanted / form.scale * self._share(form))
        if found < 1:
            raise ParameterMismatch(
                f"a ciphertext at level {form.level} with scale {form.scale:g} has no room for the "
                "gallery's ring"
            )
        return found

    @property
    def product_scale(self) -> float:
        """Of the inner product of two faces, modulo 2^result_bits: the first coefficient of the
        product of both embeddings."""
        p = self.gallery
        return self.embedding_scale**2 / self.features * 2.0**p.result_bits / p.modulus
