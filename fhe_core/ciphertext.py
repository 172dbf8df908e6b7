"""Ciphertexts: residues with the level and exact scale that say what they mean."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fhe_core.parameters import Parameters

Words = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Ciphertext:
    """``residues`` [2, limbs, N] in NTT form; the message is (c0 + c1 s) / scale.

    level: says which primes the limbs belong to (``Parameters.levels``).
    """

    residues: Words
    scale: float
    level: int

    @property
    def limbs(self) -> int:
        return int(self.residues.shape[1])

    def drop_to(self, level: int, parameters: Parameters) -> Ciphertext:
        """The same message with only the limbs of a level that it has all of.

        Raises:
            ValueError: the level has others.
        """
        if level == self.level:
            return self
        lower = self.first(level, parameters)
        return replace(lower, residues=np.ascontiguousarray(lower.residues))

    def first(self, level: int, parameters: Parameters) -> Ciphertext:
        """As :meth:`drop_to`, but a view of the same memory, for operations to read at once.

        Raises:
            ValueError: the level has other limbs.
        """
        if not parameters.prefixes(self.level, level):
            raise ValueError(f"cannot drop from level {self.level} to {level}")
        limbs = parameters.levels[level].limbs
        return Ciphertext(self.residues[:, :limbs], self.scale, level)
