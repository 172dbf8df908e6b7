"""A gallery from its making to its end, with painted photos and a small ring."""

from __future__ import annotations

from pathlib import Path

from fhe_face.gallery.decisions import Answer
from tests.gallery.kit import (
    consistent,
    expected,
    face,
    make,
    people,
    photo,
    same_scores,
)


def test_enrol_and_identify(tmp_path: Path) -> None:
    with make(tmp_path / "g", names=True) as gallery:
        found = gallery.enroll(people(tmp_path / "photos", 5, 3))
        assert len(found.enrolled) == 15
        assert found.sealed == 5
        consistent(gallery)
        for match in ("encrypted", "local"):
            for person in range(5):
                (answer,) = gallery.identify(photo(face(person, 9)), match=match)
                assert answer.answer is Answer.MATCH
                assert answer.best is not None
                assert answer.best.name == f"person{person:02}"
            (stranger,) = gallery.identify(photo(face(30)), match=match)
            assert stranger.answer is not Answer.MATCH
        same_scores(gallery, expected(2, 9))
