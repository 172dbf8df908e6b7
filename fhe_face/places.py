"""What travels with the ciphertexts of a batch: how many faces, and where each lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhe_core.container import Corrupt
from fhe_core.plan import Plan

#: In the facts of a bundle.
ENTRY = "batch"


@dataclass(frozen=True)
class Kinds:
    """What bundles of images, embeddings and scores are called."""

    image: str
    embedding: str
    score: str


ONE = Kinds("image", "embedding", "score")
MANY = Kinds("image batch", "embedding batch", "score batch")


def kinds_of(plan: Plan) -> Kinds:
    """The kinds of bundles that a plan takes and gives."""
    return MANY if ENTRY in plan.metadata else ONE


@dataclass(frozen=True)
class Batch:
    """``count`` faces in room for ``capacity``: face i < capacity / 2 in the first half's
    ciphertexts from slot i * block on, the others in those of the second half."""

    count: int
    capacity: int
    block: int

    def describe(self) -> dict[str, int]:
        """JSON-ready form."""
        return {"count": self.count, "capacity": self.capacity, "block": self.block}

    def locate(self, number: int) -> tuple[int, int]:
        """(half, first slot) of a face."""
        half, place = divmod(number, self.capacity // 2)
        return half, place * self.block

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], slots: int) -> Batch:
        """Of a bundle's facts.

        Raises:
            Corrupt: they say nothing that can be.
        """
        found = facts.get(ENTRY)
        known = found if isinstance(found, Mapping) else {}
        count, capacity, block = (known.get(name) for name in ("count", "capacity", "block"))
        if type(count) is not int or type(capacity) is not int or type(block) is not int:
            raise Corrupt("a batch does not say how many faces it holds")
        if not 1 <= count <= capacity or capacity % 2 or capacity // 2 * block != slots:
            raise Corrupt("a batch says that it holds faces where there is no room for them")
        return cls(count, capacity, block)
