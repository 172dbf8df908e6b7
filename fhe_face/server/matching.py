"""Which ciphertexts of two bundles of embeddings are compared with which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fhe_core.ciphertext import Ciphertext
from fhe_core.container import ParameterMismatch
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.formats.preparation import ENTRY as PREPARATION
from fhe_face.engine import Engine
from fhe_face.facts import require_same_preparation
from fhe_face.places import EMBEDDING, ENTRY, SCORE, Packing, Run, describe, runs_of
from fhe_face.senders import ENTRY as SENDERS
from fhe_face.senders import described, senders_of
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
    prepared = require_same_preparation(left.facts, right.facts)
    own = (ENTRY, REQUESTS, PREPARATION, SENDERS)
    rest = [{k: v for k, v in bundle.facts.items() if k not in own} for bundle in (left, right)]
    if rest[0] != rest[1]:
        raise ParameterMismatch("the embeddings come from different models or normalisations")
    ours, theirs = (runs_of(bundle.facts, engine.capacity) for bundle in (left, right))
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
        names = engine.item_names(SCORE, run)
        found.append(
            Comparison(
                *_items(left, one, engine), *_items(right, other, engine), run.packing, names
            )
        )
        requests += [tokens[0][places[0]], tokens[1][places[1]]]
    senders = [
        senders_of(name, bundle.facts, 1)[0]
        for name, bundle in (("the first embedding", left), ("the second embedding", right))
    ]
    facts = {**rest[0], **prepared, **described(senders)}
    facts |= {ENTRY: describe(runs), REQUESTS: requests}
    return found, facts


def _common(ours: Sequence[Run], theirs: Sequence[Run], engine: Engine) -> Sequence[Run]:
    """The runs of the scores: those of both, or of the one that one face is compared with."""
    if describe(ours) == describe(theirs):
        return ours
    for one, others in ((ours, theirs), (theirs, ours)):
        lone = describe(one) == [[Packing.ALONE.value, 1]]
        if lone and engine.alike(run.packing for run in (*one, *others)):
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


def _items(bundle: Bundle, run: Run, engine: Engine) -> tuple[Ciphertext, Ciphertext]:
    """Embedding and squared norm of a run."""
    embedding, norm = (bundle.items[name] for name in engine.item_names(EMBEDDING, run))
    return embedding, norm
