"""What whoever decrypts the signs learns of scores beyond their side of the threshold.

Every number here is of one score unless it says otherwise. ``remainder`` is p(x) - 1 at scores of
one side; what is decrypted is 1 + remainder + noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, ndtr, ndtri

from benchmarks.threshold.circuit import Design
from benchmarks.threshold.signs import evaluate
from fhe_core.matching.answers import ring_bits_left

Float = NDArray[np.float64]

#: Cosines of different people have these at FAR 1 % and 0.1 % (official weights, ORL,
#: docs/evaluation.md): two points of a normal distribution.
FAR_QUANTILES = ((0.01, 0.345), (0.001, 0.409))
#: Where the sign is read wrong with probability 6e-16: 1 is eight deviations from 0.
FLOOD = 1 / 8
#: log2 of the statistical distance that flooding is to leave.
DISTANCE_BITS = 40
_POINTS = 1 << 20
_BINS = 1 << 14


@dataclass(frozen=True)
class Impostors:
    """Cosines of different people, as a normal distribution."""

    mean: float
    deviation: float

    @classmethod
    def of_quantiles(cls) -> Impostors:
        (p, a), (q, b) = FAR_QUANTILES
        deviation = (b - a) / (ndtri(1 - q) - ndtri(1 - p))
        return cls(float(a - deviation * ndtri(1 - p)), float(deviation))

    def share(self, low: float, high: float) -> float:
        """Of cosines between the two."""
        scaled = ndtr((np.array([low, high]) - self.mean) / self.deviation)
        return float(scaled[1] - scaled[0])

    def between(self, low: float, high: float, count: int = _POINTS) -> Float:
        """Evenly spread quantiles of the cosines between the two."""
        edges = ndtr((np.array([low, high]) - self.mean) / self.deviation)
        inner = edges[0] + (np.arange(count) + 0.5) / count * (edges[1] - edges[0])
        values: Float = self.mean + self.deviation * ndtri(inner)
        return values


def remainder(design: Design, scores: Float) -> Float:
    """abs(p) - 1 at scores, computed in long doubles where the machine has them."""
    x = (scores.astype(np.longdouble) - design.threshold) / design.reach
    values = np.abs(evaluate(design.stages, x)) - 1
    return np.asarray(values, dtype=np.float64)


def distinguishing(difference: float, deviation: float) -> float:
    """The advantage of the best test between two values in Gaussian noise (their statistical
    distance); ``difference`` may be the length of a difference of vectors."""
    return float(erf(difference / deviation / (2 * math.sqrt(2))))


def flood_for(difference: float, bits: float) -> float:
    """The deviation of noise that leaves a statistical distance of 2^-bits."""
    return difference * math.pow(2.0, bits) / math.sqrt(2 * math.pi)


def bits_of(difference: float, flood: float) -> float:
    """The other way round: -log2 of the statistical distance that a flood leaves."""
    return math.log2(flood * math.sqrt(2 * math.pi) / difference)


def information(values: Float, deviation: float) -> float:
    """Mutual information, in bits, of what has those equally likely values and their sum with
    Gaussian noise: from histograms; a small signal's from its variance, which bounds it."""
    variance, spread = float(np.var(values)), float(np.ptp(values))
    small = variance / deviation**2 / (2 * math.log(2))
    if small < 1e-3 or not spread:
        return small
    width = max(deviation / 4, spread / _BINS)
    reach = 8 * deviation
    bins = math.ceil((spread + 2 * reach) / width)
    low = float(values.min()) - reach
    counts, _ = np.histogram(values, bins=bins, range=(low, low + bins * width))
    if width < deviation:
        steps = np.arange(-math.ceil(reach / width), math.ceil(reach / width) + 1) * width
        kernel = np.exp(-((steps / deviation) ** 2) / 2)
        counts = np.convolve(counts, kernel / kernel.sum())
    shares = counts[counts > 0] / counts.sum()
    entropy = float(-np.sum(shares * np.log2(shares))) + math.log2(width)
    noise = math.log2(deviation * math.sqrt(2 * math.pi * math.e))
    return max(0.0, entropy - noise)


def information_of_noise(deviations: Sequence[float]) -> float:
    """Mutual information, in bits, of which of some deviations Gaussian noise has, and the noise:
    what its size tells where it depends on the score."""
    every = np.asarray(deviations)
    y = np.linspace(-1, 1, _BINS + 1) * 10 * every.max()
    densities = np.exp(-((y / every[:, None]) ** 2) / 2) / (every[:, None] * math.sqrt(2 * math.pi))
    mean = densities.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(densities > 0, densities * np.log2(densities / mean), 0.0)
    return float(np.sum(each.mean(axis=0)) * (y[1] - y[0]))


def of_side(design: Design, deviation: float, impostors: Impostors) -> dict[str, Any]:
    """Of a stranger's score below the band, where CKKS's own noise has that deviation."""
    low = design.threshold - design.reach
    values = remainder(design, impostors.between(low, design.threshold - design.band))
    worst = float(np.ptp(remainder(design, _side(design))))
    return {
        "remainder": float(np.max(np.abs(values))),
        "remainder_spread": worst,
        "noise": deviation,
        "information_bits": information(values, deviation),
        "advantage": distinguishing(worst, deviation),
    }


def _side(design: Design) -> Float:
    """Scores of one side, dense where the polynomial turns most."""
    return design.threshold + np.geomspace(design.band, design.reach, 1 << 16)


def of_flood(design: Design, noise: float, largest: float, slots: int) -> dict[str, Any]:
    """What a flood can hide: two scores of one side differ by their remainders and by noise.

    noise, largest: CKKS's own, its deviation and the largest of all slots.
    """
    spread = float(np.ptp(remainder(design, _side(design))))
    one = spread + 2 * largest
    block = math.sqrt(slots) * (spread + 2 * noise)
    wanted = flood_for(one, DISTANCE_BITS)
    return {
        "difference": one,
        "difference_block": block,
        "flood_wanted_bits": math.log2(wanted) + design.result_bits,
        "flood_wanted_modulus_bits": math.log2(wanted / FLOOD) + sum(design.base),
        "distance_bits_one": bits_of(one, FLOOD),
        "distance_bits_block": bits_of(block, FLOOD),
        "wrong_sign": float(ndtr(-1 / FLOOD)),
    }


def of_band(design: Design, deviation: float, impostors: Impostors) -> dict[str, Any]:
    """Of a score inside the band, where the polynomial is no sign: how often, and how much."""
    low, high = design.threshold - design.band, design.threshold + design.band
    scores = impostors.between(low, high)
    x = (scores - design.threshold) / design.reach
    values = np.asarray(evaluate(design.stages, x), dtype=np.float64)
    above = float(np.mean(scores > design.threshold))
    decision = -above * math.log2(above) - (1 - above) * math.log2(1 - above)
    return {
        "share": impostors.share(low, high),
        "information_bits": information(values, deviation),
        "information_of_a_decision": decision,
        "slope": float(evaluate(design.stages, np.array([1e-6]))[0] / 1e-6 / design.reach),
    }


def of_masking(threshold: float, bits: float, impostors: Impostors) -> float:
    """What r (s - t) tells of abs(s - t), in bits, for r spread evenly over ``bits`` powers of two:
    multiplying hides a number only behind a factor that ranges over more than the number does."""
    scores = impostors.between(threshold - 1 - abs(threshold), 1.0)
    logs = np.log2(np.abs(scores - threshold))
    low, high = float(logs.min()), float(logs.max()) + bits
    width = (high - low) / _BINS
    counts, _ = np.histogram(logs, bins=_BINS, range=(low, high))
    sums, box = np.cumsum(counts), max(1, round(bits / width))
    rising, falling = np.pad(sums, (0, box), "edge"), np.pad(sums, (box, 0))
    spread = rising - falling  # as convolved with a box
    shares = spread[spread > 0] / spread.sum()
    return float(-np.sum(shares * np.log2(shares)) + math.log2(width) - math.log2(bits))


def of_answers(threshold: float, impostors: Impostors) -> dict[str, float]:
    """Of a stranger's score: how often it is above the threshold, and what the bare answer tells,
    in bits, beside the score itself at the precision of records (2^-15)."""
    above = impostors.share(threshold, 1.0)
    answer = -above * math.log2(above) - (1 - above) * math.log2(1 - above)
    score = math.log2(impostors.deviation * math.sqrt(2 * math.pi * math.e)) + 15
    return {"above": above, "answer_bits": answer, "score_bits": score}


def bits_left(design: Design, answers: int) -> float:
    """log2 of the cheapest attack's cost, model matzov, once so many coefficients of the secret are
    known, of which an answer may be worth one (docs/security.md)."""
    return ring_bits_left(design.parameters(), answers)


def domain(design: Design) -> dict[str, float]:
    """How far a score may leave the interval of cosines before the result no longer fits.

    ``sign`` is the last score above the threshold, and below it, that is still within 1/4 of a
    sign; ``room`` what a slot may hold; a slot of N times as much spoils all others.
    """
    room = 2.0 ** (sum(design.base) - 1 - design.result_bits)
    x = 1 + np.geomspace(1e-6, 4, 1 << 14)
    with np.errstate(all="ignore"):  # it overflows long before the last of them
        values = np.abs(evaluate(design.stages, x))
    bad = x[np.flatnonzero(~(np.abs(values - 1) < 0.25))[0]]
    full = x[np.flatnonzero(~(values < room))[0]]
    return {
        "room": room,
        "sign_low": float(design.threshold - design.reach * bad),
        "sign_high": float(design.threshold + design.reach * bad),
        "room_low": float(design.threshold - design.reach * full),
        "room_high": float(design.threshold + design.reach * full),
    }
