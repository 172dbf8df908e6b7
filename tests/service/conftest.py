"""Services in SQLite and in PostgreSQL; without PostgreSQL's programs the latter are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fhe_face.service.opening import Service
from tests.service import kit
from tests.store.conftest import postgres, url

__all__ = ["postgres", "service", "url"]


@pytest.fixture
def service(url: str | None, tmp_path: Path) -> Iterator[Service]:
    """A service with the tenants anna and ben, in either database."""
    with kit.make(tmp_path / "data", url) as made:
        yield made


@pytest.fixture
def world(tmp_path: Path) -> kit.World:
    """A service in SQLite, with its app and a queue in memory."""
    return kit.World(kit.make(tmp_path / "data"))


@pytest.fixture
def anna(world: kit.World) -> TestClient:
    """A client of the tenant anna, who may do all."""
    return world.client()


@pytest.fixture
def ready(anna: TestClient) -> TestClient:
    """The same, whose keys and faces are there."""
    kit.push(anna, "keys", "mine", kit.files().keys)
    kit.push(anna, "faces", "one", kit.files().faces)
    return anna
