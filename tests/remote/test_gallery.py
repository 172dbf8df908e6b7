"""A gallery at a server: the same answers, and nothing to be seen of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhe_core.container import read_header
from fhe_core.errors import Failure
from fhe_face.client.health import UnhealthyResultError
from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.errors import GalleryError, UnknownSubject
from fhe_face.gallery.report import Why
from fhe_face.remote.errors import Refused, RemoteError
from fhe_face.remote.gallery import RemoteGallery
from fhe_face.remote.listing import Listing
from fhe_face.remote.store import RemoteStore
from fhe_face.store import Conflict, NotStored, Store, StoreError, Subject, Template
from tests.gallery.kit import SMALL, consistent, face, people, photo, save
from tests.remote.fake import Fake
from tests.remote.kit import make, other_client, reopen


def shape(calls: list[str]) -> list[str]:
    """What was asked, without ids."""
    return [re.sub(r"[0-9a-f]{32,64}", "#", call) for call in calls]


@pytest.mark.parametrize("mode", ["mean", "each"])
def test_people_are_enrolled_and_found(fake: Fake, tmp_path: Path, mode: str) -> None:
    photos = people(tmp_path / "photos", 5, 3)
    with make(fake, tmp_path / "g", names=True, template=mode) as gallery:
        report = gallery.enroll(photos)
        assert len(report.enrolled) == 15
        assert gallery.enroll(photos).enrolled == []
        (found,) = gallery.identify(photo(face(2, 7)))
        assert found.answer is Answer.MATCH
        assert found.best is not None
        assert found.best.name == "person02"
        (stranger,) = gallery.identify(photo(face(20, 1)))
        assert stranger.answer is Answer.UNKNOWN
        assert gallery.verify(photo(face(3, 9)), "person03").answer is Answer.MATCH
        assert gallery.verify(photo(face(3, 9)), "person01").answer is Answer.UNKNOWN
        (near,) = gallery.identify(photo(face(2, 7)), match="local")
        assert near.best is not None
        assert abs(near.best.score - found.best.score) < 1e-3
    with reopen(fake, tmp_path / "g") as gallery:
        assert {row.name for row in gallery.subjects()} == {f"person{n:02}" for n in range(5)}
        assert gallery.check() == []


def test_changes_reach_the_server(fake: Fake, tmp_path: Path) -> None:
    photos = people(tmp_path / "photos", 4, 2)
    with make(fake, tmp_path / "g", names=True) as gallery:
        gallery.enroll(photos)
        gallery.rename("person00", "Ann")
        gallery.merge(["person01"], "Ann")
        assert gallery.subject("person01").name == "Ann"
        assert gallery.subject("Ann").templates == 4
        assert gallery.delete(["person02"]) == 1
        (gone,) = gallery.identify(photo(face(2, 7)))
        assert gone.answer is Answer.UNKNOWN
        assert gallery.undelete(["person02"]) == 1
        template = gallery.templates("person03")[0].id
        gallery.move([template[:8]], "person02")
        assert gallery.subject("person02").templates == 3
        gallery.delete(templates=[template])
        assert gallery.compact().templates == 1
        with pytest.raises(UnknownSubject):
            gallery.subject("nobody")
        gallery.remote.forget_state()
        gallery.seen()
    with Store.open(fake.folder / "g") as store:
        assert store.counts().templates == 7


def test_two_clients_of_one_gallery(fake: Fake, tmp_path: Path) -> None:
    photos = people(tmp_path / "photos", 3, 2)
    more = people(tmp_path / "more", 2, 2, start=3)
    said: list[str] = []
    with make(fake, tmp_path / "g", names=True) as one:
        one.enroll(photos)
        with reopen(fake, other_client(tmp_path / "g", tmp_path / "h")) as two:
            two.enroll(more)
        one.remote.tell = said.append
        one.remote.forget_state()
        (found,) = one.identify(photo(face(4, 8)))
        assert found.best is not None
        assert found.best.name == "person04"
        one.enroll(photos)
    assert len(said) == 1
    assert "4 new templates" in said[0]


def test_a_gallery_is_not_made_twice(fake: Fake, tmp_path: Path) -> None:
    make(fake, tmp_path / "g").close()
    with pytest.raises(Failure):
        make(fake, tmp_path / "g")
    before = set(fake.files)
    with pytest.raises(Refused):
        make(fake, tmp_path / "h", gallery="g")
    assert not (tmp_path / "h").exists()
    assert set(fake.files) == before
    with pytest.raises(GalleryError, match="name at a server"):
        make(fake, tmp_path / "i", gallery="../up")
    with pytest.raises(GalleryError, match=r"remote\.json"):
        RemoteGallery.open(tmp_path, parameters=SMALL)


def test_no_key_and_no_name_is_sent(fake: Fake, tmp_path: Path) -> None:
    photos = people(tmp_path / "photos", 3, 2)
    with make(fake, tmp_path / "g", names=True) as gallery:
        gallery.enroll(photos)
        gallery.enroll(photo(face(9, 1)), subject="Elizabeth Bennet")
        gallery.verify(photo(face(9, 2)), "Elizabeth Bennet")
        with pytest.raises(UnknownSubject):
            gallery.verify(photo(face(9, 2)), "Darcy")
    heard = b"".join(fake.received) + "".join(fake.calls).encode()
    for text in (b"person0", b"Elizabeth", b"Bennet", b"Darcy", b"photos"):
        assert text not in heard
    key = tmp_path / "g" / "client" / "gallery.key"
    secret = key.read_bytes()[read_header(key).payload_offset :]
    assert len(secret) == SMALL.templates
    assert secret not in heard


# --- what a server sees ---------------------------------------------------------------------------


def watched_calls(tmp_path: Path, name: str, act: Callable[[RemoteGallery], Any], mode: str) -> Any:
    """The requests that something takes, and the sizes of what was sent."""
    (tmp_path / name / "server").mkdir(parents=True)
    fake = Fake(tmp_path / name / "server", parameters=SMALL)
    photos = people(tmp_path / name / "photos", 3, 2)
    with make(fake, tmp_path / name / "g", names=True, template=mode) as gallery:
        gallery.enroll(photos)
        gallery.remote.clock = lambda: 0.0
        fake.calls.clear()
        fake.received.clear()
        act(gallery)
    return shape(fake.calls), [len(body) for body in fake.received]


@pytest.mark.parametrize("mode", ["mean", "each"])
def test_identifying_looks_the_same_whatever_comes_of_it(tmp_path: Path, mode: str) -> None:
    seen = [
        watched_calls(tmp_path, name, partial(RemoteGallery.identify, photo=one), mode)
        for name, one in (
            ("match", photo(face(1, 9))),
            ("nobody", photo(face(20, 9))),
            ("refused", photo(face(1, 9, diverges=True))),
        )
    ]
    assert seen[0] == seen[1] == seen[2]
    assert [call for call in seen[0][0] if call.endswith("/searches")]


def test_verifying_looks_the_same_whatever_comes_of_it(tmp_path: Path) -> None:
    def verify(gallery: RemoteGallery, who: str, one: Any) -> None:
        with suppress(UnhealthyResultError):
            gallery.verify(one, who)

    seen = [
        watched_calls(tmp_path, name, partial(verify, who=who, one=one), "mean")
        for name, who, one in (
            ("same", "person01", photo(face(1, 9))),
            ("other", "person02", photo(face(1, 9))),
            ("refused", "person01", photo(face(1, 9, diverges=True))),
        )
    ]
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("mode", ["mean", "each"])
@pytest.mark.parametrize("diverges", [{0}, {1}, {0, 1}, {2}])
def test_enrolling_looks_the_same_whatever_comes_of_it(
    tmp_path: Path, mode: str, diverges: set[int]
) -> None:
    def enroll(refused: set[int]) -> Callable[[RemoteGallery], None]:
        def act(gallery: RemoteGallery) -> None:
            folder = gallery.opened.folder.root.parent / "more"
            for person, number, bad in (
                (7, 0, 0 in refused),
                (7, 1, 1 in refused),
                (8, 0, 2 in refused),
            ):
                save(
                    folder / f"p{person}" / f"{number}.png",
                    photo(face(person, number, diverges=bad)),
                )
            report = gallery.enroll(folder)
            assert len(report.enrolled) == 3 - len(refused)
            assert [one.why for one in report.refused] == [Why.DIVERGED] * len(refused)

        return act

    healthy = watched_calls(tmp_path, "healthy", enroll(set()), mode)
    assert watched_calls(tmp_path, "some", enroll(diverges), mode) == healthy


def test_a_refused_face_is_nobody(fake: Fake, tmp_path: Path) -> None:
    photos = people(tmp_path / "photos", 3, 2)
    with make(fake, tmp_path / "g", names=True) as gallery:
        gallery.enroll(photos)
        refused = gallery.enroll(photo(face(9, 0, diverges=True)), subject="Nobody")
        assert [one.why for one in refused.refused] == [Why.DIVERGED]
        assert refused.enrolled == []
        assert gallery.enroll(photo(face(9, 0, diverges=True)), subject="Nobody").enrolled == []
        (found,) = gallery.identify(photo(face(9, 1)), top=9)
        assert found.answer is Answer.UNKNOWN
        assert abs(next(c.score for c in found.candidates if c.name == "Nobody")) < 1e-3
        consistent(gallery)
        before = [row.score for row in gallery.identify(photo(face(1, 5)))[0].candidates[:1]]
        gallery.enroll(photo(face(1, 6, diverges=True)), subject="person01")
        after = [row.score for row in gallery.identify(photo(face(1, 5)))[0].candidates[:1]]
        assert after == pytest.approx(before, abs=1e-3)
        kinds = {len(row.record) for row in gallery.opened.store.templates()}
        assert len(kinds) == 1


def test_answers_are_counted(fake: Fake, tmp_path: Path) -> None:
    with make(fake, tmp_path / "g") as gallery:
        gallery.enroll(people(tmp_path / "photos", 3, 2))
        for _ in range(2):
            gallery.identify(photo(face(1, 9)))
        gallery.identify(photo(face(1, 9, diverges=True)))
        ledger = gallery._counted.ledger
        assert ledger.answers == 3 * 2  # type: ignore[attr-defined]


# --- the store itself -----------------------------------------------------------------------------


def remote_store(fake: Fake, id: str = "g") -> RemoteStore:
    return RemoteStore(fake.connect(), id, 1 << 24, SMALL.templates)


def test_the_store_raises_what_a_store_raises(fake: Fake, filled: Path) -> None:
    store = remote_store(fake)
    with pytest.raises(NotStored):
        store.subject("ab" * 16)
    with pytest.raises(NotStored):
        store.template("nothing")
    with pytest.raises(NotStored):
        store.entries("ab" * 32)
    with pytest.raises(NotStored):
        store.delete_templates(["nothing"])
    with pytest.raises(Conflict):
        store.replace_blocks(1)
    with pytest.raises(StoreError, match="server"):
        store.backup("x")
    with pytest.raises(RemoteError):
        remote_store(fake, "../up")
    with pytest.raises(Refused):
        remote_store(fake, "other").counts()


def test_many_rows_travel_in_pages(fake: Fake, filled: Path) -> None:
    store = remote_store(fake)
    people_ = [Subject(f"s{n}") for n in range(1300)]
    templates = [Template(f"t{n}", f"s{n}", f"p{n}", b"x" * 30) for n in range(1300)]
    added = store.add(people_, templates)
    assert (len(added.subjects), len(added.templates)) == (1300, 1300)
    assert len(list(store.subjects())) == 1304
    assert len(list(store.templates())) == 1308
    assert len(list(store.pending())) == 1300
    found = dict(store.templates_of(f"s{n}" for n in reversed(range(1300))))
    assert list(found)[:2] == ["s1299", "s1298"]
    assert found["s7"][0].record == b"x" * 30
    assert store.sources() == fake.stores["g"].sources()


def test_a_block_that_was_altered_is_named(fake: Fake, filled: Path) -> None:
    store = remote_store(fake)
    (block,) = store.blocks()
    assert store.read_block(block.digest)
    fake.before.append(
        lambda request: (
            httpx.Response(200, content=b"x") if request.url.path.endswith("/content") else None
        )
    )
    with pytest.raises(StoreError, match="altered"):
        store.read_block(block.digest)


def test_a_listing_survives_its_file(fake: Fake, filled: Path) -> None:
    with reopen(fake, filled) as gallery:
        gallery.seen()
        listing = gallery.remote.witness.listing
        assert listing is not None
        again = Listing.from_json(listing.to_json())
        assert again == listing
        assert again.digest() == listing.digest()
        assert not again.differences(listing)
