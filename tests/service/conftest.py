"""Services in SQLite and in PostgreSQL; without PostgreSQL's programs the latter are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhe_face.service.opening import Service
from tests.service import kit
from tests.store.conftest import postgres, url

__all__ = ["postgres", "service", "url"]


@pytest.fixture
def service(url: str | None, tmp_path: Path) -> Iterator[Service]:
    """A service with the tenants anna and ben, in either database."""
    with kit.make(tmp_path / "data", url) as made:
        yield made
