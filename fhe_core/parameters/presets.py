"""Shipped parameter sets. Every one is 128-bit secure by construction; test sets live in tests."""

from __future__ import annotations

from fhe_core.parameters import Parameters, Specification, Tier, build

#: One rescale of 43 bits per multiplication: 28 levels, no bootstrapping.
SAFE = Specification(
    name="safe",
    log_ring_dimension=16,
    limb_bits=(50,) + (43,) * 28,
    special_bits=(50,) * 9,
    tiers=(Tier(29, 10, 9), Tier(18, 9, 9), Tier(10, 5, 5)),
)

#: Limbs of the largest size, three for every block (policy LEAN), and few enough of them for two
#: digits. From the bottom: base, match, normalisation (2), head (2), blocks (15), stem.
LEAN = Specification(
    name="lean",
    log_ring_dimension=16,
    limb_bits=(50,) * 22,
    special_bits=(50,) * 11,
    tiers=(Tier(22, 11, 11), Tier(16, 8, 8), Tier(10, 5, 5), Tier(5, 5, 5)),
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
