"""The first schema. Never changed: `tables.py` says what today's is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_UNFINISHED = sa.text("state IN ('queued', 'running')")


def upgrade() -> None:
    """Make all tables."""
    _jobs()
    op.create_table(
        "outputs",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("room", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name="one_output"),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("seen", sa.Double, nullable=False),
    )
    queue = op.create_table(
        "queue",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.CheckConstraint("number = 1", name="one_queue"),
    )
    op.bulk_insert(queue, [{"number": 1, "identity": ""}])


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("work", sa.Text, nullable=False),
        sa.Column("target_room", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("cancel", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("deaths", sa.Integer, nullable=False),
        sa.Column("not_before", sa.Double, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("started", sa.Double),
        sa.Column("since", sa.Double),
        sa.Column("finished", sa.Double),
        sa.Column("worker", sa.Text),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("lease", sa.Double),
    )
    op.create_index("jobs_waiting", "jobs", ["state", "tenant", "key", "number"])
    op.create_index("jobs_tenant", "jobs", ["tenant", "number"])
    op.create_index(
        "jobs_request",
        "jobs",
        ["tenant", "request"],
        unique=True,
        sqlite_where=_UNFINISHED,
        postgresql_where=_UNFINISHED,
    )
    op.create_index("jobs_ended", "jobs", ["finished"])
