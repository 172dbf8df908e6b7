"""HerPN, the polynomial activation of CryptoFace, in its training form (torch).

The first three Hermite polynomials, each normalised by its own affine-free BatchNorm:
out = weight · (bn0(1)/√(2π) + bn1(x)/2 + bn2((x² - 1)/√2)/√(4π)) + bias.
Source: AESPA (arXiv 2201.06699) and CryptoFace (arXiv 2509.00332).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class HerPN(nn.Module):
    """(B, channels, H, W) to the same shape; weight and bias are (channels, 1, 1)."""

    def __init__(self, channels: int) -> None:
        """`channels`: of the input and the output."""
        super().__init__()
        self.bn0 = nn.BatchNorm2d(channels, affine=False)
        self.bn1 = nn.BatchNorm2d(channels, affine=False)
        self.bn2 = nn.BatchNorm2d(channels, affine=False)
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        #: Computes the same in another way; `fhe_face.models.training` sets it while it trains.
        self.kernel: Callable[[HerPN, Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The activation of x, (B, channels, H, W)."""
        if self.kernel is not None:
            return self.kernel(self, x)
        zero: Tensor = self.bn0(torch.ones_like(x))
        one: Tensor = self.bn1(x)
        two: Tensor = self.bn2((torch.square(x) - 1) / math.sqrt(2))
        parts = zero / math.sqrt(2 * math.pi) + one / 2 + two / math.sqrt(4 * math.pi)
        return self.weight * parts + self.bias


class HerPNPool(nn.Module):
    """HerPN, then average pooling to `size` x `size`."""

    def __init__(self, channels: int, size: int) -> None:
        """`channels`: of the input; `size`: side of the pooled output."""
        super().__init__()
        self.herpn = HerPN(channels)
        self.pool = nn.AdaptiveAvgPool2d(size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, size, size)."""
        pooled: Tensor = self.pool(self.herpn(x))
        return pooled
