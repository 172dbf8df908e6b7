"""A library without encryption: exact arithmetic on slots, so that the runner can be tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fhe_core.oracles.interface import Slots


@dataclass(frozen=True)
class Clear:
    """Slots times their scale, and limbs."""

    values: NDArray[np.float64]
    limbs: int


@dataclass(frozen=True)
class ClearLibrary:
    """As ``fhe_core.oracles.interface.Library``."""

    slots: int
    moduli: Sequence[int]

    def encrypt(self, values: Slots, scale: float) -> Clear:
        return Clear(self._plain(values, scale), len(self.moduli))

    def decrypt(self, a: Clear, scale: float) -> NDArray[np.float64]:
        return a.values / scale

    def limbs(self, a: Clear) -> int:
        return a.limbs

    def drop_to(self, a: Clear, limbs: int) -> Clear:
        assert 1 <= limbs <= a.limbs
        return replace(a, limbs=limbs)

    def add(self, a: Clear, b: Clear) -> Clear:
        assert a.limbs == b.limbs
        return replace(a, values=a.values + b.values)

    def add_plain(self, a: Clear, values: Slots, scale: float) -> Clear:
        return replace(a, values=a.values + self._plain(values, scale))

    def multiply_plain(self, a: Clear, values: Slots, scale: float) -> Clear:
        return replace(a, values=a.values * self._plain(values, scale))

    def multiply(self, a: Clear, b: Clear) -> Clear:
        assert a.limbs == b.limbs
        return replace(a, values=a.values * b.values)

    def rescale(self, a: Clear) -> Clear:
        return Clear(a.values / self.moduli[a.limbs - 1], a.limbs - 1)

    def rotate(self, a: Clear, amount: int) -> Clear:
        assert 0 < amount < self.slots
        return replace(a, values=np.roll(a.values, -amount))

    def rotate_hoisted(self, a: Clear, amounts: Sequence[int]) -> list[Clear]:
        return [self.rotate(a, amount) for amount in amounts]

    def _plain(self, values: Slots, scale: float) -> NDArray[np.float64]:
        return np.tile(values, self.slots // values.size) * scale
