"""Blocks of galleries, and searches in them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import anyio
from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse

from fhe_core.container import ContainerError, Corrupt
from fhe_core.files import shown
from fhe_core.formats.matching import check_block
from fhe_face.service.context import Context, Enroller, Here, Reader, Searcher
from fhe_face.service.galleries import block_bytes
from fhe_face.service.models import BlockChange, Digest
from fhe_face.service.receiving import received
from fhe_face.service.remembered import Remembered
from fhe_face.service.routes import gallery_rows as rows
from fhe_face.service.routes.files import BINARY, RAW, Id
from fhe_face.service.routes.galleries import opened
from fhe_face.store.errors import NotStored
from fhe_face.store.rows import NewBlock, Owner

_PIECE: Final = 1 << 20
router = APIRouter(prefix="/v1/galleries/{id}", tags=["galleries"], route_class=Remembered)
Sha256 = Annotated[Digest, InPath()]


@router.get("/blocks")
def blocks(id: Id, caller: Reader, here: Here) -> rows.BlockList:
    """All blocks, in the order of searching."""
    with opened(here, caller, id) as store:
        version = store.version
        found = store.blocks()
    items = [
        rows.BlockOut(digest=b.digest, number=b.number, count=b.count, live=b.live) for b in found
    ]
    return rows.BlockList(items=items, version=version)


@router.get("/blocks/{digest}/entries")
def entries(id: Id, digest: Sha256, caller: Reader, here: Here) -> rows.EntryList:
    """The live positions of a block: [position, owner, revision]."""
    with opened(here, caller, id) as store:
        found = store.entries(digest)
    items = [(one.position, one.owner.id, one.owner.revision) for one in found]
    return rows.EntryList(items=items)


@router.get(
    "/blocks/{digest}/content",
    response_class=FileResponse,
    responses={200: {"content": {BINARY: {}}}},
)
def content(id: Id, digest: Sha256, caller: Reader, here: Here) -> FileResponse:
    """A block's file. Whoever reads it compares it with its name."""
    with opened(here, caller, id) as store:
        store.entries(digest)  # refuses what is no block of this gallery
        path = store.block_path(digest)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise NotStored(
            f"the file of block {digest} is missing: seal its templates again"
        ) from None
    headers = {"ETag": f'"{digest}"'}
    return FileResponse(path, media_type=BINARY, headers=headers, stat_result=status)


@router.put("/blocks/{digest}", status_code=204, openapi_extra=RAW)
async def put_block(id: Id, digest: Sha256, request: Request, caller: Enroller, here: Here) -> None:
    """Send a block's whole file. It counts when `blocks:replace` names it."""
    found = await anyio.to_thread.run_sync(here.service.galleries.find, caller.tenant, id)
    async with received(request, here) as (file, said):
        if said != digest:
            raise Corrupt("the block does not fit its name: send it again")
        block = Received(caller.tenant, id, digest, file)
        await anyio.to_thread.run_sync(_keep, here, block, found.key_id)


@router.post("/blocks:replace")
def replace(id: Id, body: BlockChange, caller: Enroller, here: Here) -> rows.Version:
    """Change the index in one transaction, unless somebody was quicker (409)."""
    new = [
        NewBlock(one.digest, [Owner(owner, revision) for owner, revision in one.owners])
        for one in body.add
    ]
    with opened(here, caller, id) as store:
        old = sum(block_bytes(store, digest) for digest in set(body.remove))
        version = store.replace_blocks(
            body.seen_version, body.remove, new, body.settings, body.facts
        )
    here.service.galleries.release(caller.tenant, id, old)
    return rows.Version(version=version)


@router.post("/purge")
def purge(id: Id, caller: Enroller, here: Here) -> rows.Purged:
    """Remove for good what is deleted. Blocks that still hold some of it are named."""
    with opened(here, caller, id) as store:
        return rows.Purged(**store.purge()._asdict())


@router.post(
    "/searches",
    response_class=Response,
    openapi_extra=RAW,
    responses={200: {"content": {BINARY: {}}}},
)
async def search(id: Id, request: Request, caller: Searcher, here: Here) -> Response:
    """Search with a sealed probe; the answer is a file of sealed scores."""
    folder = await anyio.to_thread.run_sync(here.service.galleries.folder, caller.tenant, id)
    probe = await request.body()
    seconds = here.settings.search_seconds
    with here.place_to_search(caller.tenant):
        answer = await anyio.to_thread.run_sync(
            here.queue.search, folder, probe, seconds, limiter=here.searches
        )
    headers = {
        "X-Gallery-Version": str(answer.version),
        "X-Gallery-Changes": str(answer.changes),
        "X-Gallery-Damaged": str(len(answer.damaged)),
    }
    return Response(answer.scores, media_type=BINARY, headers=headers)


@dataclass(frozen=True)
class Received:
    """A block's file that came over the network."""

    tenant: str
    gallery: str
    digest: str
    file: Path


def _keep(here: Context, block: Received, key_id: str) -> None:
    """Check a block, and put it beside the others of its gallery."""
    galleries, size = here.service.galleries, block.file.stat().st_size

    def copy(target: BinaryIO) -> None:
        with block.file.open("rb") as source:
            shutil.copyfileobj(source, target, _PIECE)

    with galleries.open(block.tenant, block.gallery) as store:
        _check(here, block, str(store.facts.get("key_id", key_id)))
        if store.block_path(block.digest).exists():
            return
        galleries.reserve(block.tenant, block.gallery, size)
        try:
            store.write_block(copy)
        except BaseException:
            galleries.release(block.tenant, block.gallery, size)
            raise


def _check(here: Context, block: Received, key_id: str) -> None:
    try:
        check_block(block.file, here.circuits.gallery, key_id)
    except ContainerError as error:  # the client knows nothing of our files' names
        raise type(error)(str(error).replace(shown(block.file), "the block")) from None
