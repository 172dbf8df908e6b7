"""Rows of a gallery, as a server sends them and takes them; sealed bytes are base64."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any, Final

from fhe_face.remote.answers import DIGEST, Fields
from fhe_face.remote.errors import BadAnswer
from fhe_face.remote.listing import Held, short
from fhe_face.store import (
    Added,
    Block,
    Counts,
    Entry,
    NewBlock,
    Owner,
    Purged,
    Refusal,
    Resealed,
    State,
    StoredSubject,
    StoredTemplate,
    Subject,
    Template,
)

#: Of a sealed record, name or reason; a store takes no more.
SEALED_BYTES: Final = 1 << 20
#: Ids of galleries' rows: as a store takes them.
_ID: Final = re.compile(r"[^\x00-\x1f\x7f]{1,512}")
_MOST: Final = 1 << 53


def encoded(data: bytes) -> str:
    """Bytes in JSON."""
    return base64.b64encode(data).decode()


def maybe_encoded(data: bytes | None) -> str | None:
    """Bytes in JSON, or null."""
    return None if data is None else encoded(data)


# --- to the server --------------------------------------------------------------------------------


def subject_json(row: Subject) -> dict[str, Any]:
    return {"id": row.id, "name": maybe_encoded(row.name)}


def template_json(row: Template) -> dict[str, Any]:
    return {**row._asdict(), "record": encoded(row.record)}


def refusal_json(row: Refusal) -> dict[str, Any]:
    return {"source": row.source, "reason": encoded(row.reason)}


def block_json(block: NewBlock) -> dict[str, Any]:
    return {
        "digest": block.digest,
        "owners": [[owner.id, owner.revision] for owner in block.owners],
    }


def resealed_json(row: Resealed) -> dict[str, Any]:
    return {"template": row.id, "source": row.source, "record": encoded(row.record)}


# --- from the server ------------------------------------------------------------------------------


def row_id(fields: Fields, name: str) -> str:
    """The id of a row. BadAnswer: it cannot be one."""
    return fields.match(name, _ID, "an id of 1 to 512 printable characters")


def subject(fields: Fields) -> StoredSubject:
    return StoredSubject(
        row_id(fields, "id"),
        fields.maybe_raw("name", SEALED_BYTES),
        fields.integer("templates"),
        fields.flag("deleted"),
    )


def template(fields: Fields) -> StoredTemplate:
    source = None if fields.values.get("source") is None else row_id(fields, "source")
    return StoredTemplate(
        row_id(fields, "id"),
        row_id(fields, "subject"),
        source,
        fields.raw("record", SEALED_BYTES),
        fields.flag("deleted"),
        fields.integer("added") if "added" in fields.values else 0,
    )


def held(fields: Fields) -> Held:
    source = None if fields.values.get("source") is None else row_id(fields, "source")
    id, subject = row_id(fields, "id"), row_id(fields, "subject")
    return Held(id, subject, source, short(fields.digest("sha256")), fields.flag("deleted"))


def merged(fields: Fields) -> tuple[str, str]:
    return row_id(fields, "id"), row_id(fields, "into")


def refusal(fields: Fields) -> Refusal:
    return Refusal(row_id(fields, "source"), fields.raw("reason", SEALED_BYTES))


def owner(fields: Fields) -> Owner:
    return Owner(row_id(fields, "id"), fields.integer("revision"))


def block(fields: Fields) -> Block:
    return Block(
        fields.digest("digest"),
        fields.integer("number"),
        fields.integer("count"),
        fields.integer("live"),
    )


def entries(fields: Fields, most: int) -> list[Entry]:
    """The live positions of a block, ascending, each of another owner.

    Raises:
        BadAnswer: anything else.
    """
    found: list[Entry] = []
    for value in fields.list("items", most):
        if not isinstance(value, list) or len(value) != 3:
            raise BadAnswer(f"{fields.where}: an entry is no list of three")
        named = Fields(dict(zip(("position", "id", "revision"), value, strict=True)), fields.where)
        position = named.integer("position", 0, most - 1)
        if found and position <= found[-1].position:
            raise BadAnswer(f"{fields.where}: the positions of a block do not ascend")
        found.append(Entry(position, owner(named)))
    if len({entry.owner.id for entry in found}) != len(found):
        raise BadAnswer(f"{fields.where}: somebody has two places in a block")
    return found


def state(fields: Fields) -> State:
    return State(fields.integer("version"), fields.integer("changes"))


def counts(fields: Fields) -> Counts:
    return Counts(*(fields.integer(name) for name in Counts._fields))


def added(fields: Fields, most: int) -> Added:
    return Added(*(_ids(fields, name, most) for name in Added._fields))


def purged(fields: Fields, most: int) -> Purged:
    unsealed = [one for one in _ids(fields, "unsealed", most) if DIGEST.fullmatch(one)]
    return Purged(
        fields.integer("subjects"), fields.integer("templates"), fields.integer("files"), unsealed
    )


def _ids(fields: Fields, name: str, most: int) -> list[str]:
    found = fields.list(name, most)
    return [row_id(Fields({"id": one}, fields.where), "id") for one in found]


def texts(values: Iterable[str]) -> list[str]:
    """Ids to be sent."""
    return [str(value) for value in values]
