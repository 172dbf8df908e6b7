"""What each kernel must do per residue, from its definition (cpp/kernels/kernels.hpp).

*Products* are halves of 52 x 52 bit products, the unit of vpmadd52luq and vpmadd52huq. With a
constant factor (Shoup) a modular product takes three: the quotient's estimate, the low half of the
product, the low half of estimate times q. Of two variables (Barrett) it takes four: the high half
of the product is needed as well. A term of a sum takes two; the one reduction at the end takes
five, or eight for more than 15 terms. Scalar and AVX2 code has other instructions for the same
work: for them the count is a yardstick, against a peak that is measured in the same unit. A sum
that ends over 2^52 (Montgomery) takes two in the end instead, or four for many terms.

*Bytes* are those of operands and results, each counted once: what has to move when nothing is in
the cache. The NTT reads and writes its limb and reads the first half of its table of twiddles (two
words each; transforms side by side read all of one table); it goes over them more than once, which
the cache should hide.

*Limbs* are those of the workload that is measured, which decides the cache that it fits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WORD = 8
PACKED = 6
INDEX = 4
#: Positions that a permutation keeps together.
BLOCK = 8
SHOUP, BARRETT, TERM = 3.0, 4.0, 2.0
#: Terms above which the reduction of a sum takes a third word.
FEW_TERMS = 15
#: That weighted_sums forms at once.
SUMS = 4


@dataclass(frozen=True)
class KernelCost:
    """Per residue of the result: half products, bytes read, bytes written; limbs touched."""

    products: float
    read: float
    written: float
    limbs: float

    @property
    def moved(self) -> float:
        """Bytes read and written."""
        return self.read + self.written


def kernel_costs(n: int, terms: int) -> dict[str, KernelCost]:
    """Costs by name of kernel, for limbs of ``n`` residues.

    terms: of weighted_sum and its kind; dot_product and scaled_dot_product have half as many
        pairs, key_product a third as many digits, packed_products a quarter as many ciphertexts,
        as in _native.kernels.Workload. There a block of transforms is ``BLOCK`` of n / BLOCK.
    """
    layers = math.log2(n)
    butterflies = layers / 2  # per residue
    shorter = (layers - math.log2(BLOCK)) / 2
    pairs, thirds, quarters = terms // 2, (terms - 1) // 3, terms // 4
    weighted = TERM * terms + division(terms, 16)
    sums = KernelCost(weighted, terms * WORD, WORD, terms + 1)
    four_sums = KernelCost(SUMS * weighted, terms * WORD, SUMS * WORD, terms + SUMS)
    table = 2 / BLOCK  # limbs: one for all transforms of a block
    return {
        "ntt_forward": KernelCost(SHOUP * butterflies, 2 * WORD, WORD, 2),
        # Half the residues of the last layer take a second product, by 1/n: all are scaled.
        "ntt_inverse": KernelCost(SHOUP * (butterflies + 0.5), 2 * WORD, WORD, 2),
        # One pass more, with a product for every residue.
        "real_ntt_forward": KernelCost(SHOUP * (butterflies + 1), 2 * WORD, WORD, 2),
        "real_ntt_inverse": KernelCost(SHOUP * (butterflies + 1.5), 2 * WORD, WORD, 2),
        "ntt_forward_block": KernelCost(SHOUP * shorter, WORD + WORD * table, WORD, 1 + table),
        "real_ntt_forward_block": KernelCost(
            SHOUP * (shorter + 1), WORD + WORD * table, WORD, 1 + table
        ),
        "add": KernelCost(0, 2 * WORD, WORD, 3),
        "subtract": KernelCost(0, 2 * WORD, WORD, 3),
        "multiply": KernelCost(BARRETT, 2 * WORD, WORD, 3),
        "multiply_add": KernelCost(BARRETT, 3 * WORD, WORD, 3),
        "multiply_scalar": KernelCost(SHOUP, WORD, WORD, 2),
        "multiply_scalar_add": KernelCost(SHOUP, 2 * WORD, WORD, 2),
        "subtract_multiply_scalar": KernelCost(SHOUP, 2 * WORD, WORD, 3),
        "lift": KernelCost(0, WORD, WORD, 2),
        "reduce": KernelCost(SHOUP, WORD, WORD, 2),
        "dot_product": KernelCost(
            TERM * pairs + reduction(pairs), 2 * pairs * WORD, WORD, 2 * pairs + 1
        ),
        "scaled_dot_product": KernelCost(
            TERM * pairs + division(pairs, 4), 2 * pairs * WORD, WORD, 2 * pairs + 1
        ),
        "weighted_sum": sums,
        "weighted_sum_lazy": sums,
        "weighted_sums": four_sums,
        "weighted_sums_lazy": four_sums,
        # Of doubles: no half products.
        "rounded_sum": KernelCost(0, terms * WORD, WORD, terms + 1),
        "permute": KernelCost(0, WORD + INDEX, WORD, 2.5),
        # Two results from a third of the rows as digits, two thirds as keys, and one addend.
        "key_product": KernelCost(
            2 * (TERM * thirds + division(thirds, 4)) + TERM,
            (3 * thirds + 1) * WORD + INDEX / BLOCK,
            2 * WORD,
            3 * thirds + 3,
        ),
        # Three results; of every term two residues as words and two packed.
        "packed_products": KernelCost(
            3 * (TERM * quarters + reduction(quarters)),
            2 * quarters * (WORD + PACKED),
            3 * WORD,
            2 * quarters * (WORD + PACKED) / WORD + 3,
        ),
    }


def reduction(terms: int) -> float:
    """Half products of the reduction at the end of a sum."""
    return 8.0 if terms > FEW_TERMS else 5.0


def division(terms: int, few: int) -> float:
    """The same of a sum that is divided by 2^52: what is above 2^52 q, of more than ``few`` terms
    only, and what is below.
    """
    return 4.0 if terms > few else 2.0
