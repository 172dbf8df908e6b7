"""A service on SQLite or PostgreSQL, and a client with a tiny key."""

from __future__ import annotations

from tests.service.jobs.conftest import owner
from tests.store.conftest import postgres, url

__all__ = ["owner", "postgres", "url"]
