"""From a CryptoFaceNet state dict to the fused network of fhe_face.models.layers. numpy only."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from fhe_face.models.architecture import (
    BATCHNORM_EPS,
    BLOCKS,
    EMBEDDING,
    PATCH_SIZE,
    POOL_SIZE,
    State,
    check_state,
    input_size_of,
)
from fhe_face.models.layers import Array, FusedBlock, FusedConv, FusedNetwork

__all__ = ["FusedBlock", "FusedConv", "FusedNetwork", "fuse"]

# The square (x + shift)² loses about shift² / x² of the accuracy to cancellation.
MAX_SHIFT: Final = 1e6


def fuse(state: State) -> FusedNetwork:
    """Fuse a state dict (official names, float tensors; 4, 9 or 16 patches) in float64.

    Raises ValueError naming the tensor when one is missing, has a wrong shape or type, holds a
    non-finite value or negative variance, or when a HerPN's leading coefficient is so small
    that its square cannot be completed (shift b/2a beyond 1e6).
    """
    patches = check_state(state)
    reader = _Reader(state, patches)
    activations = [
        (reader.herpn(f"layers.{j}.herpn1"), reader.herpn(f"layers.{j}.herpn2"))
        for j in range(len(BLOCKS))
    ]
    last = reader.herpn("herpnpool.herpn")
    entering = [first for first, _ in activations] + [last]
    blocks = []
    for j, (spec, (first, second)) in enumerate(zip(BLOCKS, activations, strict=True)):
        at = f"layers.{j}"
        bias = entering[j + 1].shift
        if spec.projects:
            scale, constant = reader.affine(f"{at}.shortcut.1")
            matrix = reader.get(f"{at}.shortcut.0.weight")[..., 0, 0]
            shortcut = scale[:, :, None] * matrix * first.lead[:, None, :]
            bias = bias + constant
        else:
            shortcut = first.lead
        blocks.append(
            FusedBlock(
                offset1=first.offset,
                conv1=_conv(reader.get(f"{at}.conv1.weight"), first, second.shift, spec.stride),
                offset2=second.offset,
                conv2=_conv(reader.get(f"{at}.conv2.weight"), second, bias, 1),
                shortcut=shortcut,
            )
        )
    weight, head_bias = _head(state, reader, last)
    return FusedNetwork(
        input_size=input_size_of(patches),
        patch_size=PATCH_SIZE,
        stem=FusedConv(reader.get("conv.weight"), entering[0].shift, 1, 1),
        blocks=tuple(blocks),
        final_offset=last.offset,
        head_weight=weight,
        head_bias=head_bias,
    )


@dataclass(frozen=True, eq=False)
class _Square:
    """A HerPN as lead · ((x + shift)² + offset), each (P, C)."""

    lead: Array
    shift: Array
    offset: Array


@dataclass(frozen=True)
class _Reader:
    """Tensors of all patch networks, stacked along a first axis P, in float64."""

    state: State
    patches: int

    def get(self, name: str) -> Array:
        return np.stack(
            [self.state[f"nets.{i}.{name}"].astype(np.float64) for i in range(self.patches)]
        )

    def standard(self, at: str) -> tuple[Array, Array]:
        """An affine-free BatchNorm as (scale, constant), each (P, C)."""
        scale = 1 / np.sqrt(self.get(f"{at}.running_var") + BATCHNORM_EPS)
        return scale, -self.get(f"{at}.running_mean") * scale

    def affine(self, at: str) -> tuple[Array, Array]:
        """A BatchNorm with weight and bias as (scale, constant), each (P, C)."""
        scale, constant = self.standard(at)
        weight = self.get(f"{at}.weight")
        return scale * weight, constant * weight + self.get(f"{at}.bias")

    def herpn(self, at: str) -> _Square:
        weight, bias = (self.get(f"{at}.{n}")[..., 0, 0] for n in ("weight", "bias"))
        (scale0, constant0), (scale1, constant1), (scale2, constant2) = (
            self.standard(f"{at}.bn{k}") for k in range(3)
        )
        zero, two = 1 / math.sqrt(2 * math.pi), 1 / math.sqrt(4 * math.pi)
        lead = weight * two * scale2 / math.sqrt(2)
        linear = weight * scale1 / 2
        constant = bias + weight * (
            zero * (scale0 + constant0) + constant1 / 2 + two * (constant2 - scale2 / math.sqrt(2))
        )
        with np.errstate(all="ignore"):
            shift = linear / (2 * lead)
            offset = constant / lead - shift**2
        bad = ~(np.isfinite(offset) & (np.abs(shift) <= MAX_SHIFT))
        if bad.any():
            patch, channel = (int(n) for n in np.argwhere(bad)[0])
            raise ValueError(
                f"nets.{patch}.{at}.weight: channel {channel} has the leading coefficient "
                f"{lead[patch, channel]:.3g}, too small to complete the square "
                f"({int(bad.sum())} channels like this)"
            )
        return _Square(lead, shift, offset)


def _conv(weight: Array, before: _Square, bias: Array, stride: int) -> FusedConv:
    return FusedConv(weight * before.lead[:, None, :, None, None], bias, stride, padding=1)


def _head(state: State, reader: _Reader, last: _Square) -> tuple[Array, Array]:
    """BatchNorm of the features, linear layer, BatchNorm of the embedding: one matrix."""
    patches, channels = last.lead.shape
    linear = state["linear.weight"].astype(np.float64).reshape(EMBEDDING, patches, -1)
    scale, constant = reader.affine("bn")
    out = 1 / np.sqrt(state["bn.running_var"].astype(np.float64) + BATCHNORM_EPS)
    bias = (
        state["linear.bias"].astype(np.float64)
        + np.einsum("jpf,pf->j", linear, constant)
        - state["bn.running_mean"].astype(np.float64)
    )
    shape = (EMBEDDING, patches, channels, POOL_SIZE, POOL_SIZE)
    weight = (out[:, None, None] * linear * scale).reshape(shape)
    return weight * last.lead[:, :, None, None], out * bias
