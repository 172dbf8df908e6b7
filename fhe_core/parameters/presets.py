"""Shipped parameter sets. Every one is 128-bit secure by construction; test sets live in tests."""

from __future__ import annotations

from itertools import accumulate

from fhe_core.parameters import Parameters, Specification, Tier, build
from fhe_core.parameters.chains import levels_of

#: One rescale of 43 bits per multiplication: 28 levels, no bootstrapping.
SAFE = Specification(
    name="safe",
    log_ring_dimension=16,
    limb_bits=(50,) + (43,) * 28,
    special_bits=(50,) * 9,
    tiers=(Tier(29, 10, 9), Tier(18, 9, 9), Tier(10, 5, 5)),
)

#: By how many bits `LEAN` is rescaled (policy LEAN), from the bottom: what remains for the score;
#: match; normalisation: product, factor, squared norm; head; two for each of five blocks, the last
#: block first; stem. Whole numbers, as levels have primes of whole bits.
_LEAN_STEPS = (43, 26, 34, 34, 26, 74, 63, *(62, 62), *(61,) * 3, 62, 61, 63)
_LEAN_LIMBS = (43, *(50,) * 15)
#: The two highest levels, 63 and 33 bits larger than the one below: the first with sprouts that
#: lower levels have as well, and the second with one more, so that keys that serve all of them have
#: few rows.
_LEAN_TOP = ((16, 37, 26), (16, 37, 26, 33))
#: The same behind block 1's first convolution, where faces that are computed alone go on in the
#: ring of half the degree: its noise is a bit less, and so are scales.
_LEAN_HALF_STEPS = (43, 26, 34, 34, 26, 71, 60, 60, 59, 60, 60, 60, 74)

#: Two rescales for every block, each as large as the network's tolerance of noise allows. A tier
#: for the levels of the stem to block 1, of blocks 1 to 3, of blocks 3 and 4, and of the head,
#: which use the same rotations. Batches alone use the second and third: their sums, one product for
#: each prime of QP, cost more than digits, so two digits with half of the special primes are
#: cheaper than one, whose keys would be smaller. The special primes of the first tier hold each of
#: its digits with bits to spare: batches rotate images of 2^26, which the noise of larger digits
#: would drown (errors of 3 %, measured).
LEAN = Specification(
    name="lean",
    log_ring_dimension=16,
    limb_bits=_LEAN_LIMBS,
    special_bits=(50,) * 9,
    tiers=(Tier(16, 9, 9), Tier(13, 7, 7), Tier(8, 4, 5), Tier(4, 4, 5)),
    levels=levels_of(_LEAN_LIMBS, list(accumulate(_LEAN_STEPS))) + _LEAN_TOP,
    half_tiers=(Tier(13, 4, 4), Tier(12, 4, 4), Tier(8, 4, 5), Tier(4, 4, 5)),
    half_levels=levels_of(_LEAN_LIMBS, list(accumulate(_LEAN_HALF_STEPS))),
)

#: As for `LEAN`, without what follows the embedding: of the 163 bits that are left for it there,
#: 63 remain, 37 for its size and 26 for its scale. From the bottom: these; head; blocks; stem. The
#: first limb has 40 bits so that the sprouts beside it have primes.
_RAW_LIMBS = (40, *(50,) * 13)
_RAW_STEPS = (63, *_LEAN_STEPS[5:])
#: As `_LEAN_TOP`: 40 bits beside 12 limbs, and 26 beside 13, are what two lower levels have.
_RAW_TOP = ((14, 40, 26), (14, 40, 26, 33))
_RAW_HALF_STEPS = (63, *_LEAN_HALF_STEPS[5:])

#: As `LEAN`, for circuits whose client normalises. What is left of both bounds goes to special
#: primes: one digit for every key of the larger ring, two at the top of the smaller one and one
#: below, where `LEAN` has up to four. The second tier and those after it are of batches alone.
RAW = Specification(
    name="raw",
    log_ring_dimension=16,
    limb_bits=_RAW_LIMBS,
    special_bits=(50,) * 16,
    tiers=(Tier(14, 14, 16), Tier(11, 6, 6), Tier(6, 6, 7), Tier(3, 3, 4)),
    levels=levels_of(_RAW_LIMBS, list(accumulate(_RAW_STEPS))) + _RAW_TOP,
    half_tiers=(Tier(11, 6, 6), Tier(9, 6, 6), Tier(7, 7, 8), Tier(6, 3, 4), Tier(2, 2, 3)),
    half_levels=levels_of(_RAW_LIMBS, list(accumulate(_RAW_HALF_STEPS))),
)

#: Two more levels, for normalisation polynomials of degree 4 to 15; shorter digits pay for them.
DEEP = Specification(
    name="deep",
    log_ring_dimension=16,
    limb_bits=(50,) + (43,) * 30,
    special_bits=(50,) * 7,
    tiers=(Tier(31, 8, 7), Tier(16, 8, 7), Tier(10, 5, 5)),
)


#: Every shipped set. Plans for batches use the same sets with other scales (compiler.policy).
SHIPPED = (LEAN, RAW, SAFE, DEEP)


def load(name: str) -> Parameters:
    """The checked parameters of a shipped preset.

    Raises:
        KeyError: no preset has that name.
    """
    presets = {spec.name: spec for spec in SHIPPED}
    if name not in presets:
        raise KeyError(f"no preset '{name}'; choose one of {sorted(presets)}")
    return build(presets[name])
