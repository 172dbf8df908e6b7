"""What changes a whole gallery: compaction, keys, models, thresholds, copies, mending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fhe_core.container import WrongKind
from fhe_core.files import FileError
from fhe_core.secret.files import LockedKey
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import HealthReport
from fhe_face.gallery.errors import Busy, CalibrationError, GalleryError, OtherModel
from fhe_face.gallery.gallery import Gallery
from fhe_face.models.faces import Preparation
from fhe_face.network import BUNDLED_TENSORS
from fhe_face.photos.preparation import PreparedFace
from fhe_face.store import BackupError, StoreError, backup
from tests.gallery.kit import (
    ALIGNED,
    SMALL,
    Painted,
    consistent,
    direction,
    face,
    make,
    people,
    photo,
    recognises,
    reopen,
)

OTHER = "cd" * 32


def contents(folder: Path) -> bytes:
    """All bytes of all files."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("template", ["mean", "each"])
def test_after_compaction_nothing_deleted_is_on_disk(tmp_path: Path, template: str) -> None:
    with make(tmp_path / "g", names=True, template=template) as gallery:
        gallery.enroll(people(tmp_path / "p", 20, 2))
        store = gallery.opened.store
        rows = [row for n in (3, 11, 12) for row in gallery.templates(f"person{n:02}")]
        bodies = [store.read_block(block.digest)[-200:] for block in store.blocks()]
        ids = [gallery.subject(f"person{n:02}").id for n in (3, 11, 12)]
        gallery.delete([f"person{n:02}" for n in (3, 11)])
        gallery.delete(templates=[row.id for row in gallery.templates("person12")])
        before = contents(tmp_path / "g" / "server")
        assert rows[0].record in before, "the test can see records"
        done = gallery.compact()
        assert (done.subjects, done.templates) == (2, 6)
        consistent(gallery)
        after = contents(tmp_path / "g" / "server")
        for row in rows:
            assert row.record not in after
            assert row.id.encode() not in after
            assert str(row.source).encode() not in after
        for id in ids[:2]:
            assert id.encode() not in after
        assert not any(body in after for body in bodies)
        assert gallery.counts()["deleted_templates"] == 0
        assert gallery.compact().templates == 0
        recognises(gallery, 3)


def test_compaction_leaves_full_blocks(tmp_path: Path) -> None:
    with make(tmp_path / "g") as gallery:
        gallery.enroll(people(tmp_path / "p", 40, 1))
        blocks = gallery.opened.store.blocks()
        assert [(one.count, one.live) for one in blocks] == [(16, 16), (16, 16), (8, 8)]
        gallery.delete(["person20"])
        assert gallery.compact().blocks == 2
        after = gallery.opened.store.blocks()
        assert after[0].digest == blocks[0].digest
        assert sum(one.live for one in after) == 39
        consistent(gallery)


def test_a_new_key_opens_everything_and_the_old_one_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    with make(folder, names=True) as gallery:
        gallery.enroll(people(tmp_path / "p", 6, 2))
        gallery.enroll(photo(face(7, 0, diverges=True)))
        gallery.delete(["person05"])
        old = (folder / "client" / "gallery.key").read_bytes()
        before = [(one.id, one.name) for one in gallery.subjects()]
        records = {row.record for row in gallery.opened.store.templates()}
        key_id = gallery.facts.key_id
        gallery.rekey(b"secret words")
        assert gallery.facts.key_id != key_id
        consistent(gallery)
        recognises(gallery, 5)
        assert [(one.id, one.name) for one in gallery.subjects()] == before
        assert not any(record in contents(folder / "server") for record in records)
        assert not list(folder.rglob("*.next"))
        again = gallery.enroll(tmp_path / "p").enrolled
        assert [one.name for one in again] == ["person05"] * 2, "ids stay"
    with pytest.raises(LockedKey):
        reopen(folder)
    with reopen(folder, passphrase=b"secret words") as gallery:
        consistent(gallery)
    (folder / "client" / "gallery.key").write_bytes(old)
    with pytest.raises(GalleryError, match="bring the client/ folder that belongs to it"):
        reopen(folder)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupted_rekeying_is_put_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    folder = tmp_path / "g"
    with make(folder, names=True) as gallery:
        gallery.enroll(people(tmp_path / "p", 3, 2))
        key_id = gallery.facts.key_id

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        if moment == "before":
            # As after kill -9: nobody tidies up.
            monkeypatch.setattr("fhe_face.gallery.rekeying._replace", killed)
            monkeypatch.setattr(Path, "unlink", lambda *_args, **_named: None)
        else:
            monkeypatch.setattr("fhe_face.gallery.folders.Folder.settle", killed)
        with pytest.raises(KeyboardInterrupt):
            gallery.rekey()
        monkeypatch.undo()
    assert len(list(folder.rglob("*.next"))) == 2
    with reopen(folder) as gallery:
        assert (gallery.facts.key_id == key_id) is (moment == "before")
        assert not list(folder.rglob("*.next"))
        consistent(gallery)
        recognises(gallery, 3)


def test_keys_change_only_where_nobody_else_is(tmp_path: Path) -> None:
    with make(tmp_path / "g") as gallery, reopen(tmp_path / "g"):
        with pytest.raises(Busy, match="open elsewhere"):
            gallery.rekey()
        with pytest.raises(Busy, match="open elsewhere"):
            gallery.rebuild(photo(face(1)), embedder=Painted(model=OTHER))
        gallery.enroll(photo(face(1)))
    with make(tmp_path / "h") as gallery:
        with gallery._lock.alone(), pytest.raises(Busy, match="by another process"):
            reopen(tmp_path / "h")
        reopen(tmp_path / "h").close()


def test_rebuild_for_another_model(tmp_path: Path) -> None:
    folder = people(tmp_path / "p", 4, 3)
    with make(tmp_path / "g", names=True) as gallery:
        gallery.enroll(folder)
        gallery.rename("person01", "Anna")
        ids = {row.id: row.subject for row in gallery.opened.store.templates()}
        other = Painted(model=OTHER, spread=0.1)
        done = gallery.rebuild(folder, embedder=other, thresholds=(0.2, 0.4))
        assert (done.embedded, done.missing, done.refused) == (12, [], [])
        assert {row.id: row.subject for row in gallery.opened.store.templates()} == ids
        assert gallery.facts.model == OTHER
        assert gallery.subject("Anna").templates == 3
        assert gallery.settings.decision is not None
        assert gallery.settings.decision.same_from == 0.4
        consistent(gallery)
        (found,) = gallery.identify(photo(face(1, 9)))
        assert found.best is not None
        assert found.best.name == "Anna"
        with pytest.raises(OtherModel):
            gallery.identify(photo(face(1, 9)), embedder=Painted())
    assert not list((tmp_path / "g").rglob("rebuild*"))
    with reopen(tmp_path / "g", other) as gallery:
        consistent(gallery)


def test_a_rebuild_loses_nothing_unasked(tmp_path: Path) -> None:
    folder = people(tmp_path / "p", 3, 2)
    with make(tmp_path / "g", names=True) as gallery:
        gallery.enroll(folder)
        key = [row.record for row in gallery.opened.store.templates()]
        other = Painted(model=OTHER)
        letter = tmp_path / "letter.txt"
        letter.write_text("dear")
        with pytest.raises(GalleryError, match=r"6 templates have no photo .*these templates$"):
            gallery.rebuild(letter, embedder=other)
        assert not list((tmp_path / "g").rglob("rebuild*")), "nothing was embedded"
        with pytest.raises(GalleryError, match=r"4 templates have no photo .*the next run$"):
            gallery.rebuild(folder / "person00", embedder=other)
        assert [row.record for row in gallery.opened.store.templates()] == key
        consistent(gallery)
        recognises(gallery, 3)
        done = gallery.rebuild([folder / "person01", folder / "person02"], embedder=other)
        assert (done.before, done.embedded) == (0, 4), (
            "the first run is kept, so nothing is missing"
        )
        assert sum(other.calls) == 6
        assert gallery.counts()["templates"] == 6
        third = Painted(model="ef" * 32)
        done = gallery.rebuild(folder / "person02", embedder=third, drop=True)
        assert done.dropped == 4
        assert gallery.counts()["templates"] == 2
        consistent(gallery)


def test_an_interrupted_rebuild_goes_on(tmp_path: Path) -> None:
    class Ending(Painted):
        def embed(self, faces: Sequence[PreparedFace], /) -> list[Embedding | HealthReport]:
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().embed(faces)

    folder = people(tmp_path / "p", 6, 2)
    with make(tmp_path / "g", names=True) as gallery:
        gallery.enroll(folder)
        with pytest.raises(KeyboardInterrupt):
            gallery.rebuild(folder, embedder=Ending(model=OTHER))
        recognises(gallery, 6)
        consistent(gallery)
        other = Painted(model=OTHER)
        done = gallery.rebuild(folder, embedder=other)
        assert (done.before, done.embedded) == (8, 4)
        assert sum(other.calls) == 4
        consistent(gallery)


def test_a_face_that_diverges_now_is_named(tmp_path: Path) -> None:
    class Picky(Painted):
        def embed(self, faces: Sequence[PreparedFace], /) -> list[Embedding | HealthReport]:
            units = []
            for one in faces:
                unit = np.array(one.unit)
                if round((unit[0, 0, 0] + 1) * 127.5) == 2:
                    unit[2, 0, 0] = 1
                units.append(PreparedFace(unit, one.prepared, one.preparation))
            return super().embed(units)

    folder = people(tmp_path / "p", 4, 1)
    with make(tmp_path / "g", names=True) as gallery:
        gallery.enroll(folder)
        picky = Picky(model=OTHER)
        with pytest.raises(GalleryError, match=r"1 is refused now \(first: squared norm"):
            gallery.rebuild(folder, embedder=picky)
        done = gallery.rebuild(folder, embedder=picky, drop=True)
        assert len(done.refused) == 1
        assert gallery.subject("person02").templates == 0
        consistent(gallery)


def test_rebuild_for_another_preparation(tmp_path: Path) -> None:
    folder = people(tmp_path / "p", 3, 2)
    newer = replace(ALIGNED, detector="1" * 64)
    with make(tmp_path / "g") as gallery:
        gallery.enroll(folder)
        with pytest.raises(GalleryError, match="6 are refused now"):
            gallery.rebuild(folder, embedder=Painted(), preparation=newer)
        with pytest.raises(GalleryError, match="'aligned' or 'as-given'"):
            gallery.rebuild(folder, embedder=Painted(), preparation="round")
        with pytest.raises(GalleryError, match="96 pixels for a model that takes 64"):
            gallery.rebuild(folder, embedder=Painted(), preparation=Preparation.as_given(96))
        consistent(gallery)


@pytest.mark.parametrize("template", ["mean", "each"])
def test_calibration_seals_everybody_anew(tmp_path: Path, template: str) -> None:
    with make(tmp_path / "g", names=True, template=template) as gallery:
        gallery.enroll(people(tmp_path / "p", 12, 4))
        before = [block.digest for block in gallery.opened.store.blocks()]
        raw, _ = gallery.scores(direction(5))
        found = gallery.calibrate()
        assert found.centre is not None
        assert gallery.settings.calibration == found.to_json()
        assert gallery.settings.decision == found.decision
        assert not {block.digest for block in gallery.opened.store.blocks()} & set(before)
        centred, _ = gallery.scores(direction(5))
        assert float(np.abs(raw.scores - centred.scores).max()) > 1e-3
        consistent(gallery)
        recognises(gallery, 12)
        kept = [block.digest for block in gallery.opened.store.blocks()]
        gallery.calibrate()
        after = [block.digest for block in gallery.opened.store.blocks()]
        assert after == kept, "the same centre: nothing to seal"
        off = gallery.calibrate(centre_from=1000)
        assert off.centre is None
        back, _ = gallery.scores(direction(5))
        assert np.allclose(back.scores, raw.scores, atol=1e-3)
    with reopen(tmp_path / "g") as gallery:
        assert gallery.settings.decision == off.decision


def test_too_few_pairs_change_nothing(tmp_path: Path) -> None:
    with make(tmp_path / "g") as gallery:
        with pytest.raises(CalibrationError, match="empty"):
            gallery.calibrate()
        gallery.enroll(people(tmp_path / "p", 3, 2))
        before = gallery.settings
        with pytest.raises(CalibrationError, match="6 pairs of one person"):
            gallery.calibrate()
        assert gallery.settings.decision == before.decision


def test_backups_open_elsewhere(tmp_path: Path) -> None:
    with make(tmp_path / "g", names=True) as gallery:
        gallery.enroll(people(tmp_path / "p", 5, 2))
        gallery.backup(tmp_path / "b")
        gallery.delete(["person00"])
        with pytest.raises(FileError, match="not empty"):
            gallery.backup(tmp_path / "b")
    Gallery.restore(tmp_path / "b", tmp_path / "r")
    with reopen(tmp_path / "r") as gallery:
        consistent(gallery)
        recognises(gallery, 5)
    assert (tmp_path / "r" / "client" / "gallery.key").stat().st_mode & 0o077 == 0
    with pytest.raises(FileError, match="not empty"):
        Gallery.restore(tmp_path / "b", tmp_path / "r")
    (block,) = (p for p in (tmp_path / "b" / "server" / "blocks").rglob("*") if p.is_file())
    block.chmod(0o644)
    block.write_bytes(block.read_bytes()[:-1])
    with pytest.raises(BackupError):
        Gallery.restore(tmp_path / "b", tmp_path / "r2")
    assert not (tmp_path / "r2").exists()
    with pytest.raises(GalleryError, match="is no backup of a gallery"):
        Gallery.restore(tmp_path / "nothing", tmp_path / "r3")


def test_a_new_gallery_is_on_the_disk_and_its_name_may_be_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(backup, "sync_folder", lambda path: synced.append(path.name))
    folder = tmp_path / ("g" * 250)
    make(folder).close()
    assert {"client", "server", tmp_path.name} <= set(synced)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert {path.name for path in folder.iterdir()} == {"client", "server"}
    assert folder.stat().st_mode & 0o077 == 0


def test_galleries_that_cannot_be_made_or_opened(tmp_path: Path) -> None:
    make(tmp_path / "g").close()
    with pytest.raises(FileError, match="not empty"):
        make(tmp_path / "g")
    for wrong, text in (
        ({"template": "best"}, "'mean' or 'each'"),
        ({"thresholds": (0.5, 0.3)}, "thresholds 0.5 and 0.3"),
        ({"preparation": "round"}, "'aligned' or 'as-given'"),
        ({"url": "mysql://x/y"}, "postgresql://"),
    ):
        with pytest.raises((GalleryError, StoreError), match=text):
            make(tmp_path / "h", **wrong)
        assert not list(tmp_path.glob("*h*")), "nothing half-made is left"
    with pytest.raises(GalleryError, match="holds no gallery"):
        Gallery.open(tmp_path / "nothing", parameters=SMALL)
    with pytest.raises(GalleryError, match="other parameters"):
        Gallery.open(tmp_path / "g")
    key = tmp_path / "g" / "client" / "gallery.key"
    evaluation = tmp_path / "g" / "server" / "gallery.evaluation.key"
    assert key.stat().st_mode & 0o077 == 0
    saved = key.read_bytes()
    key.write_bytes(evaluation.read_bytes())
    with pytest.raises(WrongKind):
        reopen(tmp_path / "g")
    key.unlink()
    with pytest.raises(GalleryError, match="bring the folder client/ along"):
        reopen(tmp_path / "g")
    key.write_bytes(saved)
    reopen(tmp_path / "g").close()
    (tmp_path / "g" / "client").rename(tmp_path / "client")
    with pytest.raises(GalleryError, match="bring the folder client/ along"):
        reopen(tmp_path / "g")


def test_weights_and_what_embeds_go_together(tmp_path: Path) -> None:
    own = Painted(model=BUNDLED_TENSORS)
    with pytest.warns(UserWarning, match="bundled network is a demonstration"):
        gallery = make(tmp_path / "g", own, weights="bundled", thresholds=None)
    with gallery:
        assert gallery.settings.weights == "bundled"
        assert gallery.settings.decision is not None
        assert gallery.settings.decision.origin == "weights"
        assert gallery.facts.model == BUNDLED_TENSORS
        gallery.enroll(people(tmp_path / "p", 2, 1))
        gallery.rebuild(tmp_path / "p", embedder=Painted(model=OTHER), thresholds=(0.1, 0.2))
        assert Gallery.describe(tmp_path / "g")["model"] == OTHER
        with pytest.warns(UserWarning, match="bundled network is a demonstration"):
            gallery.rebuild(tmp_path / "p", "bundled", embedder=own)
        assert gallery.settings.weights == "bundled"
        assert gallery.settings.decision is not None
    with (
        pytest.warns(UserWarning, match="demonstration"),
        pytest.raises(OtherModel, match="the embedder has abab"),
    ):
        make(tmp_path / "h", Painted(), weights="bundled")
    assert not (tmp_path / "h").exists()


def test_two_galleries_side_by_side(tmp_path: Path) -> None:
    with make(tmp_path / "g", names=True) as one, make(tmp_path / "h", names=True) as two:
        one.enroll(people(tmp_path / "p", 2, 2))
        two.enroll(people(tmp_path / "q", 2, 2, start=2))
        assert {s.name for s in one.subjects()} == {"person00", "person01"}
        assert {s.name for s in two.subjects()} == {"person02", "person03"}
        assert one.identify(photo(face(2, 9)))[0].best is None
        assert two.identify(photo(face(2, 9)))[0].best is not None
        assert not {s.id for s in one.subjects()} & {s.id for s in two.subjects()}


def test_describe_takes_no_key(tmp_path: Path) -> None:
    with make(tmp_path / "g") as gallery:
        gallery.enroll(people(tmp_path / "p", 2, 2))
    (tmp_path / "g" / "client" / "gallery.key").unlink()
    told = Gallery.describe(tmp_path / "g")
    assert (told["templates"], told["subjects"], told["mode"]) == (4, 2, "mean")
