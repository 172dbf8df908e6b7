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

#: Two more levels, for normalisation polynomials of degree 4 to 15; shorter digits pay for them.
DEEP = Specification(
    name="deep",
    log_ring_dimension=16,
    limb_bits=(50,) + (43,) * 30,
    special_bits=(50,) * 7,
    tiers=(Tier(31, 8, 7), Tier(16, 8, 7), Tier(10, 5, 5)),
)


#: Every shipped set. Plans for batches use the same sets with other scales (compiler.policy).
SHIPPED = (LEAN, SAFE, DEEP)


def load(name: str) -> Parameters:
    """The checked parameters of a shipped preset.

    Raises:
        KeyError: no preset has that name.
    """
    presets = {spec.name: spec for spec in SHIPPED}
    if name not in presets:
        raise KeyError(f"no preset '{name}'; choose one of {sorted(presets)}")
    return build(presets[name])
