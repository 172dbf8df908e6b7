"""A service with a queue, on SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.jobs.engine import COUNTS
from tests.service.jobs.kit import Kit, Owner, make_kit, make_owner
from tests.store.conftest import postgres, url

__all__ = ["postgres", "url"]


@pytest.fixture(scope="session")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Owner:
    """A client with a tiny key."""
    return make_owner(tmp_path_factory.mktemp("keys"), "one")


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Owner:
    """Another one."""
    return make_owner(tmp_path_factory.mktemp("keys"), "two")


@pytest.fixture
def kit(tmp_path: Path, owner: Owner, url: str | None) -> Iterator[Kit]:
    """An empty service."""
    made = make_kit(tmp_path / "service", owner, url)
    yield made
    made.close()


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process and its workers count what they compute."""
    path = tmp_path / "counts"
    monkeypatch.setenv(COUNTS, str(path))
    return path
