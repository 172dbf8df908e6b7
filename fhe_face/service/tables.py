"""The service's tables. SQLAlchemy Core, as in `fhe_face.store.tables`.

What a row means:

* `tenants`: a namespace with its quotas. Everything else belongs to one, and every query names it.
* `tokens`: the SHA-256 of a token, never the token. `scopes`: names, separated by spaces.
* `resources`: a container file under a name of the tenant's own choice. `digest` names its content;
  equal content of one tenant is one file. `front`: the header's bytes while sections are missing.
* `sections`: those of files that are not complete; `here`: it was received, verified and synced.
* `galleries`: folders of `fhe_face.store`; `bytes`: of block files, for the quota.
* `answers`: to POSTs with an idempotency key; `status` is null while the first one runs.
* `audit`: who did what; only added to.

Jobs have tables of their own: `fhe_face.service.jobs`.

Times are UTC seconds.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from fhe_face.store.columns import Number

#: The newest migration: the schema that this program reads and writes.
HEAD: Final = "s0001"

metadata: Final = MetaData()

tenants: Final = Table(
    "tenants",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created", Number, nullable=False),
    Column("bytes", Number, nullable=False),
    Column("jobs", Integer, nullable=False),
    Column("requests", Integer, nullable=False),
)

tokens: Final = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, ForeignKey("tenants.name"), nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("created", Number, nullable=False),
    Column("expires", Number),
    Column("revoked", Number),
)

resources: Final = Table(
    "resources",
    metadata,
    Column("number", Number, primary_key=True),
    Column("tenant", Text, ForeignKey("tenants.name"), nullable=False),
    Column("room", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("bytes", Number, nullable=False),
    Column("facts", Text, nullable=False),
    Column("front", LargeBinary),
    Column("created", Number, nullable=False),
    Column("touched", Number, nullable=False),
    UniqueConstraint("tenant", "room", "id"),
    sqlite_autoincrement=True,
)
Index("resources_digest", resources.c.tenant, resources.c.digest)
Index("resources_state", resources.c.state, resources.c.touched)

sections: Final = Table(
    "sections",
    metadata,
    Column("resource", Number, ForeignKey("resources.number"), primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("here", Boolean, nullable=False),
)

galleries: Final = Table(
    "galleries",
    metadata,
    Column("tenant", Text, ForeignKey("tenants.name"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("folder", Text, nullable=False, unique=True),
    Column("key_id", Text, nullable=False),
    Column("bytes", Number, nullable=False),
    Column("created", Number, nullable=False),
)

answers: Final = Table(
    "answers",
    metadata,
    Column("tenant", Text, ForeignKey("tenants.name"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request", Text, nullable=False),
    Column("status", Integer),
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created", Number, nullable=False),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("number", Number, primary_key=True),
    Column("at", Number, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("request", Text, nullable=False),
    sqlite_autoincrement=True,
)

#: In an order in which rows can be inserted.
ALL: Final = (tenants, tokens, resources, sections, galleries, answers, audit)
