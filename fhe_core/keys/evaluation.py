"""Evaluation keys as the server holds them: public, indexed by rotation and tier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native
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
    """Both halves of a key, expanded and in the order in which the kernels read them.

    Attributes:
        data: as `_native.key_memory` gives it.
        rows: of ``data``, as indices of ``Parameters.primes``.
    """

    data: Words
    rows: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class EvaluationKeys:
    """All keys of one client."""

    parameters: Parameters
    key_id: str
    keys: Mapping[KeyName, EvaluationKey]

    def get(self, rotation: int, level: int) -> EvaluationKey:
        """The key of that name (see ``KeyName``) for a ciphertext at that level.

        Raises:
            MissingKeyError: it was not given, or does not have all limbs of the level.
        """
        tier, rows = self.parameters.levels[level].tier, self.parameters.levels[level].rows
        key = self.keys.get(KeyName(rotation, tier))
        if key is None or not set(key.rows).issuperset(rows):
            what = f"rotation by {rotation}" if rotation else "relinearisation"
            raise MissingKeyError(f"no evaluation key for {what} at level {level}")
        return key

    def residues(self, rotation: int, level: int) -> Words:
        """The same key as residues [digits, 2, rows, N].

        Raises:
            MissingKeyError: as `get`.
        """
        key = self.get(rotation, level)
        return _native.load_key(key.data, [self.parameters.primes[row] for row in key.rows])

    @property
    def memory_bytes(self) -> int:
        return sum(key.data.nbytes for key in self.keys.values())


@dataclass(frozen=True, eq=False)
class DeviceKey:
    """Leads fresh ciphertexts from a device's secret to its owner's.

    Attributes:
        device: the id of the device's own key; key_id: its owner's.
    """

    parameters: Parameters
    device: str
    key_id: str
    key: EvaluationKey


def device_specification(parameters: Parameters) -> KeySpecification:
    """The switching key of a device: for fresh ciphertexts, and for nothing else."""
    top = parameters.top
    return KeySpecification(KeyName(parameters.device_switch, parameters.levels[top].tier), (top,))


def expand_key(
    parameters: Parameters,
    specification: KeySpecification,
    bodies: Iterable[Words],
    seed: bytes,
    domain: int,
) -> EvaluationKey:
    """Join the computed half [rows, N] per digit with the half expanded from the seed."""
    rows = (row for body in bodies for row in body)
    return key_of_rows(parameters, specification, rows, seed, domain)


def key_of_rows(
    parameters: Parameters,
    specification: KeySpecification,
    rows: Iterable[Words],
    seed: bytes,
    domain: int,
) -> EvaluationKey:
    """Join the rows [N] of the computed half, digit by digit, with the other half.

    Raises:
        ValueError: a residue is not below its modulus.
    """
    digits, count, n = specification.shape(parameters)
    moduli, indices = parameters.primes, specification.rows(parameters)
    data = _native.key_memory(digits, count, n)
    uniform = np.empty(n, dtype=np.uint64)
    places = ((digit, row) for digit in range(digits) for row in range(count))
    for (digit, row), computed in zip(places, rows, strict=True):
        index = indices[row]
        _native.store_key_row(data, row, digit, 0, computed, moduli[index])
        uniform_row(seed, domain, digit, index, moduli[index], uniform)
        _native.store_key_row(data, row, digit, 1, uniform, moduli[index])
    return EvaluationKey(data, indices)
