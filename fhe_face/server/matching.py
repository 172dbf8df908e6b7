"""Which ciphertexts of two bundles of embeddings are compared with which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhe_core.ciphertext import Ciphertext
from fhe_core.container import ParameterMismatch
from fhe_core.formats.ciphertexts import Bundle
from fhe_face.engine import Engine
from fhe_face.facts import require_same_preparation
from fhe_face.places import EMBEDDING, ENTRY, SCORE, SCORE_NAMES, Packing, Run, describe, runs_of
from fhe_face.tokens import ENTRY as REQUESTS
from fhe_face.tokens import tokens_of


@dataclass(frozen=True)
class Comparison:
    """Two embeddings, their squared norms, and what score and norms are called."""

    left: Ciphertext
    left_norm: Ciphertext
    right: Ciphertext
    right_norm: Ciphertext
    packing: Packing
    names: list[str]


def matched(left: Bundle, right: Bundle, engine: Engine) -> tuple[list[Comparison], dict[str, Any]]:
    """All comparisons of two bundles, face by face, and the facts of their scores.

    Raises:
        ParameterMismatch: the bundles do not belong together; the text says why.
        Corrupt: one of them does not say how its faces are packed.
    """
    require_same_preparation(left.facts, right.facts)
    own = (ENTRY, REQUESTS)
    rest = [{k: v for k, v in bundle.facts.items() if k not in own} for bundle in (left, right)]
    if rest[0] != rest[1]:
        raise ParameterMismatch("the embeddings come from different models or normalisations")
    ours, theirs = (_runs(bundle, engine) for bundle in (left, right))
    runs = _common(ours, theirs, engine)
    tokens = [
        tokens_of(name, bundle.facts, len(one))
        for name, bundle, one in (
            ("the first embedding", left, ours),
            ("the second embedding", right, theirs),
        )
    ]
    found: list[Comparison] = []
    requests: list[str] = []
    for number, run in enumerate(runs):
        places = [number if len(one) == len(runs) else 0 for one in (ours, theirs)]
        one, other = ours[places[0]], theirs[places[1]]
        found += _compared(left, one, right, other, run, engine)
        requests += [tokens[0][places[0]], tokens[1][places[1]]]
    return found, {**rest[0], ENTRY: describe(runs), REQUESTS: requests}


def _runs(bundle: Bundle, engine: Engine) -> list[Run]:
    return [one for run in runs_of(bundle.facts, engine.capacity) for one in run.singly()]


def _common(ours: list[Run], theirs: list[Run], engine: Engine) -> list[Run]:
    """The runs of the scores: those of both, or of the one that one face is compared with."""
    if describe(ours) == describe(theirs):
        return ours
    for one, others in ((ours, theirs), (theirs, ours)):
        lone = describe(one) == [[Packing.ALONE.value, 1]]
        if lone and engine.alike(run.packing for run in one + others):
            return others
    counts = [sum(run.faces for run in runs) for runs in (ours, theirs)]
    if counts[0] != counts[1]:
        raise ParameterMismatch(
            f"bundles of {counts[0]} and {counts[1]} faces; a match compares as many with each "
            "other, or one face that was computed alone with all"
        )
    raise ParameterMismatch(
        "the faces of one bundle were computed in batches, those of the other were not or in "
        "others: compute both in the same way, or compare decrypted embeddings"
    )


def _compared(
    left: Bundle, one: Run, right: Bundle, other: Run, run: Run, engine: Engine
) -> Iterator[Comparison]:
    """An embedding and its squared norm lie side by side; a batch has two of them."""
    ours, theirs = _items(left, one, engine), _items(right, other, engine)
    names = engine.item_names(SCORE, run)
    step = len(SCORE_NAMES)
    for number in range(len(names) // step):
        mine, their = (items[number % len(items)] for items in (ours, theirs))
        yield Comparison(*mine, *their, run.packing, names[step * number : step * (number + 1)])


def _items(bundle: Bundle, run: Run, engine: Engine) -> list[tuple[Ciphertext, Ciphertext]]:
    """(embedding, squared norm) of a run, once for each half of a batch."""
    items = [bundle.items[name] for name in engine.item_names(EMBEDDING, run)]
    return list(zip(items[::2], items[1::2], strict=True))
