"""The tables. SQLAlchemy Core rather than the ORM: all work is on sets of rows, none on objects.

What a row means:

* `gallery`: one row. Whoever writes locks it first; `changes` counts write transactions.
* `subjects`: `merged_into` is set where a subject was merged; the row only keeps its id known.
* `templates`: live if neither it nor its subject is deleted. `added`: when, in UTC seconds.
* `entries`: live places of owners in blocks. The owner is the number of a subject (mode "mean") or
  of a template (mode "each"). What changes an owner removes its entry in the same transaction.
* `waiting` of an owner: it is live, and has no entry.
* `revision` of an owner: the number of the change that last touched it. Numbers of changes are
  never used twice, so that an id that was purged and added again is not taken for the former one.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

from fhe_face.store.columns import Number

#: The newest migration: the schema that this program reads and writes.
HEAD: Final = "0001"
MEAN: Final = "mean"
EACH: Final = "each"

metadata: Final = MetaData()

gallery: Final = Table(
    "gallery",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("version", Number, nullable=False),
    Column("changes", Number, nullable=False),
    Column("facts", Text, nullable=False),
    Column("settings", LargeBinary, nullable=False),
    CheckConstraint("number = 1", name="one_gallery"),
)

subjects: Final = Table(
    "subjects",
    metadata,
    Column("number", Number, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("name", LargeBinary),
    Column("merged_into", Number, ForeignKey("subjects.number")),
    Column("deleted", Boolean, nullable=False),
    Column("waiting", Boolean, nullable=False),
    Column("revision", Number, nullable=False),
    sqlite_autoincrement=True,
)

templates: Final = Table(
    "templates",
    metadata,
    Column("number", Number, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("subject", Number, ForeignKey("subjects.number"), nullable=False),
    Column("source", Text),
    Column("record", LargeBinary, nullable=False),
    Column("added", Number, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("waiting", Boolean, nullable=False),
    Column("revision", Number, nullable=False),
    sqlite_autoincrement=True,
)

blocks: Final = Table(
    "blocks",
    metadata,
    Column("number", Number, primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("count", Integer, nullable=False),
    sqlite_autoincrement=True,
)

entries: Final = Table(
    "entries",
    metadata,
    Column("block", Number, ForeignKey("blocks.number"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("owner", Number, nullable=False, unique=True),
    Column("revision", Number, nullable=False),
    sqlite_with_rowid=False,
)

refusals: Final = Table(
    "refusals",
    metadata,
    Column("source", Text, primary_key=True),
    Column("reason", LargeBinary, nullable=False),
)

#: In an order in which rows can be inserted.
ALL: Final = (gallery, subjects, templates, blocks, entries, refusals)

# Partial indexes: what waits, and what was merged, is few among many.
Index(
    "subjects_waiting",
    subjects.c.number,
    sqlite_where=subjects.c.waiting,
    postgresql_where=subjects.c.waiting,
)
Index(
    "templates_waiting",
    templates.c.number,
    sqlite_where=templates.c.waiting,
    postgresql_where=templates.c.waiting,
)
Index(
    "subjects_merged_into",
    subjects.c.merged_into,
    sqlite_where=subjects.c.merged_into.is_not(None),
    postgresql_where=subjects.c.merged_into.is_not(None),
)
# Both cover a query: the rows themselves, with their records, are not read.
Index("templates_subject", templates.c.subject, templates.c.deleted)
Index("templates_source", templates.c.source)
