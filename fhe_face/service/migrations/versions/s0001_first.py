"""The first schema. Never changed: `tables.py` says what today's is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "s0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make all tables."""
    _people()
    _files()
    _doings()


def _people() -> None:
    op.create_table(
        "tenants",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("created", _NUMBER, nullable=False),
        sa.Column("bytes", _NUMBER, nullable=False),
        sa.Column("jobs", sa.Integer, nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, sa.ForeignKey("tenants.name"), nullable=False),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("created", _NUMBER, nullable=False),
        sa.Column("expires", _NUMBER),
        sa.Column("revoked", _NUMBER),
    )


def _files() -> None:
    op.create_table(
        "resources",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("tenant", sa.Text, sa.ForeignKey("tenants.name"), nullable=False),
        sa.Column("room", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("bytes", _NUMBER, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("front", sa.LargeBinary),
        sa.Column("created", _NUMBER, nullable=False),
        sa.Column("touched", _NUMBER, nullable=False),
        sa.UniqueConstraint("tenant", "room", "id"),
        sqlite_autoincrement=True,
    )
    op.create_index("resources_digest", "resources", ["tenant", "digest"])
    op.create_index("resources_state", "resources", ["state", "touched"])
    op.create_table(
        "sections",
        sa.Column("resource", _NUMBER, sa.ForeignKey("resources.number"), primary_key=True),
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("here", sa.Boolean, nullable=False),
    )
    op.create_table(
        "galleries",
        sa.Column("tenant", sa.Text, sa.ForeignKey("tenants.name"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("folder", sa.Text, nullable=False, unique=True),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("bytes", _NUMBER, nullable=False),
        sa.Column("created", _NUMBER, nullable=False),
    )


def _doings() -> None:
    op.create_table(
        "answers",
        sa.Column("tenant", sa.Text, sa.ForeignKey("tenants.name"), primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created", _NUMBER, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("at", _NUMBER, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
