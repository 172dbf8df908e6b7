"""What noise makes of an image, simulated: does it pass alone, and do copies of it agree?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core.normalisation import Normalisation
from fhe_face.client.health import COPIES_TOLERANCE
from fhe_face.client.noise_gain import LEAN, FixedNoise, directions, disturbance
from fhe_face.models import reference
from fhe_face.models.layers import FusedNetwork

Array = NDArray[np.float64]
#: Errors that are counted, as distances between directions: cosines of 0.995, 0.955 and 0.875.
WRONG = (0.1, 0.3, 0.5)


@dataclass(frozen=True)
class Judged:
    """One image under simulated noise.

    gain: root mean square of the distance between directions; median, worst: of it among draws
    that pass the old check, and cosine: of the worst. passes: share of draws whose squared norm is
    in the interval. common: correlation between the errors of two copies; rank: participation
    ratio of their covariance (1: all along one line). agree: share of pairs of passing copies that
    the client takes; wrong: shares of all pairs that it takes though both copies are off by more
    than WRONG; taken: the largest error (of the better copy) among these.
    """

    squared_norm: float
    gain: float
    passes: float
    median: float
    worst: float
    cosine: float
    common: float
    rank: float
    agree: float
    wrong: tuple[float, ...]
    taken: float


def judge(
    network: FusedNetwork, image: Array, normalisation: Normalisation, draws: int, seed: int = 0
) -> Judged:
    """Of ``draws`` encryptions of an image (3, S, S); weights are rounded alike in all."""
    true = reference.embed(network, image[None])[0]
    disturb = disturbance(LEAN, np.random.default_rng(seed), FixedNoise(seed))
    many = np.broadcast_to(image, (draws, *image.shape))
    return judged(true, reference.embed(network, many, disturb=disturb), normalisation)


def judged(true: Array, found: Array, normalisation: Normalisation) -> Judged:
    """Of embeddings before normalisation: without noise (E,), of copies (draws, E)."""
    low, high = normalisation.interval
    norms = reference.squared_norm(found)
    passing = (norms >= low) & (norms <= high)
    errors = np.linalg.norm(directions(found) - directions(true), axis=1)
    off, kept = found - true, errors[passing]
    covariance = np.cov(off.T)
    with np.errstate(all="ignore"):
        apart = distances(found[passing])
        lengths = np.sqrt(norms[passing])
        taken = apart <= COPIES_TOLERANCE * np.minimum.outer(lengths, lengths)
        taken &= ~np.eye(len(kept), dtype=bool)
        better = np.where(taken, np.minimum.outer(kept, kept), 0.0)
        unit = off / np.linalg.norm(off, axis=1, keepdims=True)
        correlation = (np.sum(np.sum(unit, axis=0) ** 2) - len(unit)) / (len(unit) ** 2 - len(unit))
    pairs, all_pairs = (max(n * (n - 1), 1) for n in (len(kept), len(found)))
    worst = float(np.max(kept, initial=0.0))
    return Judged(
        float(np.sum(true**2)),
        float(np.sqrt(np.mean(errors**2))),
        float(np.mean(passing)),
        float(np.median(kept)) if len(kept) else 0.0,
        worst,
        1 - worst**2 / 2,
        float(correlation),
        float(np.trace(covariance) ** 2 / np.sum(covariance**2)),
        float(np.sum(taken)) / pairs,
        tuple(float(np.sum(better > limit)) / all_pairs for limit in WRONG),
        float(np.max(better, initial=0.0)),
    )


def line_bound(copies: int, error: float) -> float:
    """The largest share of encryptions in which all of so many copies agree and are all wrong.

    Of Gaussian noise along one line across the embedding, independent from copy to copy, with the
    worst of all deviations; copies agree on one side only. error: between directions, below 1.41.
    """
    return max(_along_a_line(copies, error, g) for g in np.geomspace(error / 4, 20, 80))


def _along_a_line(copies: int, error: float, deviation: float) -> float:
    """The density of ``copies`` values within what is allowed of one that is wrong."""
    values, step = np.linspace(-8 * deviation, 8 * deviation, 20001, retstep=True)
    values = values[2 * np.sin(np.arctan(np.abs(values)) / 2) >= error]
    density = np.exp(-(values**2) / (2 * deviation**2)) / (deviation * math.sqrt(2 * math.pi))
    allowed = COPIES_TOLERANCE * np.sqrt(1 + values**2)
    return float(np.sum(copies * density**copies * allowed ** (copies - 1)) * step)


def distances(vectors: Array) -> Array:
    """Between all pairs of (count, E)."""
    squared = np.sum(vectors**2, axis=1)
    found = squared[:, None] + squared[None] - 2 * vectors @ vectors.T
    return np.asarray(np.sqrt(np.maximum(found, 0.0)))
