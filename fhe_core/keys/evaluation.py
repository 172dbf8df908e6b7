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
    """``data`` [digits, 2, limbs + specials, N], both halves expanded."""

    data: Words
    limbs: int


@dataclass(frozen=True, eq=False)
class EvaluationKeys:
    """All keys of one client."""

    parameters: Parameters
    key_id: str
    keys: Mapping[KeyName, EvaluationKey]

    def get(self, rotation: int, limbs: int) -> EvaluationKey:
        """The key for a rotation (0: relinearisation) of a ciphertext with ``limbs`` limbs.

        Raises:
            MissingKeyError: it was not given, or covers fewer limbs.
        """
        tier = self.parameters.tier_index(limbs)
        if not 0 <= rotation < self.parameters.rotations:
            rotation %= self.parameters.slots
        key = self.keys.get(KeyName(rotation, tier))
        if key is None or key.limbs < limbs:
            what = f"rotation by {rotation}" if rotation else "relinearisation"
            raise MissingKeyError(f"no evaluation key for {what} at {limbs} limbs")
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
    return EvaluationKey(data, specification.limbs)


def expand_half(
    parameters: Parameters, specification: KeySpecification, data: Words, seed: bytes, domain: int
) -> None:
    """Fill data[:, 1] of a key [digits, 2, rows, N] from the seed."""
    tier = parameters.tiers[specification.name.tier]
    moduli = [*parameters.moduli, *parameters.specials]
    indices = [*range(specification.limbs), *parameters.special_rows(tier)]
    for digit in range(data.shape[0]):
        for i, row in enumerate(indices):
            uniform_row(seed, domain, digit, row, moduli[row], data[digit, 1, i])
