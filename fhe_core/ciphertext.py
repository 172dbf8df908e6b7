"""Ciphertexts: residues with the level and exact scale that say what they mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Ciphertext:
    """``residues`` [2, limbs, N] in NTT form; the message is (c0 + c1 s) / scale."""

    residues: Words
    scale: float

    @property
    def limbs(self) -> int:
        return int(self.residues.shape[1])

    def drop_to(self, limbs: int) -> Ciphertext:
        """The same message with only the first ``limbs`` limbs.

        Raises:
            ValueError: there are fewer limbs than that.
        """
        if limbs == self.limbs:
            return self
        return Ciphertext(np.ascontiguousarray(self.first(limbs).residues), self.scale)

    def first(self, limbs: int) -> Ciphertext:
        """As :meth:`drop_to`, but a view of the same memory, for operations to read at once.

        Raises:
            ValueError: there are fewer limbs than that.
        """
        if not 1 <= limbs <= self.limbs:
            raise ValueError(f"cannot drop from {self.limbs} to {limbs} limbs")
        return Ciphertext(self.residues[:, :limbs], self.scale)
