"""What images, embeddings and scores of a plan look like, from the reader's own plan.

Both sides compare a file with this from its header, before anything in it is read. What a file
says of itself is never believed: a result that may say how many faces it holds, or how long an
embedding is, turns every slot into an answer about the secret key (docs/security.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhe_core.container import Corrupt, KeyMismatch, ParameterMismatch
from fhe_core.formats.heads import Admission, Head, ItemHead
from fhe_core.inverse_root import InverseRoot, InverseRootError
from fhe_core.plan import Plan
from fhe_core.runtime.native import SCALE_TOLERANCE
from fhe_face.places import ENTRY as BATCH
from fhe_face.places import Batch, kinds_of

#: What of a plan's metadata travels with a result.
RESULT_FACTS = ("normalisation", "embedding")
#: Of the ciphertexts of a match.
SCORE_NAMES = ("score", "left squared norm", "right squared norm")


class ShapeMismatch(Corrupt):
    """A bundle does not look like what the reader's own plan gives; the text says what does."""


@dataclass(frozen=True)
class Shape:
    """The one form that a bundle may have.

    Attributes:
        what: kind of the bundle.
        parameters_digest: of its parameters.
        items: its ciphertexts, in order.
        facts: what its facts must say; they may say more.
        room: (capacity, block) of a batch; None: not a batch.
    """

    what: str
    parameters_digest: str
    items: tuple[ItemHead, ...]
    facts: Mapping[str, Any]
    room: tuple[int, int] | None

    def require(self, head: Head) -> int:
        """Compare; returns the number of faces that the bundle claims, which fits the room.

        Raises:
            Corrupt: another kind; ShapeMismatch: another form.
            ParameterMismatch: other parameters, or another normalisation or plan.
        """
        if head.what != self.what:
            raise Corrupt(
                f"{head.source}: expected an encrypted {self.what}, got an encrypted {head.what}"
            )
        if head.parameters.digest != self.parameters_digest:
            raise ParameterMismatch(
                f"{head.source}: made with parameters '{head.parameters.name}', not with those of "
                "the key's plan"
            )
        self._require_items(head)
        for name, wanted in self.facts.items():
            _require_fact(head, name, wanted)
        return self._faces(head)

    def _require_items(self, head: Head) -> None:
        names, wanted = ([item.name for item in items] for items in (head.items, self.items))
        if names != wanted:
            raise ShapeMismatch(
                f"{head.source}: holds {_listed(names)}, expected {_listed(wanted)} of an "
                f"encrypted {self.what}"
            )
        for found, own in zip(head.items, self.items, strict=True):
            if found.limbs != own.limbs or abs(found.scale / own.scale - 1) > SCALE_TOLERANCE:
                raise ShapeMismatch(
                    f"{head.source}: '{own.name}' has {_size(found)}, expected {_size(own)}"
                )

    def _faces(self, head: Head) -> int:
        if self.room is None:
            if BATCH in head.facts:
                raise ShapeMismatch(f"{head.source}: says that it is a batch, expected one face")
            return 1
        capacity, block = self.room
        found = head.facts.get(BATCH)
        said = found if isinstance(found, Mapping) else {}
        if said.get("capacity") != capacity or said.get("block") != block:
            raise ShapeMismatch(
                f"{head.source}: a batch with room for {_number(said.get('capacity'))} faces in "
                f"blocks of {_number(said.get('block'))} slots, expected {capacity} in blocks of "
                f"{block}"
            )
        try:
            return Batch.from_facts(head.facts, head.parameters.slots).count
        except Corrupt as error:
            raise ShapeMismatch(f"{head.source}: {error}") from None


def require_key(head: Head, key_id: str) -> None:
    """Raise KeyMismatch for a bundle of another key."""
    if head.key_id != key_id:
        raise KeyMismatch(f"{head.source}: belongs to key {head.key_id[:8]}, not to {key_id[:8]}")


def image_shape(plan: Plan) -> Shape:
    """Of the images that an embedding plan takes."""
    return _shape(plan, kinds_of(plan).image, _items(plan, plan.inputs), {"plan": plan.digest})


def embedding_shape(plan: Plan) -> Shape:
    """Of the embeddings that a plan gives, with their squared norms."""
    return _shape(plan, kinds_of(plan).embedding, _items(plan, plan.outputs), _results(plan))


def score_shape(plan: Plan, match_plan: Plan) -> Shape:
    """Of the scores of two such embeddings: squared norms come along as they were."""
    (score,) = _items(match_plan, match_plan.outputs)
    norms = _items(plan, plan.outputs)[1::2]
    items: list[ItemHead] = []
    for half, norm in enumerate(norms, 1):
        for name, form in zip(score_names(half, len(norms)), (score, norm, norm), strict=True):
            items.append(ItemHead(name, form.limbs, form.scale))
    return _shape(plan, kinds_of(plan).score, tuple(items), _results(plan))


def score_names(half: int, halves: int) -> list[str]:
    """Names of a score's ciphertexts; of a batch, those of its first or second half."""
    prefix = f"half {half} " if halves > 1 else ""
    return [prefix + name for name in SCORE_NAMES]


def admission(shape: Shape, key_id: str) -> Admission:
    """For `load_bundle`: refuses another key or shape from the header."""

    def admit(head: Head) -> None:
        require_key(head, key_id)
        shape.require(head)

    return admit


def _shape(plan: Plan, what: str, items: tuple[ItemHead, ...], facts: Mapping[str, Any]) -> Shape:
    room = plan.metadata.get(BATCH)
    place = None if room is None else (int(room["capacity"]), int(room["block"]))
    return Shape(what, plan.parameters_digest, items, facts, place)


def _items(plan: Plan, names: Sequence[str]) -> tuple[ItemHead, ...]:
    return tuple(ItemHead(n, plan.values[n].limbs, plan.values[n].scale) for n in names)


def _results(plan: Plan) -> dict[str, Any]:
    return {name: plan.metadata[name] for name in RESULT_FACTS}


def _require_fact(head: Head, name: str, wanted: Any) -> None:
    found = head.facts.get(name)
    if type(found) is type(wanted) and found == wanted:
        return
    if name == "plan":
        raise ParameterMismatch(f"{head.source}: was encrypted for another plan or architecture")
    if name == "normalisation":
        try:
            InverseRoot.from_description(found)
        except InverseRootError:
            raise Corrupt(f"{head.source}: does not say which normalisation was used") from None
        # A wider interval, claimed by the server, would let diverging results pass.
        raise ParameterMismatch(
            f"{head.source}: was normalised in another way than the client's keys were made for"
        )
    raise ShapeMismatch(f"{head.source}: {name} is {_number(found)}, expected {wanted}")


def _number(value: Any) -> str:
    """What a file says in place of a number, short."""
    return str(value) if type(value) is int else f"{value!r}"[:40]


def _size(item: ItemHead) -> str:
    return f"{item.limbs} limbs at scale {item.scale.hex()}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name[:40]}'" for name in names[:6])
    return f"{len(names)} ciphertexts ({shown}{', ...' if len(names) > 6 else ''})"
