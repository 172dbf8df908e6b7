"""The first schema. Never changed: `tables.py` says what today's is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "a0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make all tables."""
    _asking()
    _knowing()
    _telling()


def _asking() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("sender", sa.Text),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("created", _NUMBER, nullable=False),
        sa.Column("expires", _NUMBER),
        sa.Column("revoked", _NUMBER),
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False, unique=True),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("sender", sa.Text),
        sa.Column("subject", sa.Text),
        sa.Column("gallery", sa.Text),
        sa.Column("names", sa.Boolean, nullable=False),
        sa.Column("created", _NUMBER, nullable=False),
        sa.Column("expires", _NUMBER, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("opened", _NUMBER),
        sa.Column("digest", sa.Text),
        sa.Column("word", sa.Text),
        sa.Column("found", sa.Text),
        sa.Column("near", sa.Boolean),
        sa.Column("ended", _NUMBER),
    )
    op.create_index("requests_device", "requests", ["device", "opened"])
    op.create_index("requests_subject", "requests", ["subject", "opened"])
    op.create_index("requests_opened", "requests", ["opened"])


def _knowing() -> None:
    op.create_table(
        "thresholds",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("same_from", sa.Float, nullable=False),
        sa.Column("different_below", sa.Float, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("weights", sa.Text),
    )
    op.create_table(
        "galleries",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("updated", _NUMBER, nullable=False),
        sa.Column("crossing", sa.Text),
    )
    op.create_table(
        "places",
        sa.Column("gallery", sa.Text, sa.ForeignKey("galleries.name"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("live", sa.LargeBinary, nullable=False),
        sa.Column("owners", sa.Text, nullable=False),
    )


def _telling() -> None:
    op.create_table(
        "alarms",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("at", _NUMBER, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("closed", _NUMBER),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "log",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("at", _NUMBER, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("word", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER log_no_{change.lower()} BEFORE {change} ON log "
            "BEGIN SELECT RAISE(ABORT, 'the log is only added to'); END"
        )
