"""Rescale channels so that every stored tensor has unit size. The network computes the same.

Trained networks spread their channels over several orders of magnitude, and a fixed-point
computation loses that many bits. Replacing z by k·z per (patch, channel) turns s = z² + offset
into k²·s, and k moves into the weights before and 1/k² into those after.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.layers import Array, FusedConv, FusedNetwork
from fhe_face.models.reference import Trace, embed


def balance(network: FusedNetwork, images: NDArray[Any]) -> FusedNetwork:
    """The same function with every z of mean square about 1 per (patch, channel).

    images: as for models.reference.embed; the factors are medians over them, so a few images on
    which the network diverges do no harm.

    ValueError: the network diverges on most of the images.
    """
    trace: Trace = []
    embed(network, images, trace)
    factors = {
        name: _factor(tensor)
        for name, tensor in trace
        if name == "stem" or name.endswith((".conv1", ".out"))
    }
    blocks = []
    before = factors["stem"]
    for j, block in enumerate(network.blocks):
        middle, after = factors[f"block{j}.conv1"], factors[f"block{j}.out"]
        if block.projects:
            shortcut = block.shortcut * after[:, :, None] / before[:, None, :] ** 2
        else:
            shortcut = block.shortcut * after / before**2
        blocks.append(
            replace(
                block,
                offset1=block.offset1 * before**2,
                conv1=_scaled(block.conv1, before**-2, middle),
                offset2=block.offset2 * middle**2,
                conv2=_scaled(block.conv2, middle**-2, after),
                shortcut=shortcut,
            )
        )
        before = after
    return replace(
        network,
        stem=_scaled(network.stem, np.ones(network.stem.weight.shape[::2][:2]), factors["stem"]),
        blocks=tuple(blocks),
        final_offset=network.final_offset * before**2,
        head_weight=network.head_weight / before[None, :, :, None, None] ** 2,
    )


def _factor(tensor: Array) -> Array:
    """1 / root mean square of (B, P, C, H, W) per (P, C), the median over the batch."""
    with np.errstate(all="ignore"):
        size = np.median(np.sqrt(np.mean(tensor**2, axis=(3, 4))), axis=0)
    if not (np.isfinite(size) & (size > 0)).all():
        raise ValueError("the network diverges, or a channel is dead, on the calibration images")
    return np.asarray(1 / size)


def _scaled(conv: FusedConv, inputs: Array, outputs: Array) -> FusedConv:
    """inputs (P, Cin) multiplies the weights per input channel, outputs (P, Cout) the result."""
    weight = conv.weight * inputs[:, None, :, None, None] * outputs[:, :, None, None, None]
    return replace(conv, weight=weight, bias=conv.bias * outputs)
