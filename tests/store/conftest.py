"""Stores in SQLite and in PostgreSQL; without PostgreSQL's programs the latter are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fhe_face.store import Store
from tests.store.postgres import Postgres, programs, running

Make = Callable[..., Store]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests of the session."""
    binaries = programs()
    if binaries is None:
        pytest.skip("no PostgreSQL: install the package `postgresql`")
    pytest.importorskip("psycopg", reason="no psycopg: pip install 'fhe-face[postgres]'")
    with running(binaries) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Where rows are kept: None for SQLite."""
    if request.param == "sqlite":
        return None
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def make(url: str | None, tmp_path: Path) -> Iterator[Make]:
    """Makes an empty store; all are closed at the end."""
    made: list[Store] = []

    def create(mode: str = "mean", name: str = "server") -> Store:
        made.append(Store.create(tmp_path / name, {"mode": mode}, b"settings", url))
        return made[-1]

    yield create
    for store in made:
        store.close()
