"""Evaluation keys as the server holds them: public, indexed by rotation and tier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core.errors import Failure
from fhe_core.keys.expand import uniform_row
from fhe_core.parameters import Parameters
from fhe_core.plan import KeyName, KeySpecification

Words = NDArray[np.uint64]


class MissingKeyError(Failure, KeyError):
    """A plan asks for an evaluation key that was not given."""

    code = "missing-key"

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, eq=False)
class EvaluationKey:
    """``data`` [digits, 2, rows, N], both halves expanded; rows: of ``Parameters.primes``."""

    data: Words
    rows: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class EvaluationKeys:
    """All keys of one client."""

    parameters: Parameters
    key_id: str
    keys: Mapping[KeyName, EvaluationKey]

    def get(self, rotation: int, level: int) -> EvaluationKey:
        """The key for a rotation (0: relinearisation) of a ciphertext at that level.

        Raises:
            MissingKeyError: it was not given, or does not have all limbs of the level.
        """
        tier, rows = self.parameters.levels[level].tier, self.parameters.levels[level].rows
        if rotation != self.parameters.conjugation:
            rotation %= self.parameters.slots
        key = self.keys.get(KeyName(rotation, tier))
        if key is None or not set(key.rows).issuperset(rows):
            what = f"rotation by {rotation}" if rotation else "relinearisation"
            if rotation == self.parameters.conjugation:
                what = "conjugation"
            raise MissingKeyError(f"no evaluation key for {what} at level {level}")
        return key

    @property
    def memory_bytes(self) -> int:
        return sum(key.data.nbytes for key in self.keys.values())


def expand_key(
    parameters: Parameters,
    specification: KeySpecification,
    bodies: Iterable[Words],
    seed: bytes,
    domain: int,
) -> EvaluationKey:
    """Join the computed half [rows, N] per digit with the half expanded from the seed."""
    digits, rows, n = specification.shape(parameters)
    data = np.empty((digits, 2, rows, n), dtype=np.uint64)
    for digit, body in enumerate(bodies):
        data[digit, 0] = body
    expand_half(parameters, specification, data, seed, domain)
    return EvaluationKey(data, specification.rows(parameters))


def expand_half(
    parameters: Parameters, specification: KeySpecification, data: Words, seed: bytes, domain: int
) -> None:
    """Fill data[:, 1] of a key [digits, 2, rows, N] from the seed."""
    for digit in range(data.shape[0]):
        for i, row in enumerate(specification.rows(parameters)):
            uniform_row(seed, domain, digit, row, parameters.primes[row], data[digit, 1, i])
