"""Both sides of one gallery on a small ring, for tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.matching import Matcher, MatchParameters, Probe, Scores, SealedBlock
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from tests.core import tiny


@dataclass(frozen=True)
class Sides:
    """Both sides of one gallery."""

    parameters: MatchParameters
    sealer: Sealer
    keys: EvaluationKeys
    matcher: Matcher

    def masks(self, count: int) -> list[NDArray[np.bool_]]:
        return [np.ones(self.parameters.templates, np.bool_) for _ in range(count)]

    def answer(self, probe: Probe, blocks: list[SealedBlock], names: list[str]) -> Scores:
        live = self.masks(len(blocks))
        loaded = [self.matcher.load(block) for block in blocks]
        return self.matcher.answer(
            self.matcher.expand(probe), list(zip(names, loaded, live, strict=True))
        )


def make_sides(parameters: MatchParameters) -> Sides:
    key = SecretKey.generate(parameters.parameters)
    keys = tiny.gallery_keys(key, parameters)
    return Sides(parameters, Sealer(key, parameters), keys, Matcher(parameters, keys, 1))
