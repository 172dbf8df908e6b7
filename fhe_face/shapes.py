"""What images, embeddings and scores look like, from the reader's own plans.

Both sides compare a file with this from its header, before anything in it is read. What a file
says of itself is never believed: a result that may say how many faces a batch holds, or how long an
embedding is, turns every slot into an answer about the secret key (docs/security.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhe_core.container import Corrupt, KeyMismatch, ParameterMismatch, WrongKind
from fhe_core.formats.heads import Head, ItemHead
from fhe_core.normalisation import Normalisation, NormalisationError
from fhe_core.runtime.native import SCALE_TOLERANCE
from fhe_face.engine import Engine
from fhe_face.places import IMAGE, SCORE, Packing, Run, runs_of

#: What of a plan's metadata travels with a result.
RESULT_FACTS = ("normalisation", "embedding")


class ShapeMismatch(Corrupt):
    """A bundle does not look like what the reader's own plans give; the text says what does."""

    code = "shape-mismatch"


def items_of(engine: Engine, what: str, run: Run) -> list[ItemHead]:
    """The ciphertexts of a run, in the order of their plan."""
    plan = engine.of(run.packing).plan
    values = [plan.values[name] for name in (plan.inputs if what == IMAGE else plan.outputs)]
    if what == SCORE:
        match = engine.match(run.packing)
        (score,) = (match.values[name] for name in match.outputs)
        values = [score, values[1], values[1]]
    return [
        ItemHead(name, value.level, value.scale)
        for name, value in zip(engine.item_names(what, run), values, strict=True)
    ]


def require_shape(head: Head, what: str, engine: Engine) -> tuple[Run, ...]:
    """Compare a bundle with the plans; returns its runs, which are possible ones.

    Raises:
        WrongKind: another kind; ShapeMismatch: other ciphertexts than those of the runs.
        ParameterMismatch: other parameters, or another normalisation or plan.
    """
    if head.what != what:
        raise WrongKind(
            f"{head.source}: expected an encrypted {what}, got an encrypted {head.what}"
        )
    if head.parameters.digest != engine.parameters.digest:
        raise ParameterMismatch(
            f"{head.source}: made with parameters '{head.parameters.name}', not with those of "
            "the key's plan"
        )
    runs = _runs(head, engine)
    for packing in {run.packing for run in runs}:
        _require_packing(head, packing, engine)
        if what == IMAGE:
            _require_plan(head, packing, engine)
    _require_items(head, [item for run in runs for item in items_of(engine, what, run)])
    if what != IMAGE:
        metadata = engine.of(runs[0].packing).plan.metadata
        for name in RESULT_FACTS:
            _require_fact(head, name, metadata[name])
    return runs


def require_key(head: Head, key_id: str) -> None:
    """Raise KeyMismatch for a bundle of another key."""
    if head.key_id != key_id:
        raise KeyMismatch(f"{head.source}: belongs to key {head.key_id[:8]}, not to {key_id[:8]}")


def _runs(head: Head, engine: Engine) -> tuple[Run, ...]:
    try:
        return runs_of(head.facts, engine.capacity)
    except Corrupt as error:
        raise ShapeMismatch(f"{head.source}: {error}") from None


def _require_packing(head: Head, packing: Packing, engine: Engine) -> None:
    if packing not in engine.packings:
        known = ", ".join(one.value for one in engine.packings)
        raise ParameterMismatch(
            f"{head.source}: the faces are packed as '{packing.value}', the keys are for {known} "
            "(fhe-face keygen --batch makes keys for batches)"
        )


def _require_plan(head: Head, packing: Packing, engine: Engine) -> None:
    plans = head.facts.get("plans")
    said = plans.get(packing.value) if isinstance(plans, Mapping) else None
    if said != engine.of(packing).plan.digest:
        raise ParameterMismatch(f"{head.source}: was encrypted for another plan or architecture")


def _require_items(head: Head, wanted: Sequence[ItemHead]) -> None:
    """By name: the order does not matter."""
    found = {item.name: item for item in head.items}
    if found.keys() != {item.name for item in wanted} or len(head.items) != len(wanted):
        names = [[item.name for item in items] for items in (head.items, wanted)]
        raise ShapeMismatch(
            f"{head.source}: holds {_listed(names[0])}, expected {_listed(names[1])} of an "
            f"encrypted {head.what}"
        )
    for own in wanted:
        item = found[own.name]
        fits = abs(item.scale / own.scale - 1) <= SCALE_TOLERANCE  # NaN does not
        if item.level != own.level or not fits:
            raise ShapeMismatch(
                f"{head.source}: '{own.name}' has {_size(item)}, expected {_size(own)}"
            )


def _require_fact(head: Head, name: str, wanted: Any) -> None:
    found = head.facts.get(name)
    if type(found) is type(wanted) and found == wanted:
        return
    if name == "normalisation":
        try:
            Normalisation.from_description(found)
        except NormalisationError:
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
    return f"level {item.level} at scale {item.scale.hex()}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name[:40]}'" for name in names[:4])
    return f"{len(names)} ciphertexts ({shown}{', ...' if len(names) > 4 else ''})"
