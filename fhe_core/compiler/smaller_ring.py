"""Where a network goes on in the ring of half the degree, how its ciphertexts get there, and back.

The switch adds both halves of the slots. So rows alternate between the halves from the stem on
(`layouts.rows_on_top`): a convolution with stride 2 leaves even rows, which lie in the lower half
just as the smaller ring wants them, and its masks leave nothing but their rounding in the upper.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fhe_core.compiler.architecture import BlockShape
from fhe_core.compiler.builder import PlanBuilder
from fhe_core.compiler.layouts import LayoutError, raster
from fhe_core.compiler.policy import Switch
from fhe_core.parameters import Parameters
from fhe_core.plan import PlanError

#: Of the mask that a shortcut takes: nearly as large as the kernels can, so that little is rounded.
_LOG_MASK_SCALE = 46.0


def switch_of(
    builder: PlanBuilder, blocks: Sequence[BlockShape], lanes: int, size: int
) -> Switch | None:
    """How a network goes on in the ring of half the degree.

    None where the policy or the parameters want no such ring, or where the layouts do not fit: the
    block is not the first one with a stride, or a feature map fills more than a ciphertext.

    lanes: networks side by side; size: of the feature maps before that block.
    """
    switch = builder.policy.switch
    if switch is None or builder.parameters.half is None or switch.block >= len(blocks):
        return None
    number = switch.block
    if [block.stride for block in blocks[: number + 1]] != [1] * number + [2]:
        return None
    slots = builder.parameters.slots
    try:
        maps = [raster(slots, lanes, block.inputs, size) for block in blocks[: number + 1]]
        maps += [raster(slots // 2, lanes, blocks[number].middle, size // 2)]
    except LayoutError:
        return None
    return switch if size % 2 == 0 and all(one.ciphertexts == 1 for one in maps) else None


def below(parameters: Parameters, level: int) -> tuple[int, int]:
    """The level at which a ciphertext from ``level`` leaves its ring, and the one of the same
    modulus in the ring of half the degree.

    Raises:
        PlanError: there is none.
    """
    levels, modulus = parameters.levels, parameters.log2_modulus(level)
    for small in reversed(range(level)):
        for large in range(small + 1, level + 1):
            rings = parameters.in_half(small), parameters.in_half(large)
            same = levels[large].rows == levels[small].rows
            if rings == (True, False) and same and parameters.log2_modulus(large) <= modulus:
                return large, small
    raise PlanError(f"'{parameters.name}' has no ring of half the degree below {level}")


def even_rows(
    builder: PlanBuilder, label: str, names: Sequence[str], levels: tuple[int, int]
) -> list[str]:
    """The lower half of the slots, which holds the even rows, in the ring of half the degree.

    levels: as `below` has them.
    """
    kept = []
    for i, name in enumerate(names):
        value = builder.values[name]
        slots = builder.parameters.slots_at(value.level)
        lower = np.arange(slots) < slots // 2
        kept.append(
            builder.multiply_mask(
                f"{label} rows",
                name,
                f"{label}.{i} rows",
                lower,
                rescale=value.level - levels[0],
                log_mask_scale=_LOG_MASK_SCALE,
            )
        )
    return switched(builder, label, kept, levels)


def switched(
    builder: PlanBuilder, label: str, names: Sequence[str], levels: tuple[int, int]
) -> list[str]:
    """The same tensors in the ring of half the degree, at half the scale."""
    return [
        builder.switch_ring(f"{label} to half the ring", name, f"{name} half", levels[1])
        for name in names
    ]


def lifted(builder: PlanBuilder, source: str) -> str:
    """A result as it leaves the plan: in the ring of fresh ciphertexts. Nothing is decrypted under
    the secret of a smaller ring, which answers would cost more bits (docs/security.md).

    Raises:
        PlanError: there is no level of the same primes in the larger ring.
    """
    level = builder.values[source].level
    if not builder.parameters.in_half(level):
        return source
    wanted = max(builder.parameters.other_ring(level), default=None)
    if wanted is None:
        raise PlanError(f"'{source}' cannot leave the ring of half the degree")
    return builder.lift_ring(f"{source} lifted", source, f"{source} lifted", wanted)
