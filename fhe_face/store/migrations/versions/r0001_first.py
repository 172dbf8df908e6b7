"""The first schema. Never changed: `tables.py` says what today's is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make all tables."""
    _gallery()
    _faces()
    _index()


def _gallery() -> None:
    op.create_table(
        "gallery",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", _NUMBER, nullable=False),
        sa.Column("changes", _NUMBER, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("settings", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("number = 1", name="one_gallery"),
    )


def _faces() -> None:
    op.create_table(
        "subjects",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.LargeBinary),
        sa.Column("merged_into", _NUMBER, sa.ForeignKey("subjects.number")),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("revision", _NUMBER, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "templates",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("subject", _NUMBER, sa.ForeignKey("subjects.number"), nullable=False),
        sa.Column("source", sa.Text),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("added", _NUMBER, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("revision", _NUMBER, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "refusals",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("reason", sa.LargeBinary, nullable=False),
    )
    op.create_index("templates_subject", "templates", ["subject", "deleted"])
    op.create_index("templates_source", "templates", ["source"])
    waiting, merged = sa.column("waiting", sa.Boolean), sa.column("merged_into").is_not(None)
    _partial("subjects_waiting", "subjects", "number", waiting)
    _partial("templates_waiting", "templates", "number", waiting)
    _partial("subjects_merged_into", "subjects", "merged_into", merged)


def _partial(name: str, table: str, column: str, where: sa.ColumnElement[bool]) -> None:
    op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)


def _index() -> None:
    op.create_table(
        "blocks",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("count", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "entries",
        sa.Column("block", _NUMBER, sa.ForeignKey("blocks.number"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("owner", _NUMBER, nullable=False, unique=True),
        sa.Column("revision", _NUMBER, nullable=False),
        sqlite_with_rowid=False,
    )
