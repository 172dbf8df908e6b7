"""The queue's tables.

What a row means:

* `jobs`: one computation that a tenant asked for. `request` names what was asked, target included;
  of all jobs of a tenant with the same request only one is waiting or running. `work` names the
  computation alone. Whoever claims a job gets a new `token`: a worker that was taken for dead
  cannot end a job that another has by now. `lease`: until when its worker need not be looked for.
  `since`: when the part that is being computed was begun. `deaths`, `failures`: since a part ended.
* `outputs`: where the output of a name is, so that nothing is computed twice for a tenant.
* `workers`: who is alive, as of `seen`, and what engine it has.
* `queue`: one row, locked by whoever claims, so that two workers never choose the same.

Times are seconds since 1970 by the database's clock, since several machines write them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from fhe_face.store.columns import Number

#: The newest migration: the schema that this program reads and writes.
HEAD: Final = "0001"
UNFINISHED: Final = text("state IN ('queued', 'running')")

metadata: Final = MetaData()

queue: Final = Table(
    "queue",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("identity", Text, nullable=False),
    CheckConstraint("number = 1", name="one_queue"),
)

jobs: Final = Table(
    "jobs",
    metadata,
    Column("number", Number, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("work", Text, nullable=False),
    Column("target_room", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("cancel", Boolean, nullable=False),
    Column("error", Text),
    Column("failures", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("since", Double),
    Column("finished", Double),
    Column("worker", Text),
    Column("token", Integer, nullable=False),
    Column("lease", Double),
    Index("jobs_waiting", "state", "tenant", "key", "number"),
    Index("jobs_tenant", "tenant", "number"),
    Index(
        "jobs_request",
        "tenant",
        "request",
        unique=True,
        sqlite_where=UNFINISHED,
        postgresql_where=UNFINISHED,
    ),
    Index("jobs_ended", "finished"),
)

outputs: Final = Table(
    "outputs",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("room", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("created", Double, nullable=False),
    PrimaryKeyConstraint("tenant", "name", name="one_output"),
)

workers: Final = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("seen", Double, nullable=False),
)
