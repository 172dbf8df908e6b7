"""The ring, the layout and the scales of sealed galleries.

A block is ``features`` ciphertexts; ciphertext k holds number k of up to N templates, one to a
coefficient (dimension-major, as HERS: Engelsma, Jain and Boddeti 2020). A probe is ``roots``
ciphertexts, which the server expands into ``features`` constants (Angel et al. 2018, SealPIR,
without its scaling: the factor of 2 of every level is part of the probe's scale).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from fhe_core.matching.errors import MatchingError
from fhe_core.parameters import Parameters, Ring, Specification, Tier, build

#: A residue is kept and stored in six bytes.
RESIDUE_BYTES = 6
#: Bytes of one word of a result, at most: 32-bit words leave the kernels.
_MOST_RESULT_BYTES = 3
#: The largest norm of a template or a probe: that of a unit vector, and what rounding adds.
MAX_NORM = 1 + 2.0**-6
#: The largest score, of two vectors of the largest norm, stays this far from half the modulus.
_ROOM = 1.1


@dataclass(frozen=True)
class MatchParameters:
    """A parameter set with one limb, and how templates and probes lie in it.

    Attributes:
        parameters: one limb of at most 48 bits, one special prime.
        features: numbers of a template.
        roots: ciphertexts of a probe; features / roots is a power of two.
        template_scale, probe_scale: what numbers are multiplied by before they are rounded. The
            probe's is that of the expanded constants.
        result_bits: of the modulus 2^bits that scores are switched to; whole bytes.

    Raises:
        MatchingError: they do not fit together.
    """

    parameters: Parameters
    features: int
    roots: int
    template_scale: float
    probe_scale: float
    result_bits: int

    def __post_init__(self) -> None:
        p = self.parameters
        if p.ring is not Ring.STANDARD:
            raise MatchingError("a gallery's parameters are of the standard ring")
        if (p.limbs, len(p.specials), len(p.tiers)) != (1, 1, 1):
            raise MatchingError("a gallery's parameters have one limb, one special prime, one tier")
        if self.modulus >= 1 << (8 * RESIDUE_BYTES):
            raise MatchingError(f"the limb has more than {8 * RESIDUE_BYTES} bits")
        if self.roots < 1 or self.features % self.roots or self.leaves.bit_count() != 1:
            raise MatchingError("features divided by roots must be a power of two")
        if not 1 < self.leaves <= p.ring_dimension:
            raise MatchingError("a root has no room for its share of the numbers")
        if self.result_bits % 8 or not 8 <= self.result_bits <= 8 * _MOST_RESULT_BYTES:
            raise MatchingError("result_bits must be 8, 16 or 24")
        if self.template_scale < 1 or self.root_scale < 1:
            raise MatchingError("a scale is below 1")
        if self.score_scale * MAX_NORM**2 * _ROOM > self.modulus / 2:
            raise MatchingError("a score of 1 at these scales does not fit the limb")

    @property
    def modulus(self) -> int:
        """q: of the one limb."""
        return self.parameters.moduli[0]

    @property
    def templates(self) -> int:
        """Of a full block: one for each coefficient."""
        return self.parameters.ring_dimension

    @property
    def leaves(self) -> int:
        """Constants that one root expands to."""
        return self.features // self.roots

    @property
    def levels(self) -> int:
        """Of the expansion."""
        return self.leaves.bit_length() - 1

    @property
    def stride(self) -> int:
        """Number j of a root's share is coefficient j * stride."""
        return self.templates // self.leaves

    @property
    def root_scale(self) -> float:
        """Of a probe's numbers before each level doubles them."""
        return self.probe_scale / self.leaves

    @property
    def score_scale(self) -> float:
        """Of a score modulo q."""
        return self.template_scale * self.probe_scale

    @property
    def result_scale(self) -> float:
        """Of a score modulo 2^result_bits."""
        return self.score_scale * 2.0**self.result_bits / self.modulus

    @property
    def result_bytes(self) -> int:
        """Of one word of a result."""
        return self.result_bits // 8

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of everything that must agree between client and server."""
        text = json.dumps(
            {
                "parameters": self.parameters.digest,
                "features": self.features,
                "roots": self.roots,
                "template_scale": float(self.template_scale).hex(),
                "probe_scale": float(self.probe_scale).hex(),
                "result_bits": self.result_bits,
            },
            sort_keys=True,
        )
        return hashlib.sha256(text.encode()).hexdigest()


#: log2(QP) = 98 of the 214 that 128 bits allow: one limb holds a score, and the special prime
#: is four times as large, so that key switching adds no more noise than its own rounding.
GALLERY = Specification(
    name="gallery",
    log_ring_dimension=13,
    limb_bits=(48,),
    special_bits=(50,),
    tiers=(Tier(1, 1, 1),),
    ring=Ring.STANDARD,
)


def gallery_parameters() -> MatchParameters:
    """Those of every gallery: blocks of 8,192 templates of 256 numbers.

    The scales share a score's 46.7 bits so that the noise of templates and of probes is about
    equal, where their sum is smallest (matching/precision.py; a test holds it).
    """
    return MatchParameters(
        parameters=build(GALLERY),
        features=256,
        roots=4,
        template_scale=2.0**17,
        probe_scale=9.0e8,
        result_bits=24,
    )
