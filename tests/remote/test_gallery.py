"""A gallery at a server: the same answers, and nothing to be seen of them."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
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
from fhe_face.remote.errors import BadAnswer, Refused, RemoteError
from fhe_face.remote.gallery import RemoteGallery
from fhe_face.remote.listing import Listing, TamperedError
from fhe_face.remote.store import RemoteStore
from fhe_face.store import Conflict, NotStored, Store, StoreError, Subject, Template
from tests.gallery.kit import SMALL, consistent, face, people, photo, save
from tests.remote.fake import Fake, answered, b64, listed, template_json
from tests.remote.kit import make, other_client, reopen


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    (tmp_path / "server").mkdir()
    return Fake(tmp_path / "server", parameters=SMALL)


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


# --- integrity ------------------------------------------------------------------------------------


@pytest.fixture
def filled(fake: Fake, tmp_path: Path) -> Path:
    with make(fake, tmp_path / "g", names=True) as gallery:
        gallery.enroll(people(tmp_path / "photos", 4, 2))
        gallery.seen()
    return tmp_path / "g"


def altered(fake: Fake, sql: str) -> None:
    """The server changes its database without a trace."""
    fake.stores["g"].close()
    with closing(sqlite3.connect(fake.folder / "g" / "gallery.db")) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        assert database.execute(sql).rowcount > 0
        database.commit()
    fake.stores["g"] = Store.open(fake.folder / "g")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DELETE FROM templates WHERE number = 2", "1 templates gone"),
        ("UPDATE templates SET deleted = 1 WHERE number = 2", "1 templates deleted"),
        ("UPDATE templates SET subject = 1 WHERE number = 8", "1 templates given to others"),
        (
            "UPDATE templates SET record = (SELECT record FROM templates WHERE number = 1) "
            "WHERE number = 3",
            "1 records replaced",
        ),
        ("UPDATE subjects SET name = NULL WHERE number = 2", "1 subjects"),
        ("UPDATE subjects SET deleted = 1 WHERE number = 2", "1 subjects"),
    ],
)
def test_what_the_server_changes_is_found(
    fake: Fake, filled: Path, tmp_path: Path, sql: str, said: str
) -> None:
    altered(fake, sql)
    with reopen(fake, filled) as gallery:
        with pytest.raises(TamperedError, match=said):
            gallery.enroll(tmp_path / "photos")
        with pytest.raises(TamperedError, match=said):
            gallery.seen()
    with reopen(fake, filled) as gallery, pytest.raises(TamperedError, match=said):
        gallery.check()


def test_an_older_gallery_is_refused(fake: Fake, filled: Path, tmp_path: Path) -> None:
    altered(fake, "UPDATE gallery SET changes = changes - 1")
    with pytest.raises(TamperedError, match="older"):
        reopen(fake, filled)
    (filled / "client" / "gallery.witness").unlink()
    with reopen(fake, filled) as gallery:
        assert gallery.seen()[0] == 8


def test_older_settings_are_refused(fake: Fake, filled: Path) -> None:
    with Store.open(fake.folder / "g") as store:
        settings = store.settings
    with reopen(fake, filled) as gallery:
        gallery.opened.save_settings(weights="bundled")
    altered(fake, f"UPDATE gallery SET settings = x'{settings.hex()}'")
    with reopen(fake, filled) as gallery, pytest.raises(TamperedError, match="settings"):
        gallery.settings  # noqa: B018


@pytest.mark.parametrize("later", [False, True])
def test_older_settings_of_another_version(fake: Fake, filled: Path, later: bool) -> None:
    """As an old version they are refused; as a new one they may be another client's."""
    with Store.open(fake.folder / "g") as store:
        old = {"settings": b64(store.settings), "version": store.version}
    with reopen(fake, filled) as gallery:
        gallery.opened.save_settings(weights="bundled")
    if later:
        old["version"] = fake.stores["g"].version + 1
    fake.before.append(
        lambda request: answered(old) if request.url.path.endswith("/settings") else None
    )
    said: list[str] = []
    with reopen(fake, filled) as gallery:
        gallery.remote.tell = said.append
        if later:
            assert gallery.settings.weights != "bundled"
        else:
            with pytest.raises(TamperedError, match="settings of the gallery are older"):
                gallery.settings  # noqa: B018
    assert len(said) == later
    assert all("changed its settings" in one for one in said)


def test_a_gallery_that_says_it_is_another_is_refused(fake: Fake, filled: Path) -> None:
    altered(fake, """UPDATE gallery SET facts = replace(facts, '"mean"', '"each"')""")
    with pytest.raises(GalleryError, match="another gallery"):
        reopen(fake, filled)


def test_a_damaged_witness_is_told(fake: Fake, filled: Path) -> None:
    path = filled / "client" / "gallery.witness"
    assert path.stat().st_mode & 0o077 == 0
    for data in (b"", b"{}", b"[1]", b'{"version": 1, "listing": {"people": 1}}', b"[" * 10**5):
        path.write_bytes(data)
        with pytest.raises(TamperedError, match="witness"):
            reopen(fake, filled)


def listing_of(fake: Fake, change: Callable[[list[Any]], list[Any]]) -> None:
    """From now on the server lists templates as it likes."""

    def hook(request: httpx.Request) -> httpx.Response | None:
        if request.method != "GET" or not request.url.path.endswith("/templates"):
            return None
        rows = fake.stores["g"].templates(include_deleted=True)
        records = request.url.params.get("records") != "false"
        return listed(change([template_json(row, records) for row in rows]))

    fake.before.append(hook)


def test_a_template_is_listed_once(fake: Fake, filled: Path, tmp_path: Path) -> None:
    """Else somebody else's subject could go before the one that is compared."""
    listing_of(fake, lambda rows: [{**rows[0], "subject": rows[-1]["subject"]}, *rows])
    with reopen(fake, filled) as gallery:
        with pytest.raises(BadAnswer, match="twice"):
            gallery.check()
        with pytest.raises(BadAnswer, match="twice"):
            gallery.enroll(tmp_path / "photos")


@pytest.mark.parametrize("mode", ["mean", "each"])
@pytest.mark.parametrize("how", ["swapped", "renamed", "fewer", "none", "silent", "twice"])
def test_templates_of_owners_are_compared(fake: Fake, tmp_path: Path, mode: str, how: str) -> None:
    """Or somebody would be sealed as somebody else, in a list that is compared with nothing."""

    def hook(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/templates:of"):
            return None
        owners = json.loads(request.read())["owners"]
        given = [
            (owner, [template_json(row) for row in rows])
            for owner, rows in fake.stores["g"].templates_of(owners)
        ]
        if how in ("swapped", "renamed"):
            given = [
                (owner, rows) for (owner, _), (_, rows) in zip(given, given[::-1], strict=True)
            ]
        if how == "renamed":
            name = "subject" if mode == "mean" else "id"
            given = [(owner, [{**row, name: owner} for row in rows]) for owner, rows in given]
        if how == "fewer":
            given = [(owner, rows[1:]) for owner, rows in given]
        if how == "none":
            given = [(owner, []) for owner, rows in given]
        if how == "silent":
            given = given[1:]
        if how == "twice":
            given = [(owner, rows + rows[:1]) for owner, rows in given]
        return listed([{"owner": owner, "templates": rows} for owner, rows in given])

    with make(fake, tmp_path / "g", names=True, template=mode) as gallery:
        gallery.enroll(people(tmp_path / "photos", 4, 2))
        assert gallery.check() == []
        fake.before.append(hook)
        with pytest.raises(RemoteError, match=r"templates of others|other templates|says nothing"):
            gallery.check()


def test_a_list_that_could_not_be_compared_is_told(fake: Fake, filled: Path) -> None:
    changes = fake.stores["g"].state().changes

    def state(request: httpx.Request) -> httpx.Response | None:
        nonlocal changes
        if not request.url.path.endswith("/state"):
            return None
        changes += 1
        return answered({"version": fake.stores["g"].version, "changes": changes})

    said: list[str] = []
    with reopen(fake, filled) as gallery:
        gallery.remote.tell = said.append
        fake.before.append(state)
        listing_of(fake, lambda rows: rows[:-1])
        assert gallery.seen()[0] == 7
    assert len(said) == 1
    assert "not compared" in said[0]


def test_another_template_than_was_asked_for(fake: Fake, filled: Path) -> None:
    one, two, *_ = fake.stores["g"].templates()
    fake.before.append(
        lambda request: answered(template_json(two)) if request.url.path.endswith(one.id) else None
    )
    with reopen(fake, filled) as gallery, pytest.raises(BadAnswer, match="about template"):
        gallery.delete(templates=[one.id])
    assert not any(row.deleted for row in fake.stores["g"].templates(include_deleted=True))


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
