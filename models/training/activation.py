"""HerPN for training: one pass over memory instead of ten, and bounded.

A polynomial activation grows without limit, and the encrypted computation cannot hold what grows.
So every activation reports by how much its inputs, normalised to mean 0 and variance 1, leave
[-limit, limit]; training punishes that. While training, inputs beyond `clamp` are cut off, so
that one image cannot spoil a step; a trained network has nothing left to cut.
"""

import math
from typing import Any, Final

import torch
from torch import Tensor

from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.herpn import HerPN

_FIRST: Final = 0.5
_SECOND: Final = 1 / math.sqrt(8 * math.pi)
_SHAPE: Final = (1, -1, 1, 1)
_INNER: Final = (1, 2, 3)


class Activations:
    """Takes over all HerPN of a network, while the `with` block runs.

    `excess` and `largest` tell what was seen since `reset`.
    """

    def __init__(
        self, network: CryptoFaceNet, *, limit: float, clamp: float, compiled: bool = False
    ) -> None:
        """limit, clamp: in standard deviations; compiled: through torch.compile (faster, needs a
        C++ compiler, takes a minute to start)."""
        self.limit, self.clamp = limit, clamp
        self._modules = [m for m in network.modules() if isinstance(m, HerPN)]
        self._batch: Any = _batch_form
        self._fixed: Any = _fixed_form
        if compiled:
            self._batch = torch.compile(_batch_form, dynamic=False)
            self._fixed = torch.compile(_fixed_form, dynamic=False)
        self._excess: list[Tensor] = []
        self._largest: list[Tensor] = []

    def __enter__(self) -> "Activations":
        for module in self._modules:
            module.kernel = self._run
        return self

    def __exit__(self, *_: object) -> None:
        for module in self._modules:
            module.kernel = None
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self._excess, self._largest = [], []

    @property
    def excess(self) -> Tensor:
        """Differentiable, (B,): for every image the logarithm of 1 + the sum of squares by which
        its normalised inputs left [-limit, limit], summed over the activations. A sum, since one
        stray value is enough; a logarithm, since a diverging image must not drown the others."""
        return torch.log1p(torch.stack(self._excess)).sum(0)

    @property
    def largest(self) -> Tensor:
        """Of the normalised inputs' magnitudes, without gradient, (B,)."""
        return torch.stack(self._largest).amax(0)

    def _run(self, module: HerPN, x: Tensor) -> Tensor:
        if module.training:
            out, excess, largest, stats = self._batch(
                x, module.weight, module.bias, self.limit, self.clamp, module.bn1.eps
            )
            _update(module, stats, x.numel() // x.shape[1])
        else:
            a, b, c = coefficients(module)
            mean = module.bn1.running_mean
            scale = torch.rsqrt(_tensor(module.bn1.running_var) + module.bn1.eps)
            out, excess, largest = self._fixed(x, a, b, c, mean, scale, self.limit, self.clamp)
        self._excess.append(excess)
        self._largest.append(largest)
        return torch.as_tensor(out)


def coefficients(module: HerPN) -> tuple[Tensor, Tensor, Tensor]:
    """a, b, c (channels,) of the activation a·x² + b·x + c with its running statistics."""
    weight, bias = module.weight.flatten(), module.bias.flatten()
    zero, one, two = module.bn0, module.bn1, module.bn2
    constant = (1 - _tensor(zero.running_mean)) * torch.rsqrt(_tensor(zero.running_var) + zero.eps)
    mean2 = _tensor(two.running_mean) * math.sqrt(2) + 1
    a = weight * torch.rsqrt(_tensor(two.running_var) + two.eps) * _SECOND
    b = weight * torch.rsqrt(_tensor(one.running_var) + one.eps) * _FIRST
    constant = weight * constant / math.sqrt(2 * math.pi)
    return a, b, bias + constant - b * _tensor(one.running_mean) - a * mean2


def _tensor(value: Tensor | None) -> Tensor:
    assert value is not None  # BatchNorm keeps running statistics unless told not to
    return value


def _batch_form(
    x: Tensor, weight: Tensor, bias: Tensor, limit: float, clamp: float, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """With the statistics of the batch; returns them as (4, channels): mean and variance of x,
    mean and variance of x²."""
    axes = (0, 2, 3)
    wide = x.float()
    mean1 = wide.mean(axes)
    centred = wide - mean1.view(_SHAPE)
    var1 = centred.square().mean(axes)
    normal = centred * torch.rsqrt(var1 + eps).view(_SHAPE)
    excess = torch.relu(normal.abs() - limit).square().sum(_INNER)
    largest = normal.detach().abs().amax(_INNER)
    square = wide.square()
    mean2 = square.mean(axes)
    var2 = (square - mean2.view(_SHAPE)).square().mean(axes)
    a = weight.flatten() * torch.rsqrt(var2 / 2 + eps) * _SECOND
    b = weight.flatten() * torch.rsqrt(var1 + eps) * _FIRST
    c = bias.flatten() - b * mean1 - a * mean2
    spread = clamp * torch.sqrt(var1 + eps)
    held = torch.minimum(wide, (mean1 + spread).detach().view(_SHAPE))
    held = torch.maximum(held, (mean1 - spread).detach().view(_SHAPE))
    out = (a.view(_SHAPE) * held + b.view(_SHAPE)) * held + c.view(_SHAPE)
    return out.to(x.dtype), excess, largest, torch.stack([mean1, var1, mean2, var2]).detach()


def _fixed_form(
    x: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    mean: Tensor,
    scale: Tensor,
    limit: float,
    clamp: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """With running statistics: one polynomial per channel."""
    wide = x.float()
    normal = (wide - mean.view(_SHAPE)) * scale.view(_SHAPE)
    size = normal.abs()
    excess = torch.relu(size - limit).square().sum(_INNER)
    held = normal.clamp(-clamp, clamp) / scale.view(_SHAPE) + mean.view(_SHAPE)
    out = (a.view(_SHAPE) * held + b.view(_SHAPE)) * held + c.view(_SHAPE)
    return out.to(x.dtype), excess, size.detach().amax(_INNER)


def _update(module: HerPN, stats: Tensor, count: int) -> None:
    """Running statistics as the three BatchNorms would keep them."""
    mean1, var1, mean2, var2 = stats.to(_tensor(module.bn1.running_mean).dtype)
    unbiased = count / max(count - 1, 1)
    news = (
        (module.bn0, torch.ones_like(mean1), torch.zeros_like(mean1)),
        (module.bn1, mean1, var1 * unbiased),
        (module.bn2, (mean2 - 1) / math.sqrt(2), var2 / 2 * unbiased),
    )
    for norm, mean, variance in news:
        momentum = 0.1 if norm.momentum is None else norm.momentum
        _tensor(norm.running_mean).lerp_(mean, momentum)
        _tensor(norm.running_var).lerp_(variance, momentum)
        _tensor(norm.num_batches_tracked).add_(1)
