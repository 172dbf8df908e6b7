"""Enrolment: what is new, what was there, what cannot be, and what an interruption leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fhe_core.files import FileError
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import HealthReport
from fhe_face.gallery.errors import GalleryError, OtherModel
from fhe_face.gallery.gallery import Gallery
from fhe_face.gallery.report import Enrolment, Progress, Why
from fhe_face.photos.preparation import PreparedFace
from tests.gallery.kit import (
    Painted,
    consistent,
    face,
    make,
    people,
    photo,
    reopen,
    save,
)


def test_a_second_run_embeds_only_what_is_new(tmp_path: Path) -> None:
    embedder = Painted()
    with make(tmp_path / "g", embedder, names=True) as gallery:
        gallery.enroll(people(tmp_path / "photos", 3, 2))
        assert sum(embedder.calls) == 6
        again = gallery.enroll(people(tmp_path / "photos", 3, 3))
        assert sum(embedder.calls) == 9
        assert len(again.enrolled) == 3
        assert len(again.known) == 6
        consistent(gallery)
    moved = tmp_path / "photos" / "person00" / "renamed.png"
    (tmp_path / "photos" / "person00" / "0.png").rename(moved)
    with reopen(tmp_path / "g", embedder) as gallery:
        assert not gallery.enroll(tmp_path / "photos").enrolled, "the content counts, not the name"
    assert sum(embedder.calls) == 9


def test_everything_that_cannot_be_enrolled_is_listed(tmp_path: Path) -> None:
    folder = people(tmp_path / "photos", 2, 2)
    save(folder / "person00" / "diverges.png", photo(face(0, 8, diverges=True)))
    save(folder / "person00" / "nobody.png", photo(face(0) * 0))
    (folder / "person00" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (folder / "person00" / "notes.txt").write_text("text")
    save(folder / "person01" / "crop.png", face(1, 5))
    save(folder / "person01" / "copy.png", photo(face(1, 0)))
    save(folder / "person01" / "of the other.png", photo(face(0, 1)))
    save(folder / "person01" / "deeper" / "x.png", photo(face(1, 6)))
    save(folder / "beside.png", photo(face(3)))
    with make(tmp_path / "g", names=True) as gallery:
        found = gallery.enroll(folder)
        whys = {Path(one.photo).name: one.why for one in found.refused}
        assert whys == {
            "diverges.png": Why.DIVERGED,
            "nobody.png": Why.NO_FACE,
            "broken.png": Why.UNREADABLE,
            "crop.png": Why.OTHER_PREPARATION,
        }
        assert all(one.reason for one in found.refused)
        assert "outside [100, 3000]" not in found.summary()
        assert [Path(one.photo).name for one in found.repeated] == ["copy.png"]
        assert [Path(one.photo).name for one in found.conflicting] == ["of the other.png"]
        told = " ".join(found.remarks)
        for part in ("not looked into", "lies beside the people's folders", "1 other file"):
            assert part in told
        assert len(found.enrolled) == 4
        assert found.to_json()["refused"][0]["why"] in {why.value for why in Why}
        consistent(gallery)
        again = gallery.enroll(folder)
        assert not again.enrolled
        whys = {Path(one.photo).name: one.why for one in again.refused}
        assert whys == {
            "diverges.png": Why.EARLIER,
            "nobody.png": Why.EARLIER,
            "broken.png": Why.EARLIER,
            "crop.png": Why.OTHER_PREPARATION,
        }
        assert {one.reason for one in again.refused} == {one.reason for one in found.refused}
        assert [Path(one.photo).name for one in again.conflicting] == ["of the other.png"]


def test_refused_photos_are_tried_again_when_asked(tmp_path: Path) -> None:
    class Moody(Painted):
        calm = False

        def embed(self, faces: Sequence[PreparedFace], /) -> list[Embedding | HealthReport]:
            if self.calm:
                faces = [self._calmed(one) for one in faces]
            return super().embed(faces)

        @staticmethod
        def _calmed(one: PreparedFace) -> PreparedFace:
            unit = np.array(one.unit)
            unit[2, 0, 0] = -1
            return PreparedFace(unit, one.prepared, one.preparation)

    embedder = Moody()
    save(tmp_path / "p" / "anna" / "1.png", photo(face(1, 1, diverges=True)))
    with make(tmp_path / "g", embedder) as gallery:
        assert len(gallery.enroll(tmp_path / "p").refused) == 1
        assert gallery.counts()["refusals"] == 1
        embedder.calm = True
        assert [one.why for one in gallery.enroll(tmp_path / "p").refused] == [Why.EARLIER]
        found = gallery.enroll(tmp_path / "p", again=True)
        assert len(found.enrolled) == 1
        assert gallery.counts()["refusals"] == 0
        consistent(gallery)


def test_several_faces_of_a_photo(tmp_path: Path) -> None:
    group = photo(face(1), face(2), face(3, diverges=True))
    with make(tmp_path / "g", names=True) as gallery:
        found = gallery.enroll(save(tmp_path / "group.png", group))
        assert [one.face for one in found.enrolled] == [1, 2]
        assert [one.face for one in found.refused] == [3]
        assert [one.box[0] for one in found.enrolled if one.box] == [0, 64]
        assert len(list(gallery.subjects())) == 2
        assert [one.name for one in gallery.subjects()] == ["group.png face 1", "group.png face 2"]
        answers = gallery.identify(photo(face(2, 9), face(20), face(1, 9)))
        assert [one.face for one in answers] == [1, 2, 3]
        assert answers[0].best is not None
        assert answers[0].best.name == "group.png face 2"
        assert answers[1].best is None
        assert gallery.identify(group)[2].answer is None
        assert "1e+09" in str(gallery.identify(group)[2].reason)
        consistent(gallery)
    with make(tmp_path / "h", names=True) as gallery:
        save(tmp_path / "p" / "anna" / "group.png", photo(face(1), face(2)))
        found = gallery.enroll(tmp_path / "p")
        assert len(found.enrolled) == 1
        assert "2 faces found; the largest was taken" in found.remarks[0]


def test_a_photo_is_written_down_whole(tmp_path: Path) -> None:
    """Else a run that ended between the faces of a photo would never embed the others."""

    class Ending(Painted):
        def embed(self, faces: Sequence[PreparedFace], /) -> list[Embedding | HealthReport]:
            if len(self.calls) == 1:
                raise KeyboardInterrupt
            return super().embed(faces)

    files = [save(tmp_path / f"{n}.png", photo(face(n), face(n, 1), face(n, 2))) for n in (1, 2, 3)]
    report = Enrolment()
    with (
        make(tmp_path / "g", Ending(together=4)) as gallery,
        pytest.raises(KeyboardInterrupt),
    ):
        gallery.enroll(files, report=report)
    assert len(report.enrolled) == 6, "two photos, three faces each"
    with reopen(tmp_path / "g") as gallery:
        assert gallery.counts()["pending"] == 6
        assert len(gallery.enroll(files).enrolled) == 3
        consistent(gallery)


def test_progress_tells_what_is_left(tmp_path: Path) -> None:
    told: list[Progress] = []
    with make(tmp_path / "g") as gallery:
        gallery.enroll(people(tmp_path / "p", 3, 3), progress=told.append)
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert told[-1].done == told[-1].total == 9
    assert told[-1].enrolled == 9
    assert told[-1].left == 0
    assert told[0].left > 0


def test_photos_in_memory_and_lists(tmp_path: Path) -> None:
    file = save(tmp_path / "x.png", photo(face(3)))
    with make(tmp_path / "g") as gallery:
        gallery.enroll([photo(face(1)), file.read_bytes(), photo(face(2))], subject="all")
        assert gallery.subject("all").templates == 3
        assert gallery.enroll(file, subject="all").known
        assert not gallery.enroll(photo(face(1)), subject="all").enrolled


def test_deleted_people_do_not_come_back_by_enrolment(tmp_path: Path) -> None:
    with make(tmp_path / "g") as gallery:
        gallery.enroll(people(tmp_path / "p", 2, 2))
        gallery.delete(["person01"])
        found = gallery.enroll(people(tmp_path / "p", 2, 3))
        assert [one.why for one in found.refused] == [Why.DELETED] * 3
        assert len(found.enrolled) == 1
        gallery.compact()
        assert len(gallery.enroll(tmp_path / "p").enrolled) == 3
        consistent(gallery)


def test_other_models_are_refused_by_name(tmp_path: Path) -> None:
    with make(tmp_path / "g") as gallery:
        for wrong in (Painted(model="cd" * 32), Painted(size=96), Painted(views=2)):
            with pytest.raises(OtherModel):
                gallery.enroll(photo(face(1)), embedder=wrong)
            with pytest.raises(OtherModel):
                gallery.identify(photo(face(1)), embedder=wrong)
        with pytest.raises(OtherModel, match="procedure 'yunet"):
            gallery.identify(face(1))


def test_crops_from_elsewhere(tmp_path: Path) -> None:
    with make(tmp_path / "g", preparation="as-given", names=True) as gallery:
        save(tmp_path / "p" / "anna" / "1.png", face(1))
        save(tmp_path / "p" / "ben" / "1.png", face(2))
        assert len(gallery.enroll(tmp_path / "p").enrolled) == 2
        (found,) = gallery.identify(face(2, 1))
        assert found.best is not None
        assert found.best.name == "ben"
        assert found.box is None


def test_what_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with make(tmp_path / "g") as gallery:
        with pytest.raises(FileError, match="without pictures"):
            gallery.enroll(tmp_path / "empty")
        (one,) = gallery.enroll(tmp_path / "missing.png").refused
        assert one.why is Why.UNREADABLE
        with pytest.raises(GalleryError, match="a name or an id"):
            gallery.enroll(photo(face(1)), subject="")


def test_a_full_disk_is_one_error_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make(tmp_path / "g") as gallery:
        gallery.enroll(people(tmp_path / "p", 2, 2))
        _full(gallery, monkeypatch)
        with pytest.raises(FileError, match="no space left"):
            gallery.enroll(people(tmp_path / "p", 3, 2))
        monkeypatch.undo()
        assert gallery.counts()["pending"] == 1
        consistent(gallery)
        gallery.seal()
        consistent(gallery)


def _full(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    def no_space(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("fhe_face.store.blocks.os.fsync", no_space)
