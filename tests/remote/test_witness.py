"""What a server changes in a gallery by itself is found by its client."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhe_face.gallery.errors import GalleryError
from fhe_face.remote.errors import BadAnswer, RemoteError
from fhe_face.remote.listing import TamperedError
from fhe_face.store import Store
from tests.gallery.kit import people
from tests.remote.fake import Fake, answered, b64, listed, template_json
from tests.remote.kit import make, reopen


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
