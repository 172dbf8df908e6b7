"""Gradient ascent on the noise of an embedding, and what the checks make of its images.

    python -m benchmarks.divergence.ascent FACE... --weights FILE [--against gain|copies]
        [--steps 600] [--draws 400] [--folder FOLDER] [--json]

FACE: aligned pictures of the network's size. ``gain``: the largest distance between directions of
embeddings with and without noise; ``copies``: the same while two copies agree, which the rounding
of weights, the same for both, allows. Crafted images keep a squared norm in the interval and go to
FOLDER as PNG files. `benchmarks.divergence.copies` encrypts them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from benchmarks.divergence.agreement import judge
from benchmarks.divergence.twin import Noise, Twin
from fhe_face.circuit import normalisation_of
from fhe_face.client.health import COPIES_TOLERANCE
from fhe_face.client.noise_gain import LEAN
from fhe_face.models.layers import FusedNetwork
from fhe_face.network import load_network
from fhe_face.photos.images import load_unit

#: Squared norms that ascent keeps to, well inside the interval.
NORMS = (200.0, 2000.0)
_COPIES = 6
_RATE = 0.02
#: Of a squared norm outside its range, per unit of its logarithm.
_PENALTY = 20.0
Objective = Callable[[Tensor, Tensor], Tensor]


def gain(true: Tensor, noisy: Tensor) -> Tensor:
    """log of the mean squared distance between directions; true (E,), noisy (B, E)."""
    return torch.log(_distances(noisy, true).square().mean() + 1e-8)


def agreeing(true: Tensor, noisy: Tensor) -> Tensor:
    """The same, less what copies differ by more than half of what the client allows."""
    first, second = noisy.chunk(2)
    apart = (first - second).norm(dim=1) / torch.minimum(first.norm(dim=1), second.norm(dim=1))
    excess = torch.log(apart / (COPIES_TOLERANCE / 2)).clamp(min=0)
    return gain(true, noisy) - 4 * excess.mean()


OBJECTIVES: dict[str, Objective] = {"gain": gain, "copies": agreeing}


def ascend(
    network: FusedNetwork, face: np.ndarray, objective: Objective, steps: int, seed: int = 0
) -> np.ndarray:
    """The best 8-bit image (3, S, S) in [-1, 1] that ascent finds from a face."""
    twin, noise = Twin(network), Noise(LEAN, seed)
    image = torch.from_numpy(face.astype(np.float32)).requires_grad_()
    optimiser = torch.optim.Adam([image], lr=_RATE)
    low, high = np.log(NORMS)
    best, found = -np.inf, face
    for _ in range(steps):
        rounded = image + ((image.detach() + 1) * 127.5).round() / 127.5 - 1 - image.detach()
        true = twin(rounded[None])[0]
        noisy = twin(rounded.expand(_COPIES, *image.shape), noise)
        size = torch.log(true.square().sum())
        reached = objective(true, noisy)
        outside = (low - size).clamp(min=0) + (size - high).clamp(min=0)
        value = reached - _PENALTY * outside
        if not torch.isfinite(value):
            break
        if outside.item() == 0 and reached.item() > best:
            best, found = reached.item(), rounded.detach().numpy().astype(np.float64)
        optimiser.zero_grad()
        (-value).backward()
        torch.nn.utils.clip_grad_norm_([image], 1.0)
        optimiser.step()
        with torch.no_grad():
            image.clamp_(-1, 1)
    return np.asarray(found).clip(-1, 1)


def _distances(noisy: Tensor, true: Tensor) -> Tensor:
    one, other = (functional.normalize(embedding, dim=-1) for embedding in (noisy, true))
    distances: Tensor = torch.linalg.vector_norm(one - other, dim=-1)
    return distances


def save(image: np.ndarray, path: Path) -> None:
    pixels = np.rint((image.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def main() -> None:
    """Craft an image of every face; print a row for the face and for the image."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.divergence.ascent")
    parser.add_argument("faces", nargs="+", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--against", choices=sorted(OBJECTIVES), default="gain")
    parser.add_argument("--steps", type=int, default=600, help="for every face, 0.1 s each")
    parser.add_argument("--draws", type=int, default=400, help="simulated encryptions")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    network, normalisation = load_network(chosen.weights), normalisation_of(None)
    for path in chosen.faces:
        face = load_unit(path, network.input_size)
        image = ascend(network, face, OBJECTIVES[chosen.against], chosen.steps)
        if chosen.folder:
            chosen.folder.mkdir(parents=True, exist_ok=True)
            save(image, chosen.folder / f"{chosen.against}-{path.stem}.png")
        for what, picture in (("face", face), ("crafted", image)):
            row = vars(judge(network, picture, normalisation, chosen.draws))
            found = {"face": path.name, "what": what, "against": chosen.against, **row}
            print(json.dumps(found) if chosen.json else found, flush=True)


if __name__ == "__main__":
    main()
