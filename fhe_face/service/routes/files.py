"""Container files: the header first, then its sections, in any order and several at once."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse

from fhe_core.container import Corrupt
from fhe_face.service.context import Asking, Context, Here, needs
from fhe_face.service.errors import BodyTooLarge, LengthRequired, NotHere
from fhe_face.service.models import Digest, File, FilePage, MissingSection
from fhe_face.service.rows import ID_PATTERN, SCOPES, SENDING, Resource, Room
from fhe_face.service.sections import Incoming

BINARY: Final = "application/octet-stream"
#: Sections are written in pieces of this size.
_PIECE: Final = 1 << 20
RAW: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {BINARY: {"schema": {"type": "string", "format": "binary"}}},
    }
}
Id = Annotated[str, Path(pattern=f"^{ID_PATTERN}$", max_length=128)]
Sha256 = Annotated[Digest, Path()]
#: Rooms that clients may send files to; scores are made here only.
SENT: Final = (Room.KEYS, Room.GALLERY_KEYS, Room.DEVICE_KEYS, Room.FACES, Room.EMBEDDINGS)


def file_of(resource: Resource, missing: list[MissingSection] | None = None) -> File:
    """A resource as JSON."""
    return File(
        id=resource.id,
        room=resource.room.value,
        state=resource.state,
        kind=resource.kind,
        key_id=resource.key_id,
        digest=resource.digest,
        bytes=resource.bytes,
        created=resource.created,
        facts=dict(resource.facts),
        missing=missing,
    )


def files_router(room: Room) -> APIRouter:
    """All routes of a room."""
    router = APIRouter(prefix=f"/v1/{room}", tags=[room.value])
    _add_reading(router, room)
    if room in SENT:
        _add_sending(router, room)
    return router


def _add_reading(router: APIRouter, room: Room) -> None:
    def page(
        caller: Asking,
        here: Here,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[str, Query(max_length=128)] = "",
    ) -> FilePage:
        """Files by name."""
        found = here.service.blobs.page(caller.tenant, room, limit + 1, after)
        items = [file_of(resource) for resource in found[:limit]]
        return FilePage(items=items, next=items[-1].id if len(found) > limit else None)

    def get(id: Id, caller: Asking, here: Here) -> File:
        """A file's state, and which sections are missing."""
        return _described(here, here.service.blobs.find(caller.tenant, room, id))

    def content(id: Id, caller: Asking, here: Here) -> FileResponse:
        """The whole file; parts of it by Range."""
        path = here.service.blobs.path(caller.tenant, room, id)
        try:
            status = path.stat()
        except FileNotFoundError:
            raise NotHere(f"there is nothing of this name in {room}") from None
        headers = {"ETag": f'"{path.stem}"'}
        return FileResponse(path, media_type=BINARY, headers=headers, stat_result=status)

    def delete(id: Id, caller: Asking, here: Here) -> None:
        """Remove a file, or an upload that is not complete."""
        here.service.blobs.delete(caller.tenant, room, id)

    name = room.value.replace("-", "_")
    add = partial(router.add_api_route, dependencies=[Depends(needs(SCOPES[room]))])
    add("", page, methods=["GET"], operation_id=f"list_{name}")
    add("/{id}", get, methods=["GET"], operation_id=f"get_{name}")
    add(
        "/{id}/content",
        content,
        methods=["GET"],
        operation_id=f"read_{name}",
        response_class=FileResponse,
        responses={200: {"content": {BINARY: {}}}, 206: {"content": {BINARY: {}}}},
    )
    add("/{id}", delete, methods=["DELETE"], status_code=204, operation_id=f"delete_{name}")


def _add_sending(router: APIRouter, room: Room) -> None:
    async def put(id: Id, request: Request, response: Response, caller: Asking, here: Here) -> File:
        """Send a file's beginning: its header, with its checksum. The answer lists what is missing.

        The same again is how an upload goes on after it was cut off.
        """
        data = await request.body()

        def begin() -> tuple[File, bool]:
            resource, new = here.uploads.begin(caller.tenant, room, id, data)
            return _described(here, resource), new

        file, new = await anyio.to_thread.run_sync(begin)
        response.status_code = 201 if new else 200
        return file

    async def section(id: Id, digest: Sha256, request: Request, caller: Asking, here: Here) -> None:
        """Send one section. It counts when it is verified and on the disk."""
        length = request.headers.get("content-length")
        if length is None:
            raise LengthRequired("send Content-Length: a section's length is known")

        def prepare() -> Incoming | None:
            return here.uploads.receive(caller.tenant, room, id, digest)

        incoming = await anyio.to_thread.run_sync(prepare)
        if incoming is not None:
            await _receive(request, incoming, int(length))

    name = room.value.replace("-", "_")
    add = partial(router.add_api_route, dependencies=[Depends(needs(SENDING[room]))])
    add(
        "/{id}",
        put,
        methods=["PUT"],
        operation_id=f"put_{name}",
        openapi_extra=RAW,
        responses={201: {"model": File}},
    )
    add(
        "/{id}/sections/{digest}",
        section,
        methods=["PUT"],
        status_code=204,
        operation_id=f"put_{name}_section",
        openapi_extra=RAW,
    )


async def _receive(request: Request, incoming: Incoming, length: int) -> None:
    run = anyio.to_thread.run_sync
    try:
        if length > incoming.length:
            raise BodyTooLarge(f"this section has {incoming.length} bytes, not {length}")
        if length < incoming.length:
            raise Corrupt(f"this section has {incoming.length} bytes, not {length}")
        pending = bytearray()
        async for piece in request.stream():
            pending += piece
            if len(pending) >= _PIECE:
                await run(incoming.write, bytes(pending))
                pending.clear()
        if pending:
            await run(incoming.write, bytes(pending))
        await run(incoming.finish)
    finally:
        incoming.abort()


def _described(here: Context, resource: Resource) -> File:
    missing = [
        MissingSection(section=one.section, digest=one.digest, bytes=one.bytes)
        for one in here.uploads.missing(resource)
    ]
    return file_of(resource, missing)


def result_name(*parts: str) -> str:
    """The name of what is computed from these, where the caller gives none."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]
