"""How much of the encryption's noise an image turns into a wrong embedding, before it is encrypted.

For a client that has the weights. A crafted image looks ordinary to every check of a single result,
as its embedding and its squared norm carry the same noise; but the image itself tells how strongly
the network multiplies noise, and no attacker chooses the draws. Costs nothing on the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_core.errors import Failure
from fhe_face.models import reference
from fhe_face.models.layers import Array, FusedNetwork

#: Largest gain of an image that should be used (docs/health.md has those of faces).
MAX_GAIN: Final = 0.03
DRAWS: Final = 8


@dataclass(frozen=True)
class LayerNoise:
    """Standard deviations of slot errors in a balanced network (fhe_face.models.balance).

    conv1: what the first convolution of every block adds, from division and key switching, new at
    every encryption. out, pooled: what the rounding of weights and masks adds, in units of the
    tensor's root mean square; it is the same at every encryption. embedding: of its last sum, new.
    """

    conv1: float
    out: float
    pooled: float
    embedding: float

    def of(self, name: str, tensor: Array) -> float:
        """For a tensor of `models.reference.embed` and its values."""
        if name.endswith(".conv1"):
            return self.conv1
        if name.endswith(".out"):
            return self.out * _size(tensor)
        if name == "pooled":
            return self.pooled * _size(tensor)
        return self.embedding if name == "embedding" else 0.0


#: Of a real face at preset `lean` in a pair of the standard ring, which was noisier than any way
#: to compute a face today, from the precision model (fhe_core.analysis.precision),
#: with rounding such that copies correlate nearly as measured (docs/health.md).
LEAN: Final = LayerNoise(conv1=9.2e-4, out=8e-4, pooled=2e-3, embedding=1.5e-3)


class NoiseGainError(Failure, ValueError):
    """An image whose embedding the noise of encryption would decide; it was not encrypted."""

    code = "noise-gain"


class FixedNoise:
    """Rounding of weights: drawn once per tensor and the same for every image and encryption."""

    def __init__(self, seed: int) -> None:
        self._seed, self._drawn = seed, dict[str, Array]()

    def of(self, name: str, shape: tuple[int, ...]) -> Array:
        """Standard normal values (1, ...) for all images of a tensor (B, ...)."""
        if name not in self._drawn:
            generator = np.random.default_rng([self._seed, len(self._drawn)])
            self._drawn[name] = generator.normal(size=(1, *shape[1:]))
        return self._drawn[name]


def is_fixed(name: str) -> bool:
    """Whether the noise of this tensor comes from rounded weights, not from encryption."""
    return name.endswith(".out") or name == "pooled"


def disturbance(
    noise: LayerNoise, generator: np.random.Generator, fixed: FixedNoise | None = None
) -> reference.Disturb:
    """For `models.reference.embed`: independent noise in every layer of every image.

    fixed: where the rounding of weights comes from; without it, it is drawn anew as well.
    """

    def disturb(name: str, tensor: Array) -> Array:
        deviation = noise.of(name, tensor)
        if deviation == 0.0:
            return tensor
        if fixed is not None and is_fixed(name):
            return np.asarray(tensor + deviation * fixed.of(name, tensor.shape))
        return np.asarray(tensor + generator.normal(0.0, deviation, tensor.shape))

    return disturb


def directions(embeddings: Array) -> Array:
    """(B, E) of norm one."""
    return np.asarray(embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True))


def noise_gain(
    network: FusedNetwork,
    image: NDArray[Any],
    *,
    draws: int = DRAWS,
    noise: LayerNoise = LEAN,
    generator: np.random.Generator | None = None,
) -> float:
    """How far noise turns an image's embedding: 0.01 is one per cent of its length.

    The root mean square over ``draws`` of the distance between the directions of a disturbed
    embedding and of the true one, at most 2. Infinite where the network overflows; whether it
    diverged by less is told by the squared norm, not by this. Takes 0.04 s of one core per draw.

    network: balanced (fhe_face.engine.load_network); image: float64 (3, S, S) in [-1, 1];
    generator: default: seeded by the operating system, so that nobody can aim at it.

    Raises:
        ValueError: draws is not positive, or the image has another shape or range.
    """
    if draws < 1:
        raise ValueError(f"draws: {draws}; it must be at least 1")
    generator = generator or np.random.default_rng()
    true = reference.embed(network, image[None])
    many = np.broadcast_to(image, (draws, *image.shape))
    disturbed = reference.embed(network, many, disturb=disturbance(noise, generator))
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(np.concatenate([true, disturbed]), axis=1)
        if not np.all(np.isfinite(lengths) & (lengths > 0)):
            return np.inf
        distances = np.linalg.norm(directions(disturbed) - directions(true), axis=1)
        return float(np.sqrt(np.mean(distances**2)))


def require_calm(
    network: FusedNetwork,
    image: NDArray[Any],
    *,
    most: float = MAX_GAIN,
    generator: np.random.Generator | None = None,
) -> float:
    """The noise gain of an image that may be encrypted; see `noise_gain`.

    Raises:
        NoiseGainError: it is above ``most``, or the network overflows on the image.
        ValueError: the image has another shape or range.
    """
    gain = noise_gain(network, image, generator=generator)
    if not gain <= most:
        raise NoiseGainError(
            f"the noise of encryption would turn this image's embedding by {gain:.2g} of its "
            f"length, where {most:g} is allowed: it is damaged or was crafted"
        )
    return gain


def _size(tensor: Array) -> float:
    """The root mean square of one image's values, the median over the batch."""
    axes = tuple(range(1, tensor.ndim))
    with np.errstate(all="ignore"):
        return float(np.median(np.sqrt(np.mean(tensor**2, axis=axes))))
