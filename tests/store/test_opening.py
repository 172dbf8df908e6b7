"""Creating and opening: SQLite, PostgreSQL, schemas of other versions, secrets in URLs."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from fhe_core.files import FileError
from fhe_face.store import Store, StoreError, check
from fhe_face.store.database import Database, sqlite_database
from fhe_face.store.migrating import OURS, Steps, bring_up_to_date
from fhe_face.store.opening import find_database
from fhe_face.store.tables import HEAD, metadata
from tests.store.conftest import Make
from tests.store.kit import enrol, seal
from tests.store.postgres import PASSWORD, Postgres


def test_a_store_is_created_once(make: Make, url: str | None) -> None:
    store = make()
    with pytest.raises(StoreError, match="there is a gallery already"):
        Store.create(store.folder, {"mode": "mean"}, b"", url)
    enrol(store, anna=["a1"])
    store.close()
    with Store.open(store.folder) as again:
        assert [s.id for s in again.subjects()] == ["anna"]


def test_a_store_needs_a_mode(tmp_path: Path) -> None:
    for facts in ({}, {"mode": "some"}, {"mode": "mean", "x": float("nan")}):
        with pytest.raises(StoreError, match="facts: "):
            Store.create(tmp_path / "server", facts, b"")
    assert not (tmp_path / "server").exists()


def test_a_folder_without_a_store_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(StoreError, match=f"{folder}: holds no gallery"):
            Store.open(folder)
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="file"):
        Store.create(tmp_path / "file", {"mode": "mean"}, b"")


def test_the_database_is_as_durable_as_promised(tmp_path: Path) -> None:
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "busy_timeout": 30000,
    }
    store = Store.create(tmp_path / "server", {"mode": "mean"}, b"")
    with store, store._database.reading() as connection:
        found = {n: connection.exec_driver_sql(f"PRAGMA {n}").scalar() for n in wanted}
    assert found == wanted
    assert sorted(os.listdir(tmp_path / "server")) == ["blocks", "gallery.db"]


def test_waiting_owners_are_found_by_their_index(make: Make, url: str | None) -> None:
    store = make()
    enrol(store, **{f"s{n}": [f"t{n}"] for n in range(50)})
    if url is not None:
        pytest.skip("PostgreSQL plans by statistics")
    with store._database.reading() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT number FROM subjects WHERE waiting AND number > 0 "
            "ORDER BY number LIMIT 5"
        ).all()
    assert "waiting" in str(plan)


def test_what_a_command_line_loads_has_no_database() -> None:
    code = "import sys, fhe_face.cli, fhe_face.store, fhe_face.store.errors, fhe_face.store.rows;"
    heavy = "print(sorted({'sqlalchemy', 'alembic', 'psycopg', 'sqlite3'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code + heavy], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# --- URLs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["mysql://u:s3cret@h/d", "sqlite:///x.db", "no url: s3cret", ""])
def test_other_urls_are_refused_without_their_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError, match="URL") as caught:
        Store.create(tmp_path / "server", {"mode": "mean"}, b"", url)
    assert "s3cret" not in str(caught.value)
    assert not list((tmp_path / "server").glob("*.*"))


def test_passwords_are_kept_and_never_said(
    tmp_path: Path, postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    folder = tmp_path / "server"
    Store.create(folder, {"mode": "mean"}, b"", postgres.new_database()).close()
    place = folder / "server.json"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    content = json.loads(place.read_text())
    assert PASSWORD in content["url"]
    plain = content["url"].replace(f":{PASSWORD}", "")
    for damaged in (
        {**content, "url": content["url"].replace(PASSWORD, "wrong-9162")},
        {**content, "url": content["url"].replace("/test_", "/none_")},
        {**content, "url": content["url"] + "&no_such_option=1"},
        {**content, "schema": "other"},
        {**content, "url": f"{plain}&password=wrong-9162"},
        {**content, "url": f"{plain}&password={PASSWORD}&sslpassword=wrong-9162&no=1"},
    ):
        place.write_text(json.dumps(damaged))
        with pytest.raises(StoreError) as caught:
            Store.open(folder)
        told = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
        assert PASSWORD not in told
        assert "wrong-9162" not in told
        assert "\n" not in str(caught.value)
        [finding] = check(folder)
        assert PASSWORD not in finding.text
        assert (finding.code, finding.mend) == ("database", "server")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"url": 1, "schema": "x"}',
        b'{"url": "postgresql:///x", "schema": "a b"}',
    ],
)
def test_a_damaged_server_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "server.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"server\.json: is damaged"):
        Store.open(tmp_path)


def test_galleries_in_one_database_do_not_mix(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.new_database()
    with (
        Store.create(tmp_path / "one", {"mode": "mean"}, b"1", url) as one,
        Store.create(tmp_path / "two", {"mode": "each"}, b"2", url) as two,
    ):
        enrol(one, anna=["a1"])
        enrol(two, ben=["b1"])
        seal(two)
        assert [s.id for s in one.subjects()] == ["anna"]
        assert [s.id for s in two.subjects()] == ["ben"]
        assert (one.settings, two.settings) == (b"1", b"2")
        assert one.blocks() == []
        one.delete_subjects(["anna"])
        one.purge()
        assert two.counts().templates == 1
        assert one.check() == two.check() == []


def test_a_schema_that_is_not_used_is_removed(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.new_database()
    folder = tmp_path / "server"
    (folder / "server.json").mkdir(parents=True)  # so that the last step fails
    (folder / "server.json").rmdir()
    (folder / "blocks").mkdir()
    with Store.create(tmp_path / "other", {"mode": "mean"}, b"", url) as other:
        before = schemas(other)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fhe_face.store.opening.write_server_file", _full_disk)
            with pytest.raises(OSError, match="full"):
                Store.create(folder, {"mode": "mean"}, b"", url)
        assert schemas(other) == before
    assert os.listdir(folder) == ["blocks"]


def _full_disk(*_arguments: object) -> None:
    raise OSError(28, "full")


def schemas(store: Store) -> list[str]:
    query = "SELECT schema_name FROM information_schema.schemata ORDER BY 1"
    with store._database.reading() as connection:
        return list(connection.execute(text(query)).scalars())


# --- Schemas of other versions -------------------------------------------------------------------


def test_migrations_make_today_s_tables(make: Make) -> None:
    store = make()
    with store._database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert ScriptDirectory(OURS.folder).get_current_head() == HEAD


_NEXT = """
import sqlalchemy as sa
from alembic import op
revision = "{name}"
down_revision = "{before}"
def upgrade():
    with op.batch_alter_table("subjects") as table:
        table.add_column(sa.Column("c{name}", sa.Integer))
    {more}
"""


def later(folder: Path, *, fails: bool = False) -> Steps:
    """Two migrations after ours."""
    shutil.copytree(OURS.folder, folder)
    for name, before in (("0002", HEAD), ("0003", "0002")):
        more = "raise ValueError('half way')" if fails and name == "0003" else ""
        step = _NEXT.format(name=name, before=before, more=more)
        (folder / "versions" / f"r{name}_next.py").write_text(step)
    return Steps(folder, "0003")


@pytest.fixture
def closed(make: Make) -> Iterator[Database]:
    """The database of a store with one subject, which nobody has open."""
    store = make()
    enrol(store, anna=["a1"])
    store.close()
    database = find_database(store.folder)
    yield database
    database.engine.dispose()


def revision(database: Database) -> str:
    with database.reading() as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())


def test_an_older_schema_is_upgraded_after_a_copy(closed: Database, tmp_path: Path) -> None:
    path = tmp_path / "server" / "gallery.db"
    bring_up_to_date(closed, path if closed.is_sqlite else None, later(tmp_path / "steps"))
    assert revision(closed) == "0003"
    with closed.reading() as connection:
        query = "SELECT id, c0002, c0003 FROM subjects"
        assert connection.execute(text(query)).all() == [("anna", None, None)]
    if closed.is_sqlite:
        copy = sqlite_database(path.with_name("gallery.db.before-0003"))
        assert revision(copy) == HEAD
        with copy.reading() as connection:
            assert connection.execute(text("SELECT id FROM subjects")).all() == [("anna",)]
        copy.engine.dispose()
        with closing(sqlite3.connect(path)) as plain:
            assert plain.execute("PRAGMA foreign_key_check").fetchall() == []


def test_two_processes_upgrade_once(closed: Database, tmp_path: Path) -> None:
    steps, folder = later(tmp_path / "steps"), tmp_path / "server"
    path = folder / "gallery.db" if closed.is_sqlite else None
    databases = [find_database(folder) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda database: bring_up_to_date(database, path, steps), databases))
    assert {revision(database) for database in databases} == {"0003"}
    for database in databases:
        database.engine.dispose()
    if path is not None:
        copy = sqlite_database(path.with_name("gallery.db.before-0003"))
        assert revision(copy) == HEAD
        copy.engine.dispose()


def test_an_upgrade_that_fails_changes_nothing(closed: Database, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half way"):
        bring_up_to_date(closed, None, later(tmp_path / "steps", fails=True))
    assert revision(closed) == HEAD
    with closed.reading() as connection:
        columns = connection.execute(text("SELECT * FROM subjects")).keys()
    assert not {"c0002", "c0003"} & set(columns)


def test_a_newer_schema_is_refused(closed: Database, tmp_path: Path) -> None:
    with closed.locked() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    with pytest.raises(StoreError, match=r"newer fhe-face \(schema 0099, .* 0001\): upgrade the"):
        Store.open(tmp_path / "server")
    assert [f.code for f in check(tmp_path / "server")] == ["schema"]
    with closed.locked() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(StoreError, match="holds no gallery"):
        Store.open(tmp_path / "server")
