"""The fused network in torch, with the noise of encryption in every layer, for gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fhe_face.client.noise_gain import LayerNoise, is_fixed
from fhe_face.models.layers import POOL, FusedConv, FusedNetwork

Disturb = Callable[[str, Tensor], Tensor]


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


class Noise:
    """Independent noise for every image of a batch; that of rounded weights is drawn once."""

    def __init__(self, layers: LayerNoise, seed: int) -> None:
        self.layers = layers
        self._generator = torch.Generator().manual_seed(seed)
        self._fixed: dict[str, Tensor] = {}

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        deviation = self._deviation(name, tensor)
        if deviation == 0.0:
            return tensor
        if not is_fixed(name):
            return tensor + deviation * torch.randn(tensor.shape, generator=self._generator)
        if name not in self._fixed:
            self._fixed[name] = torch.randn(tensor.shape[1:], generator=self._generator)
        return tensor + deviation * self._fixed[name]

    def _deviation(self, name: str, tensor: Tensor) -> float:
        return self.layers.of(name, tensor.detach().numpy().astype(np.float64))


class Twin:
    """Embeddings (B, E) of images (B, 3, S, S), as `models.reference.embed`, in float32."""

    def __init__(self, network: FusedNetwork) -> None:
        self._network = network
        self._convolutions: dict[int, tuple[Tensor, Tensor]] = {}
        self._shortcuts = [_tensor(block.shortcut_matrix()) for block in network.blocks]
        self._offsets = [
            (_tensor(block.offset1), _tensor(block.offset2)) for block in network.blocks
        ]
        self._final = _tensor(network.final_offset)
        self._head = _tensor(network.head_weight.reshape(network.embedding, -1)).T
        self._bias = _tensor(network.head_bias)

    def __call__(self, images: Tensor, disturb: Disturb | None = None) -> Tensor:
        note = disturb or (lambda _name, tensor: tensor)
        network = self._network
        z = note("stem", self._convolve(self._split(images), network.stem))
        for j, block in enumerate(network.blocks):
            first, second = self._offsets[j]
            s = z**2 + _channels(first)
            z = note(f"block{j}.conv1", self._convolve(s, block.conv1))
            z = self._convolve(z**2 + _channels(second), block.conv2)
            step = block.conv1.stride
            z = note(f"block{j}.out", z + self._shortcut(s[:, :, :, ::step, ::step], j))
        tall, wide = (n // POOL for n in z.shape[-2:])
        tiles = (z**2 + _channels(self._final)).unflatten(-1, (POOL, wide))
        pooled = note("pooled", tiles.unflatten(-3, (POOL, tall)).mean((-3, -1)))
        return note("embedding", pooled.flatten(1) @ self._head + self._bias)

    def _split(self, images: Tensor) -> Tensor:
        size = self._network.patch_size
        tiles = images.unfold(2, size, size).unfold(3, size, size)
        return tiles.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)

    def _convolve(self, tensor: Tensor, conv: FusedConv) -> Tensor:
        if id(conv) not in self._convolutions:
            self._convolutions[id(conv)] = (
                _tensor(conv.weight).flatten(0, 1),
                _tensor(conv.bias).flatten(),
            )
        weight, bias = self._convolutions[id(conv)]
        out = functional.conv2d(
            tensor.flatten(1, 2), weight, bias, conv.stride, conv.padding, groups=conv.patches
        )
        return torch.unflatten(out, 1, (conv.patches, conv.outputs))

    def _shortcut(self, tensor: Tensor, number: int) -> Tensor:
        return torch.einsum("poi,bpihw->bpohw", self._shortcuts[number], tensor)


def _channels(values: Tensor) -> Tensor:
    return values[:, :, None, None]
