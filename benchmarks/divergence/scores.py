"""A face of a batch diverges: how often the scores of the others are wrong, and pass.

Embeddings before normalisation are linear in the features, so a line through two faces' gives an
endless supply of diverging ones. All else is exact: squared norms, the polynomial, sums over
periods, and the remainder modulo Q.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.divergence.statistics import wilson
from benchmarks.divergence.wrapping import wrapped
from fhe_core.compiler.layouts import powers_of_two
from fhe_core.normalisation import Normalisation
from fhe_core.runtime import cleartext
from fhe_face.client.headroom import scores_fit
from fhe_face.client.health import NORM_SLACK
from fhe_face.demo_faces import demo_faces
from fhe_face.engine import Engine
from fhe_face.models.layers import FusedNetwork
from fhe_face.photos.images import to_unit
from fhe_face.places import Packing

Slots = NDArray[np.float64]
#: A score that is off by more than this is wrong.
WRONG = 0.1
#: Where a decision could be made.
THRESHOLD = 0.3


@dataclass(frozen=True)
class Tally:
    """Slots of scores in which no face diverged, in batches with one that did.

    Every slot of other faces' blocks counts, not only the one that is read: it holds a sum of
    products as well, and all of them are spoiled alike. wrong: off by more than WRONG; accepted:
    that pass all that is known of their face; crossed: of these, on the other side of THRESHOLD;
    bounded: that pass, and in a batch that passes the bound on coefficients. needless: right ones
    in a batch that does not.
    """

    slots: int
    wrong: int
    accepted: int
    crossed: int
    bounded: int
    needless: int

    def described(self) -> dict[str, Any]:
        """The counts, with 95 % intervals of what share of wrong ones passes."""
        if not self.wrong:
            return dict(vars(self))
        shares = {"accepted": self.accepted, "bounded": self.bounded}
        intervals = {f"{name}_95": list(wilson(n, self.wrong)) for name, n in shares.items()}
        return {**vars(self), **intervals}


class Batch:
    """A batch of healthy faces, of which the first can be made to diverge."""

    def __init__(
        self, engine: Engine, network: FusedNetwork, seed: int, directions: int = 0
    ) -> None:
        if Packing.BATCH not in engine.packings:
            raise ValueError("not a circuit for batches")
        self.engine, self.normalisation = engine, engine.circuit.normalisation
        plan = engine.batch.plan
        self.period = int(plan.metadata["period"])
        self.batch = engine.places
        self.tables = engine.batch.tables(network)
        faces = np.stack([to_unit(face) for face in demo_faces(network.input_size)])
        generator = np.random.default_rng(seed)
        self.chosen = faces[generator.integers(0, len(faces), self.batch.capacity)]
        self.slots = self._embedded(self.chosen)
        self.directions = [self._towards(face) for face in faces[:directions]]

    def _towards(self, face: NDArray[Any]) -> Slots:
        """How the slots change where the first face becomes the mirror image of this one."""
        other = self.chosen.copy()
        other[0] = face[..., ::-1]
        return np.asarray(self._embedded(other) - self.slots)

    def _embedded(self, images: NDArray[Any]) -> Slots:
        compiled = self.engine.batch
        rows = list(compiled.pack_images(images))
        result, norms = cleartext.run(compiled.plan, self.tables, rows)
        return np.asarray(result / self.normalisation.evaluate(norms))


def sums(values: Slots, period: int) -> Slots:
    """Slot j: the sum of a period's slots from j on."""
    for amount in powers_of_two(period):
        values = values + np.roll(values, -amount)
    return values


def tally(
    left: Batch, right: Batch, room: float, samples: int, seed: int, exponents: tuple[float, float]
) -> Tally:
    """Of ``samples`` batches, the squared norm of the first face log-uniform in 10^exponents."""
    generator = np.random.default_rng(seed)
    normalisation, period, block = left.normalisation, left.period, left.batch.block
    others = slice(block, right.slots.size - block)  # those beside the first one hold parts of it
    right_norms = sums(right.slots**2, period)
    right_normalised = right.slots * normalisation.evaluate(right_norms)
    counts = dict.fromkeys(Tally.__dataclass_fields__, 0)
    for number in range(samples):
        direction = left.directions[number % len(left.directions)]
        size = 10.0 ** (generator.uniform(*exponents) / 2)
        slots = left.slots + direction * (size / np.linalg.norm(direction[:period]))
        norms = sums(slots**2, period)
        true = sums(slots * normalisation.evaluate(norms) * right_normalised, period)
        found, true = wrapped(true, room)[others], true[others]
        fit = scores_fit(norms, right_norms, normalisation, period, room)
        limits = _expected(normalisation, norms[others]) * _expected(
            normalisation, right_norms[others]
        )
        wrong = np.abs(found - true) > WRONG
        accepted = wrong & (np.abs(found) <= limits * (1 + NORM_SLACK))
        crossed = accepted & ((found > THRESHOLD) != (true > THRESHOLD))
        bounded = accepted & fit
        needless = ~wrong & (not fit)
        sets = {"wrong": wrong, "accepted": accepted, "needless": needless}
        sets |= {"crossed": crossed, "bounded": bounded}
        counts["slots"] += true.size
        for name, chosen in sets.items():
            counts[name] += int(np.count_nonzero(chosen))
    return Tally(**counts)


def likely(normalisation: Normalisation, squared_norm: float, room: float, slots: int) -> float:
    """The share of wrong scores that pass: all coefficients uniform, all slots Gaussian.

    For faces of that squared norm.
    """
    limit = float(_expected(normalisation, np.array([squared_norm]))[0]) ** 2 * (1 + NORM_SLACK)
    return math.erf(limit / (2 * room * math.sqrt(slots / 6)) / math.sqrt(2))


def _expected(normalisation: Normalisation, squared_norms: Slots) -> Slots:
    """As `health.expected_norm`, of many."""
    return np.asarray(np.sqrt(squared_norms) * normalisation.evaluate(squared_norms))
