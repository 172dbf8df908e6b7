"""Two faces to an answer, and what it took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fhe_core.formats.ciphertexts import Bundle
from fhe_core.formats.preparation import ENTRY
from fhe_face.client.verification import SAID, Verification, compare, sentence
from fhe_face.facts import require_same_preparation
from fhe_face.failures import UsageError
from fhe_face.models.thresholds import Thresholds, Verdict
from fhe_face.photos.preparation import PreparedFace
from fhe_face.studio.engine import Computed, Engine, Facts, precision_bits
from fhe_face.studio.jobs import Job
from fhe_face.studio.photos import Look
from fhe_face.studio.pictures import PNG, Pictures, noise
from fhe_face.studio.progress import Side
from fhe_face.studio.readiness import Readiness
from fhe_face.studio.scale import Scale
from fhe_face.system import seconds, size

#: What every comparison measures, and how it is explained before that.
_EXPECTED: Final = (
    ("Time", "most of it on encrypted faces"),
    ("Sent to the server", "two encrypted faces"),
    ("Sent back", "two encrypted embeddings"),
    ("Precision", "agreement with the same in the clear"),
)


@dataclass(frozen=True)
class Fact:
    """A name, a value, and what it means, for people."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """verdict: for colours; words: the answer; meaning: with numbers; server_saw: None where it
    was computed in the clear."""

    verdict: str
    words: str
    meaning: str
    scale: Scale
    facts: tuple[Fact, ...]
    caution: str | None
    encrypted: bool


@dataclass(frozen=True)
class Comparing:
    """Compares looks for the page."""

    engine: Engine
    readiness: Readiness
    pictures: Pictures

    @property
    def known(self) -> tuple[Fact, ...]:
        """What is so before anything is computed."""
        return _known(self.engine.facts)

    @property
    def expected(self) -> tuple[Fact, ...]:
        """All facts, as long as nothing is measured."""
        return (*(Fact(name, "\N{EM DASH}", note) for name, note in _EXPECTED), *self.known)

    @property
    def scale(self) -> Scale | None:
        """Without a score; None where the weights have no thresholds."""
        limits = self.engine.thresholds
        return None if limits is None else Scale.of(None, limits.different_below, limits.same_from)

    def run(self, job: Job, looks: Sequence[Look], encrypted: bool) -> Answer:
        """The answer for two photos; the work of a job.

        Raises:
            UnhealthyResultError: a face has no embedding; the text names its photo.
            UsageError: the weights have no thresholds. What the engine raises.
        """
        thresholds = self.engine.thresholds
        if thresholds is None:
            raise UsageError(
                "these weights have no thresholds, so nothing tells same from different: "
                "fhe-face evaluate --set-thresholds measures some"
            )
        faces = [look.face for look in looks]
        require_same_preparation(*({ENTRY: face.preparation.describe()} for face in faces))
        if not encrypted:
            return self._clear(job, faces, looks, thresholds)
        self.readiness.wait(job)
        started = time.perf_counter()
        found = self.engine.encrypted(faces, job.tell, lambda bundle: self._show(job, bundle))
        took = time.perf_counter() - started
        clear = self.engine.in_the_clear(faces)
        one = compare(found.results[0], found.results[1], thresholds, _names(looks))
        facts = (*_measured(found, took, precision_bits(found.results, clear)), *self.known)
        return self._answer(one, facts, encrypted=True)

    def _clear(
        self, job: Job, faces: Sequence[PreparedFace], looks: Sequence[Look], limits: Thresholds
    ) -> Answer:
        started = time.perf_counter()
        job.tell(Side.CLIENT, "computing in the clear", 0, 0)
        left, right = self.engine.in_the_clear(faces)
        took = Fact("Time", seconds(time.perf_counter() - started), "in the clear, here")
        answer = compare(left, right, limits, _names(looks))
        return self._answer(answer, (took, *self.expected[1:]), encrypted=False)

    def _answer(self, found: Verification, facts: tuple[Fact, ...], encrypted: bool) -> Answer:
        return Answer(
            found.verdict.value.replace(" ", "-"),
            SAID[found.verdict].capitalize(),
            _explained(found),
            Scale.of(found.cosine, found.thresholds.different_below, found.thresholds.same_from),
            facts,
            self.engine.facts.caution,
            encrypted,
        )

    def _show(self, job: Job, bundle: Bundle) -> None:
        job.noise = self.pictures.keep(PNG, noise(bundle))
        job.sent = len(bundle.items)


def _names(looks: Sequence[Look]) -> tuple[str, str]:
    return looks[0].name, looks[1].name


def _explained(found: Verification) -> str:
    """The sentence after the verdict's words."""
    text = sentence(found.cosine, found.thresholds).partition(": ")[2]
    closing = " Neither answer would be safe." if found.verdict is Verdict.NOT_SURE else ""
    return f"{text[:1].upper()}{text[1:]}.{closing}"


def _measured(found: Computed, took: float, bits: float | None) -> tuple[Fact, ...]:
    precision = "unknown" if bits is None else f"{bits:.1f} bits"
    again = "one request" if found.rounds == 1 else f"{found.rounds} requests"
    return (
        Fact("Time", seconds(took), f"{seconds(found.seconds)} of it on encrypted faces"),
        Fact("Sent to the server", size(found.sent), f"two encrypted faces, {again}"),
        Fact("Sent back", size(found.received), "two encrypted embeddings"),
        Fact("Precision", precision, "agreement with the same in the clear"),
    )


def _known(engine: Facts) -> tuple[Fact, ...]:
    """What is so before anything is computed."""
    bits = engine.security_bits
    modulus = f"modulus of {engine.log2_qp:,.0f} bits, set {engine.ring}"
    security = Fact("Security", "none", "a small ring, for tests only")
    if bits is not None:
        security = Fact(
            "Security", f"{bits:.0f} bits", "gates of the cheapest known attack, as a power of 2"
        )
    return (
        security,
        Fact("Ring", f"N = {engine.ring_dimension:,}", modulus),
        Fact("Evaluation keys", size(engine.key_bytes), "made once, known to the server"),
        Fact("Network", engine.weights, "its weights, known to both"),
    )
