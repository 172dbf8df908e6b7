"""What a search computes, and what it costs: the same for every probe and every block.

Expansion. A root is a ciphertext of sum_j a_j X^(d j), with d the stride. Level l takes every node
c to two: c + s(c) keeps twice the even j, X^-d (c - s(c)) twice the odd ones, where s is an
automorphism with s(X^d) = -X^d; d doubles. s is X -> X^(N/d + 1), which is a power of 5 and so a
rotation; at d = N/2 that would be X^3, which is none, and s is conjugation, with the same effect.
After log2(N/d) levels every leaf is a constant, 2^levels a_j.

Search. Scores of a block: the sum over k of constant k times ciphertext k, as three polynomials;
relinearised once, divided by the special prime, and rounded to the modulus 2^result_bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from fhe_core.keys.expand import SEED_BYTES
from fhe_core.matching.parameters import RESIDUE_BYTES, MatchParameters
from fhe_core.parameters import Parameters
from fhe_core.plan import KeyName, KeySpecification

WORD_BYTES = 8
#: Limb NTTs of a key switch at one limb and one special prime: one inverse and one forward to
#: decompose, and for the division by P one of each for both polynomials.
SWITCH_NTTS = 6
#: Its limb products: both halves of the key, in both rows.
SWITCH_PRODUCTS = 4
#: Limb products of a tensor product c0 c0', c0 c1' + c1 c0', c1 c1' (Karatsuba).
TENSOR_PRODUCTS = 3


@dataclass(frozen=True)
class Level:
    """One level of the expansion.

    Attributes:
        nodes: ciphertexts that it takes in, of all roots.
        rotation: what its key is named by; the number of slots stands for conjugation.
        element: its Galois element.
        power: d; the odd half is multiplied by X^-d.
    """

    nodes: int
    rotation: int
    element: int
    power: int


@dataclass(frozen=True)
class Counts:
    """Operations, in limbs of N residues.

    Attributes:
        key_switches: relinearisations and automorphisms.
        ntts: limb NTTs.
        products: limb products, and multiply-adds of them.
        bytes_read: of what is read once from memory: keys or blocks.
    """

    key_switches: int
    ntts: int
    products: int
    bytes_read: int


@dataclass(frozen=True)
class MatchPlan:
    """Levels, keys, operations and sizes that follow from the parameters."""

    parameters: MatchParameters

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """In the order in which they run."""
        return tuple(self._levels())

    def _levels(self) -> Iterator[Level]:
        p = self.parameters
        return levels_from(p.parameters, p.stride, [p.roots << depth for depth in range(p.levels)])

    def keys(self) -> list[KeySpecification]:
        """Relinearisation, then a key for every level."""
        rotations = [0, *(level.rotation for level in self.levels)]
        return [KeySpecification(KeyName(rotation, 0), (0,)) for rotation in rotations]

    # --- operations ------------------------------------------------------------------------------

    @property
    def expansion(self) -> Counts:
        """Of one probe."""
        switches = sum(level.nodes for level in self.levels)
        # Both polynomials of the odd half meet X^-d.
        products = switches * (SWITCH_PRODUCTS + 2)
        return Counts(switches, switches * SWITCH_NTTS, products, self.key_memory_bytes)

    @property
    def search(self) -> Counts:
        """Of one probe and one block."""
        products = TENSOR_PRODUCTS * self.parameters.features + SWITCH_PRODUCTS
        # The results leave as coefficients.
        return Counts(1, SWITCH_NTTS + 2, products, self.block_memory_bytes)

    # --- sizes, in bytes -------------------------------------------------------------------------

    @property
    def polynomial_bytes(self) -> int:
        """Of N residues, six bytes each."""
        return RESIDUE_BYTES * self.parameters.templates

    @property
    def key_bytes(self) -> int:
        """Of evaluation keys on disk: half of each, and one seed."""
        return self.key_memory_bytes // 2 + SEED_BYTES

    @property
    def key_memory_bytes(self) -> int:
        """Of evaluation keys in memory."""
        words = sum(
            2 * d * rows * n
            for d, rows, n in (key.shape(self.parameters.parameters) for key in self.keys())
        )
        return WORD_BYTES * words

    @property
    def block_bytes(self) -> int:
        """Of a block on disk, without its header: c0 of every ciphertext, and one seed."""
        return self.parameters.features * self.polynomial_bytes + SEED_BYTES

    @property
    def block_memory_bytes(self) -> int:
        """Of a block in memory."""
        return 2 * self.parameters.features * self.polynomial_bytes

    @property
    def probe_bytes(self) -> int:
        """Of a probe on the wire, without its header."""
        return self.parameters.roots * self.polynomial_bytes + SEED_BYTES

    @property
    def constants_bytes(self) -> int:
        """Of an expanded probe in memory."""
        return 2 * WORD_BYTES * self.parameters.features * self.parameters.templates

    @property
    def result_bytes(self) -> int:
        """Of the scores of one block, without a header."""
        return 2 * self.parameters.templates * self.parameters.result_bytes


def levels_from(ring: Parameters, stride: int, nodes: Sequence[int]) -> Iterator[Level]:
    """Levels that part numbers which stand at multiples of a stride; nodes: that each takes in."""
    rotations = _rotations(ring.ring_dimension)
    for depth, count in enumerate(nodes):
        power = stride << depth
        last = 2 * power == ring.ring_dimension
        rotation = ring.slots if last else rotations[ring.ring_dimension // power + 1]
        yield Level(count, rotation, ring.galois_element(rotation), power)


def _rotations(ring_dimension: int) -> dict[int, int]:
    """The rotation of every Galois element that is a power of 5."""
    found, element = {}, 1
    for rotation in range(ring_dimension // 2):
        found[element] = rotation
        element = 5 * element % (2 * ring_dimension)
    return found
