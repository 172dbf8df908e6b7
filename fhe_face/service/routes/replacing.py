"""New records for everything of a gallery: a new key, another network."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import anyio
from fastapi import APIRouter, Request

from fhe_face.service.context import Context, Enroller, Here
from fhe_face.service.errors import Invalid
from fhe_face.service.receiving import received
from fhe_face.service.replacing import Head, Lines
from fhe_face.service.routes import gallery_rows as rows
from fhe_face.service.routes.files import Id
from fhe_face.service.routes.galleries import LINES, opened
from fhe_face.service.rows import Caller, Room

router = APIRouter(
    prefix="/v1/galleries/{id}", tags=["galleries"]
)  # what is too large to be remembered
_BODY: Final = {"requestBody": {"required": True, "content": {LINES: {}}}}


@router.post("/records:replace", openapi_extra=_BODY)
async def replace_records(id: Id, request: Request, caller: Enroller, here: Here) -> rows.Version:
    """Give every template a new record, in one transaction, unless somebody was quicker (409).

    Lines of JSON, in this order: {"seen_version", "settings", "facts", "keys"}; {"forget": id};
    {"template", "source", "record"}; {"subject", "name"}; {"source", "reason"}; {"end": lines}.
    Each object has its names in the order given here. All blocks are removed.
    """
    await anyio.to_thread.run_sync(here.service.galleries.find, caller.tenant, id)
    async with received(request, here) as (file, _digest):
        return await anyio.to_thread.run_sync(_replace, here, caller, id, file)


def _replace(here: Context, caller: Caller, id: str, file: Path) -> rows.Version:
    lines = Lines.of(file)
    keys = _keys(here, caller, id, lines.head)
    replace = here.service.galleries.replace_all
    seen = lines.head.seen_version
    return rows.Version(version=replace(caller.tenant, id, seen, lines.replacement(), keys))


def _keys(here: Context, caller: Caller, id: str, head: Head) -> Path | None:
    """The file of a new key's evaluation keys. Invalid: the facts name another key."""
    said = head.facts.get("key_id")
    if head.keys is None:
        with opened(here, caller, id) as store:
            if said != store.facts.get("key_id"):
                raise Invalid("facts: another key_id, and keys names no gallery-keys of it")
        return None
    blobs = here.service.blobs
    path = blobs.path(caller.tenant, Room.GALLERY_KEYS, head.keys)
    if said != blobs.find(caller.tenant, Room.GALLERY_KEYS, head.keys).key_id:
        raise Invalid("facts: key_id is not that of the gallery's evaluation keys")
    return path
