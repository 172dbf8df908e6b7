"""Does any picture make a network diverge? Measured on stress images, and on hunted ones.

    python -m fhe_face.models.training.bounds WEIGHTS

prints one JSON object: the smallest and largest squared norm of an embedding, and the largest
intermediate value, as a multiple of the typical size of its channel. Hunted pictures climb the
gradient, first of the largest values, then of the norm, so they are the worst of their kind that
can be found, not the worst there is.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fhe_core.streams import early_end_is_quiet
from fhe_face.models.calibration import images
from fhe_face.models.checkpoint import load
from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.fused import fuse
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.reference import Trace, embed, squared_norm, unit_images
from fhe_face.models.training.activation import Activations
from fhe_face.models.training.stress import stress_images

#: Squared norms for which the encrypted normalisation is made.
INTERVAL: Final = (100.0, 3000.0)
#: Of the stress images, so that two networks are compared on the same ones.
STRESS_SEED: Final = 77
_STEP: Final = 0.08
_LIMIT: Final = 3.0
_NEVER: Final = 1e9


@dataclass(frozen=True)
class Extremes:
    """Of some pictures: how many, how many gave no finite result, squared norms, how many lie
    outside the interval, and the largest value over the typical size of its tensor and channel."""

    images: int
    diverged: int
    smallest_norm: float
    largest_norm: float
    outside: int
    largest_value: float
    where: str


def extremes(
    network: FusedNetwork,
    pictures: NDArray[np.float64],
    typical: "Typical",
    interval: tuple[float, float] = INTERVAL,
) -> Extremes:
    """Of pictures (N, 3, 64, 64) in [-1, 1], in float64; `interval`: of healthy squared norms."""
    ratios: dict[str, NDArray[np.float64]] = {}
    norms = []
    for start in range(0, len(pictures), 8):
        trace: Trace = []
        norms.append(squared_norm(embed(network, pictures[start : start + 8], trace)))
        for name, largest in _largest(trace).items():
            with np.errstate(all="ignore"):
                ratio = np.nan_to_num(largest / typical.sizes[name], nan=np.inf).max()
            ratios[name] = np.maximum(ratios.get(name, 0.0), ratio)
    norm = np.concatenate(norms)
    finite = norm[np.isfinite(norm)]
    where = max(ratios, key=lambda name: float(ratios[name]))
    low, high = interval
    return Extremes(
        images=len(norm),
        diverged=len(norm) - len(finite),
        smallest_norm=float(finite.min(initial=np.inf)),
        largest_norm=float(finite.max(initial=0)),
        outside=int(np.count_nonzero(~((norm >= low) & (norm <= high)))),
        largest_value=float(ratios[where]),
        where=where,
    )


@dataclass(frozen=True, eq=False)
class Typical:
    """Root mean square (P, C) of every tensor over typical pictures, by its name in a trace."""

    sizes: dict[str, NDArray[np.float64]]

    @classmethod
    def of(cls, network: FusedNetwork, pictures: NDArray[np.float64]) -> "Typical":
        """The median over the pictures, as `fhe_face.models.balance` takes it."""
        trace: Trace = []
        embed(network, pictures, trace)
        return cls(
            {
                name: np.median(np.sqrt(np.square(t).mean((3, 4))), 0)
                for name, t in trace
                if t.ndim == 5
            }
        )


def _largest(trace: Trace) -> dict[str, NDArray[np.float64]]:
    with np.errstate(all="ignore"):
        return {name: np.abs(t).max((0, 3, 4)) for name, t in trace if t.ndim == 5}


def hunted(
    network: CryptoFaceNet, start: Tensor, steps: int, aim: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Pictures (N, 3, 64, 64) after steps along the sign of the gradient of `aim`, which gets the
    embeddings (N, 256) and the excess of the activations (N,); pixels stay in [-1, 1]."""
    pictures = start.clone()
    for step in range(steps):
        pictures.requires_grad_(True)
        with Activations(network, limit=_LIMIT, clamp=_NEVER) as watch:
            embedding = network(pictures)
            score = aim(embedding, watch.excess).sum()
        slope = torch.autograd.grad(score, pictures)[0].nan_to_num()
        length = _STEP * (1 - 0.9 * step / steps)
        pictures = (pictures.detach() + length * slope.sign()).clamp(-1, 1)
    return pictures.detach()


AIMS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "activations": lambda embedding, excess: excess,
    "largest norm": lambda embedding, excess: embedding.square().sum(1).log(),
    "smallest norm": lambda embedding, excess: -embedding.square().sum(1).log(),
}


def measure(
    network: CryptoFaceNet, typical: NDArray[np.float64], stress: int, hunts: int, steps: int,
    interval: tuple[float, float] = INTERVAL,
) -> dict[str, Extremes]:  # fmt: skip
    """Extremes over `stress` stress images, and over `hunts` hunted ones for each aim.

    typical: ordinary pictures (N, 3, 64, 64), which say what is large; half of the hunted
    pictures start from these, half from stress images.
    """
    network.eval()
    fused = fuse(network.state())
    scale = Typical.of(fused, typical)

    def of(pictures: NDArray[np.float64]) -> Extremes:
        return extremes(fused, pictures, scale, interval)

    found = {"typical": of(typical)}
    found["stress"] = of(stress_images(STRESS_SEED, stress).double().numpy())
    ordinary = torch.from_numpy(typical).float().repeat(hunts // len(typical) + 1, 1, 1, 1)
    start = torch.cat([ordinary[: hunts // 2], stress_images(78, hunts - hunts // 2)])
    for name, aim in AIMS.items():
        pictures = hunted(network, start, steps, aim)
        found[f"hunted: {name}"] = of(pictures.double().numpy())
    return found


def main(arguments: list[str] | None = None) -> None:
    """The command line described at the top."""
    parser = argparse.ArgumentParser(prog="python -m fhe_face.models.training.bounds")
    parser.add_argument("weights", type=Path)
    parser.add_argument(
        "--faces", type=Path, help="faces.npy of fhe_face.models.training.generated"
    )
    parser.add_argument("--stress", type=int, default=400)
    parser.add_argument("--hunts", type=int, default=48)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args(arguments)
    network = CryptoFaceNet.from_state(load(options.weights).state)
    typical = ordinary_pictures(options.faces)
    found = measure(network, typical, options.stress, options.hunts, options.steps)
    print(json.dumps({name: asdict(values) for name, values in found.items()}, indent=1))


def ordinary_pictures(faces: Path | None, count: int = 16) -> NDArray[np.float64]:
    """Generated faces of a file, or the synthetic pictures that the encrypted engine is balanced
    on where there is none."""
    if faces is not None:
        raw = np.array(np.load(faces, mmap_mode="r")[:count, 8:-8, 8:-8])
    else:
        raw = images(np.random.default_rng(7), count, 64)
    return unit_images(raw, 64)


if __name__ == "__main__":
    with early_end_is_quiet():
        main()
