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
#: block first; stem.
_LEAN_STEPS = (38, 31, 34, 34, 26, 70.5, 62, 61, 77.5, 61, *(62, 61) * 3, 24)
_LEAN_LIMBS = (38, *(50,) * 16)
#: The same behind block 3's first convolution, where faces that are computed alone go on in the
#: ring of half the degree: 15.5 bits less, which masks take that move rows together.
_LEAN_HALF_STEPS = (38, 31, 34, 34, 26, 70.5, 62, 61, 62)

#: Two rescales for every block, each as large as the network's tolerance of noise allows. One digit
#: where the bound on QP leaves room for it, which makes the smallest keys; a tier for the levels of
#: the stem, of blocks 0 and 1, 1 to 3, 3 and 4, and of the head, which use the same rotations.
LEAN = Specification(
    name="lean",
    log_ring_dimension=16,
    limb_bits=_LEAN_LIMBS,
    special_bits=(50,) * 10 + (49,) * 7,
    tiers=(Tier(17, 9, 9), Tier(16, 16, 17), Tier(13, 13, 14), Tier(8, 8, 9), Tier(4, 4, 5)),
    levels=levels_of(_LEAN_LIMBS, list(accumulate(_LEAN_STEPS))),
    half_tiers=(Tier(8, 4, 5), Tier(4, 4, 5)),
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
