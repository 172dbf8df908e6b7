"""Galleries in SQLite and in PostgreSQL, by the fixtures of the store's tests."""

from __future__ import annotations

from tests.store.conftest import postgres, url

__all__ = ["postgres", "url"]
