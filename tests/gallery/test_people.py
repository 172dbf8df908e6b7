"""What happens to people and templates: all of it at once, and the index stays the matrix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.errors import GalleryError, UnknownSubject
from fhe_face.gallery.gallery import Gallery
from fhe_face.store import StoreError
from tests.gallery.kit import Painted, consistent, face, make, people, photo, save


@pytest.fixture(params=["mean", "each"])
def gallery(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gallery]:
    """Five people with three photos each, names kept."""
    with make(tmp_path / "g", names=True, template=request.param) as made:
        made.enroll(people(tmp_path / "photos", 5, 3))
        yield made
        consistent(made)


def who(gallery: Gallery, person: int) -> str | None:
    """The name that a new photo of a person gets, or None."""
    (found,) = gallery.identify(photo(face(person, 9)))
    return found.best.name if found.best else None


def test_deleted_people_are_not_found_and_come_back(gallery: Gallery) -> None:
    assert gallery.delete(["person02"]) == 1
    assert who(gallery, 2) is None
    assert who(gallery, 3) == "person03"
    assert "person02" not in {one.name for one in gallery.subjects()}
    assert "person02" in {one.name for one in gallery.subjects(include_deleted=True)}
    with pytest.raises(GalleryError, match="deleted: undelete it first"):
        gallery.verify(photo(face(2, 9)), "person02")
    assert gallery.undelete(["person02"]) == 1
    assert who(gallery, 2) == "person02"


def test_deleted_templates_change_what_is_searched(gallery: Gallery) -> None:
    ids = [row.id for row in gallery.templates("person01")]
    assert gallery.delete(templates=ids[:2]) == 2
    assert [row.id for row in gallery.templates("person01")] == ids[2:]
    assert gallery.subject("person01").templates == 1
    assert who(gallery, 1) == "person01"
    gallery.delete(templates=ids[2:])
    assert who(gallery, 1) is None
    assert gallery.undelete(templates=ids) == 3
    assert who(gallery, 1) == "person01"


def test_moved_templates_belong_to_somebody_else(gallery: Gallery) -> None:
    ids = [row.id for row in gallery.templates("person01")]
    gallery.move(ids, "person04")
    assert gallery.subject("person04").templates == 6
    assert gallery.subject("person01").templates == 0
    assert who(gallery, 1) == "person04"
    gallery.move(ids, "somebody new")
    assert who(gallery, 1) == "somebody new"


def test_templates_are_found_by_beginnings_and_photos(gallery: Gallery, tmp_path: Path) -> None:
    row = gallery.templates("person00")[1]
    assert gallery.find_templates(row.id) == [row.id]
    assert gallery.find_templates(row.id[:12]) == [row.id]
    file = tmp_path / "photos" / "person00" / "1.png"
    assert gallery.find_templates(str(file)) == [row.id]
    for wrong in ("", "zzzz", str(tmp_path / "missing.png")):
        with pytest.raises(UnknownSubject):
            gallery.find_templates(wrong)
    other = save(tmp_path / "other.png", photo(face(9)))
    with pytest.raises(UnknownSubject, match="no face of this photo"):
        gallery.find_templates(str(other))


def test_renamed_people_keep_their_ids(gallery: Gallery, tmp_path: Path) -> None:
    id = gallery.subject("person03").id
    gallery.rename("person03", "Anna Müller")
    assert gallery.subject("Anna Müller").id == id
    assert gallery.subject("person03").id == id, "by the name that it was enrolled with"
    assert who(gallery, 3) == "Anna Müller"
    with pytest.raises(GalleryError, match="somebody else is, or was, called"):
        gallery.rename("Anna Müller", "person01")
    save(tmp_path / "more" / "Anna Müller" / "7.png", photo(face(3, 7)))
    save(tmp_path / "more" / "person03" / "8.png", photo(face(3, 8)))
    gallery.enroll(tmp_path / "more")
    assert gallery.subject("Anna Müller").templates == 5
    assert len(list(gallery.subjects())) == 5


def test_merged_people_are_one(gallery: Gallery, tmp_path: Path) -> None:
    gallery.merge(["person00", "person01"], "person02")
    assert gallery.subject("person02").templates == 9
    assert gallery.subject("person00").id == gallery.subject("person02").id
    assert {one.name for one in gallery.subjects()} == {"person02", "person03", "person04"}
    found = gallery.enroll(people(tmp_path / "photos", 1, 4))
    assert len(found.enrolled) == 1
    assert not found.conflicting
    assert gallery.subject("person02").templates == 10
    with pytest.raises(GalleryError, match="two different people"):
        gallery.merge(["person00"], "person02")


def test_unknown_people_are_named(gallery: Gallery) -> None:
    for act in (gallery.subject, gallery.templates, lambda one: gallery.delete([one])):
        with pytest.raises(UnknownSubject, match="no subject 'nobody'"):
            act("nobody")
    gallery.delete(["person00"])
    with pytest.raises(StoreError, match="deleted"):
        gallery.move([gallery.templates("person01")[0].id], "person00")
    gallery.undelete(["person00"])


def test_verify(gallery: Gallery) -> None:
    for match in ("encrypted", "local"):
        right = gallery.verify(photo(face(2, 9)), "person02", match=match)
        assert right.answer is Answer.MATCH
        assert right.name == "person02"
        assert right.threshold == 0.5
        wrong = gallery.verify(photo(face(3, 9)), "person02", match=match)
        assert wrong.answer is Answer.UNKNOWN
    if gallery.facts.mode.value == "each":
        assert right.mean < right.score
    else:
        assert right.mean == right.score


def test_names_are_opaque_unless_kept(tmp_path: Path) -> None:
    with make(tmp_path / "g2") as gallery:
        gallery.enroll(people(tmp_path / "photos", 2, 2))
        (one, two) = gallery.subjects()
        assert one.name is None
        assert len(one.id) == 32
        assert gallery.subject("person01").id == two.id
        with pytest.raises(GalleryError, match="keeps no names"):
            gallery.rename("person01", "x")
        (found,) = gallery.identify(photo(face(1, 9)))
        assert found.best is not None
        assert (found.best.subject, found.best.name) == (two.id, None)
    for file in (tmp_path / "g2").rglob("*"):
        assert not file.is_file() or b"person0" not in file.read_bytes()
    with make(tmp_path / "g3", names=True) as gallery:
        gallery.enroll(people(tmp_path / "photos", 2, 2))
    for file in (tmp_path / "g3").rglob("*"):
        assert not file.is_file() or b"person0" not in file.read_bytes()


def test_callers_own_ids(tmp_path: Path) -> None:
    with make(tmp_path / "g", names=True) as gallery:
        gallery.enroll(photo(face(1)), subject="Anna", subject_id="employee-17")
        gallery.enroll(photo(face(1, 1)), subject_id="employee-17")
        (one,) = gallery.subjects()
        assert (one.id, one.name, one.templates) == ("employee-17", "Anna", 2)
        gallery.enroll(photo(face(1, 2)), subject="Anna")
        assert gallery.subject("Anna").templates == 3
        with pytest.raises(GalleryError, match="1 to 64 of the characters"):
            gallery.enroll(photo(face(2)), subject_id="a b")


def test_callers_own_template_ids(tmp_path: Path) -> None:
    one, two = (save(tmp_path / f"{n}.png", photo(face(n), face(n + 1))) for n in (1, 5))
    with make(tmp_path / "g") as gallery:
        found = gallery.enroll(one, subject="Anna", template_id="badge.1")
        assert [done.template for done in found.enrolled] == ["badge.1"]
        gallery.enroll(two, template_id="badge.2")
        assert gallery.counts()["templates"] == 2, "only the largest face"
        assert gallery.find_templates("badge.1") == ["badge.1"]
        assert gallery.find_templates(str(two)) == ["badge.2"]
        assert len(gallery.enroll([one, two], subject="Anna").known) == 1
        assert len(gallery.enroll(one, template_id="badge.9").known) == 1
        again = gallery.enroll(photo(face(9)), template_id="badge.1")
        assert not again.enrolled
        assert "badge.1" in again.refused[0].reason
        for wrong in ("", "a b", "x" * 65):
            with pytest.raises(GalleryError, match="1 to 64"):
                gallery.enroll(photo(face(2)), template_id=wrong)
        with pytest.raises(GalleryError, match="one template id for 2 photos"):
            gallery.enroll([one, two], template_id="x")
        done = gallery.rebuild([one, two], embedder=Painted(model="cd" * 32), thresholds=(0.3, 0.5))
        assert (done.embedded, done.missing) == (2, [])
        consistent(gallery)
