"""The authority's tables. SQLAlchemy Core, as in `fhe_face.store.tables`.

What a row means:

* `tokens`: the SHA-256 of a token, never the token. `scopes`: names, separated by spaces.
  `sender`: the id of the key that the device encrypts with; null: any.
* `requests`: what a device has announced; one face, one question, one answer. `token`: what its
  result must carry. `opened`, `digest`: when the one result that counts was counted, and which it
  is, before anything was decrypted. `word`: the answer; `near`: it was a close one, for alarms;
  `ended`: an enrolled face that counts no more. Never deleted once they were opened: a request
  that was forgotten could be answered again.
* `thresholds`: of matches (name "match") and of galleries ("gallery NAME").
* `galleries`, `places`: what a gallery held when its owner last told us: blocks in order, their
  live positions, and whose these are; `crossing`: where its server searches by itself, from which
  engine's key (JSON).
* `alarms`: for an operator; `closed` by one.
* `log`: who asked what and was told what, each line with the hash of the one before. Only added to;
  triggers hold it. It holds no score.

No table holds a number that was decrypted. Times are UTC seconds.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Float,
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
HEAD: Final = "a0001"

metadata: Final = MetaData()

tokens: Final = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("device", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("sender", Text),
    Column("label", Text, nullable=False),
    Column("created", Number, nullable=False),
    Column("expires", Number),
    Column("revoked", Number),
)

requests: Final = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("token", Text, nullable=False, unique=True),
    Column("device", Text, nullable=False),
    Column("sender", Text),
    Column("subject", Text),
    Column("gallery", Text),
    Column("names", Boolean, nullable=False),
    Column("created", Number, nullable=False),
    Column("expires", Number, nullable=False),
    Column("state", Text, nullable=False),
    Column("opened", Number),
    Column("digest", Text),
    Column("word", Text),
    Column("found", Text),
    Column("near", Boolean),
    Column("ended", Number),
)
Index("requests_device", requests.c.device, requests.c.opened)
Index("requests_subject", requests.c.subject, requests.c.opened)
Index("requests_opened", requests.c.opened)

thresholds: Final = Table(
    "thresholds",
    metadata,
    Column("name", Text, primary_key=True),
    Column("same_from", Float, nullable=False),
    Column("different_below", Float, nullable=False),
    Column("origin", Text, nullable=False),
    Column("weights", Text),
)

galleries: Final = Table(
    "galleries",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("updated", Number, nullable=False),
    Column("crossing", Text),
)

places: Final = Table(
    "places",
    metadata,
    Column("gallery", Text, ForeignKey("galleries.name"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("live", LargeBinary, nullable=False),
    Column("owners", Text, nullable=False),
)

alarms: Final = Table(
    "alarms",
    metadata,
    Column("number", Number, primary_key=True),
    Column("at", Number, nullable=False),
    Column("what", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("closed", Number),
    sqlite_autoincrement=True,
)

log: Final = Table(
    "log",
    metadata,
    Column("number", Number, primary_key=True),
    Column("at", Number, nullable=False),
    Column("event", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("word", Text, nullable=False),
    Column("hash", Text, nullable=False),
)
