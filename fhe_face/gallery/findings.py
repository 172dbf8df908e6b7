"""Who a face is that a server looked up by itself: health first, then scores by its length.

The server's vector is e p(y), whose length the normalisation only makes about one. It says that
length itself, as the inner product with itself; scores are divided by it, so that they are cosines
with templates of length one. Nothing of this is believed: the squared norm y must lie in the
polynomial's interval, and the length must be the one that follows from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fhe_core import container
from fhe_core.container import Kind
from fhe_core.formats.switching import findings_facts, findings_from_bytes
from fhe_core.matching import AnswerMismatch, Asked, masks_digest
from fhe_core.matching.answers import answers_of
from fhe_core.matching.crossed import Findings, token_of
from fhe_core.matching.values import Mask
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from fhe_core.secret.switching import open_norm, open_products
from fhe_face.client.health import HealthReport, check_embedding
from fhe_face.client.ledger import Ledger
from fhe_face.gallery.crossing import Crossing, Waiting, crossing_of, length_of
from fhe_face.gallery.identification import Finder
from fhe_face.gallery.index import Found, Place, Snapshot
from fhe_face.gallery.opened import Opened
from fhe_face.gallery.ranking import TOP, Identified, by_subject, ranked
from fhe_face.models.templates import Array

#: The largest cosine that noise leaves: as `index`, with that of a probe of the server's own.
LARGEST: Final = 1.05


@dataclass(frozen=True)
class Beside:
    """A face that waits, and how alike the face that was looked up is. score: a cosine."""

    face: str
    subject: str
    score: float


@dataclass(frozen=True, eq=False)
class Answered:
    """What is said about a face. unsearched: people who had no place in what was searched."""

    identified: Identified
    waiting: tuple[Beside, ...] = ()
    unsearched: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return {
            **self.identified.to_json(),
            "waiting": [vars(one) for one in self.waiting],
            "unsearched": self.unsearched,
        }


@dataclass(frozen=True, eq=False)
class Judged:
    """Findings after the checks of health. length: of the server's vector."""

    report: HealthReport
    length: float


def judge(key: SecretKey, crossing: Crossing, found: Findings) -> Judged:
    """Whether findings may be used: the same checks as for an embedding, of its length alone.

    key: the gallery's.
    """
    squared = open_products(key, crossing.plan, found.products[:1])[0]
    length = float(np.sqrt(max(squared, 0.0)))
    norm = open_norm(key, crossing.plan, found.norm)
    return Judged(check_embedding(np.array([length]), norm, crossing.normalisation), length)


def read_findings(
    opened: Opened, snapshot: Snapshot, data: bytes, request: str | None = None
) -> tuple[Findings, list[Place]]:
    """Findings of blocks that the gallery has; request: the token of the face that was meant.

    Raises:
        AnswerMismatch: they are of another face, or of blocks that there are not.
        StaleAnswer: other positions were live for the server.
        ContainerError: they are damaged, or another gallery's.
    """
    name = "the server's findings"
    with container.loads(data, name=name, expect_kind=Kind.FINDINGS) as reader:
        token, blocks, _ = findings_facts(reader.header)
    if request is not None and token != token_of(request):
        raise AnswerMismatch(f"{name}: are of another face than the one that was sent")
    searched = set(blocks)
    chosen = [place for place in snapshot.places if place.digest in searched]
    if len(searched) != len(blocks) or len(chosen) != len(searched):
        raise AnswerMismatch(
            f"{name}: are of blocks that the gallery does not have; where it has changed since, "
            "search again"
        )
    digests, masks = [p.digest for p in chosen], masks_digest([p.live for p in chosen])
    asked = Asked(opened.parameters, opened.key.key_id, token, tuple(digests), masks)
    return findings_from_bytes(data, asked, name), chosen


def answer(
    finder: Finder,
    ledger: Ledger,
    data: bytes,
    waiting: Sequence[Waiting] = (),
    *,
    request: str | None = None,
    top: int = TOP,
) -> Answered:
    """Who a face is, by a server's findings; waiting: the faces that wait, judged.

    Counted as one answer of the gallery's key before anything is opened.

    Raises:
        GalleryError: the gallery has no thresholds or no switching key.
        AnswerLimitError, AnswerMismatch, StaleAnswer, ContainerError: as above.
    """
    opened, decision = finder.opened, finder.decision()
    crossing, snapshot = crossing_of(opened), finder.index.snapshot()
    found, places = read_findings(opened, snapshot, data, request)
    names = 2 * opened.store.counts().subjects + 1
    ledger.spend(hashlib.sha256(data).digest(), answers_of(names))
    judged = judge(opened.key, crossing, found)
    if not judged.report.healthy:
        return Answered(Identified(1, None, None, (), judged.report.message))
    scores = _cosines(opened, crossing, found, places, judged.length)
    answer_, candidates = ranked(
        by_subject(scores, finder.subjects_of_templates()), decision, top, finder.name_of
    )
    missing = sum(len(p.owners) for p in snapshot.places) - len(scores.owners)
    return Answered(
        Identified(1, None, answer_, candidates),
        _beside(opened, crossing, found, waiting, judged.length),
        missing + len(snapshot.pending),
    )


def _cosines(
    opened: Opened, crossing: Crossing, found: Findings, places: Sequence[Place], length: float
) -> Found:
    owners = tuple(owner for place in places for owner in place.owners)
    if not places:
        return Found((), np.zeros(0))
    live = [place.live for place in places]
    scores = np.concatenate(cosines(opened.sealer, crossing, found, live, length))
    _require_cosines(scores)
    return Found(owners, scores)


def _require_cosines(scores: Sequence[float] | Array) -> None:
    if np.max(np.abs(scores), initial=0.0) > LARGEST:
        raise AnswerMismatch("the scores are larger than any of this gallery can be")


def cosines(
    sealer: Sealer, crossing: Crossing, found: Findings, live: Sequence[Mask], length: float
) -> list[Array]:
    """Of the live positions of every block. length: of the server's vector, from `judge`."""
    if not live:
        return []
    rows = sealer.open_words(found.scores.words) / (crossing.plan.probe_share * length)
    return [row[mask] for row, mask in zip(rows, live, strict=True)]


def _beside(
    opened: Opened,
    crossing: Crossing,
    found: Findings,
    waiting: Sequence[Waiting],
    length: float,
) -> tuple[Beside, ...]:
    """Healthy faces that wait, most alike first."""
    known = {one.digest: one for one in waiting if one.healthy}
    products = open_products(opened.key, crossing.plan, found.products[1:])
    told = [
        Beside(digest, known[digest].subject, float(product) / (length * length_of(known[digest])))
        for digest, product in zip(found.waiting, products, strict=True)
        if digest in known
    ]
    _require_cosines([one.score for one in told])
    return tuple(sorted(told, key=lambda one: -one.score))
