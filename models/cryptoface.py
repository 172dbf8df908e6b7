"""CryptoFaceNet4/9/16 in torch, training form; loads the official state dicts strictly.

Source: CryptoFace (CVPR 2025, arXiv 2509.00332); the names of the modules are those of its
published checkpoints.
"""

import numpy as np
import torch
from torch import Tensor, nn

from fhe_face.models.architecture import (
    BLOCKS,
    EMBEDDING,
    FEATURES,
    PATCH_SIZE,
    POOL_SIZE,
    STEM_CHANNELS,
    BlockSpec,
    State,
    check_state,
    input_size_of,
    patches_of,
)
from fhe_face.models.herpn import HerPN, HerPNPool


class HerPNConv(nn.Module):
    """Pre-activation residual block: the shortcut starts from herpn1(x)."""

    def __init__(self, spec: BlockSpec) -> None:
        """`spec`: channels and stride of the block."""
        super().__init__()
        self.herpn1 = HerPN(spec.inputs)
        self.conv1 = _conv(spec.inputs, spec.outputs, 3, spec.stride)
        self.herpn2 = HerPN(spec.outputs)
        self.conv2 = _conv(spec.outputs, spec.outputs, 3, 1)
        self.shortcut = nn.Sequential()
        if spec.projects:
            self.shortcut = nn.Sequential(
                _conv(spec.inputs, spec.outputs, 1, spec.stride), nn.BatchNorm2d(spec.outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) to (B, Cout, H / stride, W / stride)."""
        active = self.herpn1(x)
        out: Tensor = self.conv2(self.herpn2(self.conv1(active))) + self.shortcut(active)
        return out


class PatchNet(nn.Module):
    """The network of one 32x32 patch: (B, 3, 32, 32) to features (B, 256)."""

    def __init__(self) -> None:
        """Freshly initialised."""
        super().__init__()
        self.conv = _conv(3, STEM_CHANNELS, 3, 1)
        self.layers = nn.Sequential(*(HerPNConv(spec) for spec in BLOCKS))
        self.herpnpool = HerPNPool(BLOCKS[-1].outputs, POOL_SIZE)
        self.bn = nn.BatchNorm1d(FEATURES)

    def forward(self, patch: Tensor) -> Tensor:
        """Features (B, 256) of patches (B, 3, 32, 32)."""
        pooled: Tensor = self.herpnpool(self.layers(self.conv(patch)))
        features: Tensor = self.bn(torch.flatten(pooled, 1))
        return features


class CryptoFaceNet(nn.Module):
    """Images (B, 3, S, S) in [-1, 1], S = 64, 96 or 128, to embeddings (B, 256)."""

    def __init__(self, input_size: int = 64) -> None:
        """`input_size`: 64, 96 or 128; ValueError for another."""
        super().__init__()
        self.input_size = input_size
        self.patches = patches_of(input_size)
        self.nets = nn.ModuleList(PatchNet() for _ in range(self.patches))
        self.linear = nn.Linear(self.patches * FEATURES, EMBEDDING)
        self.bn = nn.BatchNorm1d(EMBEDDING, affine=False)
        self.jigsaw = nn.Linear(FEATURES, self.patches)

    @classmethod
    def from_state(cls, state: State) -> "CryptoFaceNet":
        """A network in evaluation mode with these weights (official names, numpy arrays).

        Raises ValueError naming the tensor that is missing, misshapen or unexpected.
        """
        network = cls(input_size_of(check_state(state)))
        tensors = {name: torch.from_numpy(np.array(tensor)) for name, tensor in state.items()}
        try:
            network.load_state_dict(tensors, strict=True)
        except RuntimeError as error:
            raise ValueError(f"state dict does not fit CryptoFaceNet: {error}") from None
        return network.eval()

    def state(self) -> dict[str, np.ndarray]:
        """The state dict as numpy arrays, as `models.fused.fuse` takes it."""
        return {name: t.detach().cpu().numpy() for name, t in self.state_dict().items()}

    def features(self, images: Tensor) -> Tensor:
        """Features of every patch, row-major over the image: (B, P, 256).

        Raises ValueError for images of another shape.
        """
        size = self.input_size
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, size, size):
            raise ValueError(f"images: {tuple(images.shape)}, it must be (B, 3, {size}, {size})")
        rows = torch.split(images, PATCH_SIZE, dim=2)
        tiles = [tile for row in rows for tile in torch.split(row, PATCH_SIZE, dim=3)]
        return torch.stack([net(tile) for net, tile in zip(self.nets, tiles, strict=True)], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings (B, 256) before normalisation."""
        embedding: Tensor = self.bn(self.linear(torch.flatten(self.features(images), 1)))
        return embedding

    def jigsaw_logits(self, features: Tensor) -> Tensor:
        """For features (B, P, 256): which patch each one is, as logits (B, P, P)."""
        logits: Tensor = self.jigsaw(features)
        return logits


def _conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
