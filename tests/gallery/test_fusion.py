"""Two models, one answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fhe_face.client.decryption import Embedding
from fhe_face.client.health import Cause, HealthReport
from fhe_face.gallery.decisions import Answer, Decision
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.fusion import Vote, disagreement, fused, identify_fused
from fhe_face.photos.preparation import PreparedFace
from tests.gallery.kit import INTERVAL, Painted, face, make, people, photo


def test_scores_and_thresholds_are_weighted_means() -> None:
    votes = [
        Vote(3.0, Decision(0.5, 0.3, 0.1), {"anna": 0.8, "ben": 0.0}),
        Vote(1.0, Decision(0.9, 0.7, 0.2), {"anna": 0.4, "carl": 0.2}),
    ]
    scores, decision = fused(votes)
    assert dict(zip(scores.subjects, scores.scores.tolist(), strict=True)) == pytest.approx(
        {"anna": 0.7, "ben": 0.1, "carl": -0.1}
    )  # the middles of the thresholds: 0.4, 0.8, and 0.5 of both
    assert decision.same_from == pytest.approx(0.6)
    assert decision.different_below == pytest.approx(0.4)
    with pytest.raises(GalleryError, match="weighs anything"):
        fused([])


def test_somebody_of_one_gallery_has_its_thresholds() -> None:
    """A cosine that is no match in the only gallery that knows somebody is none of both."""
    lenient, strict = Decision(0.3, 0.2, 0.1), Decision(0.9, 0.8, 0.1)
    for score, wanted in ((0.95, Answer.MATCH), (0.85, Answer.UNCERTAIN), (0.7, Answer.UNKNOWN)):
        scores, decision = fused([Vote(1.0, lenient, {}), Vote(1.0, strict, {"carl": score})])
        assert decision.answer(float(scores.scores[0])) is wanted is strict.answer(score)


@pytest.mark.parametrize(
    ("one", "two", "told"),
    [
        ({"anna": 0.9, "ben": 0.1}, {"anna": 0.1, "ben": 0.9}, "a says anna, b says ben"),
        ({"anna": 0.9, "ben": 0.1}, {"anna": 0.1, "ben": 0.2}, "a says anna, b says unknown"),
        ({"anna": 0.1, "ben": 0.2}, {"anna": 0.1, "ben": 0.8}, "b says ben, a says unknown"),
        ({"anna": 0.9, "ben": 0.1}, {"anna": 0.8, "ben": 0.1}, None),
        ({"anna": 0.9, "ben": 0.1}, {"anna": 0.4, "ben": 0.1}, None),
        ({"anna": 0.9, "ben": 0.1}, {"ben": 0.1}, None),
        ({"anna": 0.9}, {}, None),
        ({"anna": 0.1}, {"anna": 0.2}, None),
    ],
)
def test_disagreement(one: dict[str, float], two: dict[str, float], told: str | None) -> None:
    decision = Decision(0.5, 0.3, 0.1)
    votes = [Vote(1.0, decision, one, "a"), Vote(1.0, decision, two, "b")]
    found = disagreement(votes)
    assert found == (told and f"the galleries disagree: {told}")


def test_two_galleries_say_that_they_disagree(tmp_path: Path) -> None:
    with (
        make(tmp_path / "g", Painted(spread=0.1), names=True) as one,
        make(tmp_path / "h", Painted(model="cd" * 32, spread=0.1), names=True) as two,
    ):
        one.enroll(photo(face(1, 0)), subject="ann")
        two.enroll(photo(face(1, 0)), subject="bob")
        (found,) = identify_fused(photo(face(1, 9)), [(one, 1.0), (two, 1.0)])
        assert any("g says ann, h says bob" in warning for warning in found.warnings)


class Sick(Painted):
    """Refuses everybody but person 1."""

    def embed(self, faces: Sequence[PreparedFace], /) -> list[Embedding | HealthReport]:
        report = HealthReport((1e9,), INTERVAL, ("diverged",), Cause.OWN)
        return [
            result if round(float(one.unit[0, 0, 0] + 1) * 127.5) == 1 else report
            for one, result in zip(faces, super().embed(faces), strict=True)
        ]


@pytest.mark.parametrize("match", ["encrypted", "local"])
def test_an_unhealthy_model_weighs_nothing(tmp_path: Path, match: str) -> None:
    folder = people(tmp_path / "p", 3, 2)
    with (
        make(tmp_path / "g", Painted(spread=0.5), names=True) as one,
        make(tmp_path / "h", Painted(model="cd" * 32, spread=0.1), names=True) as two,
    ):
        one.enroll(folder)
        two.enroll(folder)
        both = [(one, 1.0), (two, 2.0)]
        group = photo(face(1, 9), face(2, 9))
        first, second = identify_fused(group, both, match=match)  # type: ignore[arg-type]
        assert first.best is not None
        assert first.best.subject == "person01"
        assert second.best is not None
        assert second.best.subject == "person02"
        alone = [g.identify(group, match="local")[0].candidates[0].score for g, _ in both]
        mean = (alone[0] + 2 * alone[1]) / 3
        assert first.candidates[0].score == pytest.approx(mean, abs=1e-3)
        two._embedder = Sick(model="cd" * 32, spread=0.1)
        first, second = identify_fused(group, both)
        assert first.candidates[0].score == pytest.approx(mean, abs=1e-3)
        own = one.identify(group)[1]
        assert second.candidates[0].score == pytest.approx(own.candidates[0].score, abs=1e-3)
        assert second.answer is own.answer is Answer.MATCH
        assert second.warnings == ("weighs nothing here: h: diverged",)
        one._embedder = Sick(spread=0.5)
        _, second = identify_fused(group, both)
        assert second.answer is None
        assert second.reason == "g: diverged; h: diverged"


def test_people_are_one_by_own_ids(tmp_path: Path) -> None:
    with (
        make(tmp_path / "g") as one,
        make(tmp_path / "h", Painted(model="cd" * 32)) as two,
    ):
        for gallery in (one, two):
            gallery.enroll(photo(face(1)), subject_id="seventeen")
            gallery.enroll(photo(face(2)), subject="no id of their own")
        (found,) = identify_fused(photo(face(1, 9)), [(one, 1.0), (two, 1.0)])
        assert found.best is not None
        assert found.best.subject == "seventeen"
        assert len(found.candidates) == 3, "the other one has an id of each gallery"


def test_weights_and_faces_must_fit(tmp_path: Path) -> None:
    with make(tmp_path / "g") as gallery:
        for wrong in ([], [(gallery, 0.0)], [(gallery, np.nan)], [(gallery, np.inf)]):
            with pytest.raises(GalleryError, match="weight above 0"):
                identify_fused(photo(face(1)), wrong)
