"""The designs that docs/threshold.md compares."""

from __future__ import annotations

from benchmarks.threshold.circuit import Design

#: The strictest threshold of the official weights: FAR 0.1 % (docs/evaluation.md), rounded.
THRESHOLD = 0.4
BAND = 0.02


#: log2(QP) that 128 bits allow at N = 2^15 (``fhe_core.parameters.bounds``), and what of it the
#: special primes and the result's modulus take.
_BOUND, _SPECIAL, _BASE = 868, (50,) * 4, 50


def plain(levels: int) -> Design:
    """Equal rescales, as large as the bound and 48 bits allow, and a composition of so many levels:
    the one with the least remainder."""
    room = _BOUND - sum(_SPECIAL) - _BASE
    bits = min(48, room // (levels + 1))
    return Design(
        name=f"plain-{levels}",
        threshold=THRESHOLD,
        band=BAND,
        degrees=DEGREES[levels],
        base=(_BASE,),
        rescales=((bits,),) * (levels + 1),
        result_bits=48.0,
        digit_limbs=4,
        special_bits=_SPECIAL,
    )


#: Levels -> degrees, all of them 2^k - 1, in the order that leaves the least remainder.
DEGREES: dict[int, tuple[int, ...]] = {
    7: (7, 15),
    8: (15, 15),
    9: (15, 31),
    10: (31, 31),
    11: (7, 7, 31),
    12: (7, 15, 31),
    13: (31, 31, 7),
}

#: Small rescales where noise does not matter, since the last polynomial is flat at both signs, and
#: large ones for that one, whose own rounding is all that is left. Its interval is so narrow that
#: it must be of a low degree: of degree 31 it would have values of 2^14 inside the band.
FLOODED = Design(
    name="flooded",
    threshold=THRESHOLD,
    band=BAND,
    degrees=DEGREES[13],
    base=(35, 35),
    rescales=(*((40,),) * 9, (26,), (40,), *((34, 34),) * 3),
    result_bits=68.0,
    digit_limbs=4,
    special_bits=(40,) * 4,
)
