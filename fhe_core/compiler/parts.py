"""One face in a plan, or two: real and imaginary parts of the slots carry a face each.

Linear layers are real-linear, so they treat both parts alike, at the cost of one face. Only squares
need to tell them apart, which takes one conjugation (a key switch) more.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from fhe_core.compiler.builder import Filler


class Parts(Enum):
    """What the real and the imaginary parts of the slots hold.

    ONE: a face in the real parts. MIRROR: a face and its mirror image, whose embeddings are
    averaged before they are normalised. PAIR: two faces, with a result each.
    """

    ONE = "one"
    MIRROR = "mirror"
    PAIR = "pair"

    @property
    def views(self) -> int:
        """Images that the client packs into one set of ciphertexts."""
        return 2 if self is Parts.MIRROR else 1

    def shared(self, filler: Filler) -> Filler:
        """A table that is added to both parts."""
        if self is Parts.ONE:
            return filler

        def fill(network: Any, lane: int) -> Any:
            return (1 + 1j) * filler(network, lane)

        return fill
