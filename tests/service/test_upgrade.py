"""What an earlier release has written is opened by this one, whichever its schemas are."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData

from fhe_face.service import tables as service_tables
from fhe_face.service.audit import read_deeds
from fhe_face.service.errors import NotComplete
from fhe_face.service.jobs import tables as job_tables
from fhe_face.service.jobs.queue import open_queue
from fhe_face.service.opening import Service, open_service
from fhe_face.service.queueing import State
from fhe_face.service.rows import Room
from fhe_face.service.settings import Settings
from fhe_face.service.tenants import all_tenants
from fhe_face.service.tokens import all_tokens
from fhe_face.store import tables as gallery_tables
from fhe_face.store.database import Database, sqlite_database
from fhe_face.store.migrating import BACKUP_MARK
from tests.service.freeze import FILES

FROZEN = Path(__file__).parent / "frozen"
RELEASES = sorted(path.name for path in FROZEN.iterdir())
TABLES = {"service": service_tables, "jobs": job_tables, "gallery": gallery_tables}


def thaw(release: str, folder: Path) -> None:
    """The databases of a release, where a service has them."""
    (gallery,) = re.findall(
        r'INSERT INTO "galleries" VALUES\(\'anna\',\'home\',\'(\w+)\'',
        (FROZEN / release / "service.sql").read_text(),
    )
    places = {"gallery": folder / "galleries" / "anna" / gallery}
    for name, file in FILES.items():
        place = places.get(name, folder)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        (place / "blocks").mkdir(exist_ok=True)
        with closing(sqlite3.connect(place / file)) as database:
            database.executescript((FROZEN / release / f"{name}.sql").read_text())
        (place / file).chmod(0o600)


def require_all(service: Service) -> None:
    """Everything that `freeze.fill` has put there."""
    assert [one.name for one in all_tenants(service.database)] == ["anna", "ben"]
    assert [one.label for one in all_tokens(service.database, "anna")] == ["door"]
    assert [one.action for one in read_deeds(service.database, "anna", 9)] == ["PUT"]
    names = {room: [one.id for one in service.blobs.page("anna", room, 9)] for room in Room}
    assert names[Room.FACES] == ["one", "three"]
    assert (names[Room.KEYS], names[Room.GALLERY_KEYS]) == (["mine"], ["ring"])
    assert names[Room.EMBEDDINGS] == ["done"]
    with closing(open_queue(service, Settings())) as queue:
        states = {one.target: one.state for one in queue.list("anna", 9)}
        assert states == {
            "done": State.DONE,
            "failed": State.FAILED,
            "waiting": State.QUEUED,
        }
        assert queue.waiting("anna") == 1
    with service.galleries.open("anna", "home") as store:
        assert store.settings == b"sealed"
        assert {row.id: row.name for row in store.subjects()} == {"ann": b"name", "bob": None}
        assert {row.id: row.source for row in store.templates()} == {"t0": "photo0", "t1": "photo1"}
        assert [row.source for row in store.refusals()] == ["photo9"]


@pytest.mark.parametrize("release", RELEASES)
def test_a_release_is_upgraded(tmp_path: Path, release: str) -> None:
    folder = tmp_path / "data"
    thaw(release, folder)
    with open_service(folder) as service:
        require_all(service)
        with pytest.raises(NotComplete):
            service.blobs.path("ben", Room.GALLERY_KEYS, "begun")
    for name, file in FILES.items():
        (path,) = folder.rglob(file)
        with opened(path) as database:
            require_schema(database, TABLES[name].metadata)
        was = revision(FROZEN / release / f"{name}.sql")
        copies = list(path.parent.glob(f"{file}{BACKUP_MARK}*"))  # what it was before
        assert bool(copies) == (was != TABLES[name].HEAD)


def revision(sql: Path) -> str:
    """The schema of a frozen database."""
    (found,) = re.findall(r'INSERT INTO "alembic_version" VALUES\(\'(\w+)\'\)', sql.read_text())
    return str(found)


@contextmanager
def opened(path: Path) -> Iterator[Database]:
    database = sqlite_database(path)
    yield database
    database.engine.dispose()


def require_schema(database: Database, tables: MetaData) -> None:
    """The tables are those that this program makes anew."""
    with database.reading() as connection:
        found = compare_metadata(MigrationContext.configure(connection), tables)
    assert [one for one in found if "alembic_version" not in str(one)] == []
