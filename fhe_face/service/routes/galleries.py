"""Galleries: sealed rows and blocks of `fhe_face.store`. Who is alike is never decided here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from fhe_face.service.context import Context, Enroller, Here, Reader
from fhe_face.service.errors import Invalid
from fhe_face.service.models import (
    Addition,
    Chosen,
    Merge,
    Move,
    NewGallery,
    NewSettings,
    Owners,
    Rename,
)
from fhe_face.service.remembered import Remembered
from fhe_face.service.routes import gallery_rows as rows
from fhe_face.service.routes.files import Id
from fhe_face.service.rows import Caller, Room
from fhe_face.store.rows import Refusal, StoredTemplate, Subject, Template
from fhe_face.store.store import Store

LINES: Final = "application/x-ndjson"
_CHUNK: Final = 1 << 16
_STREAM: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {LINES: {}}}}
router = APIRouter(prefix="/v1/galleries", tags=["galleries"], route_class=Remembered)
StoredId = Annotated[str, Query(min_length=1, max_length=512)]


@contextmanager
def opened(here: Context, caller: Caller, id: str) -> Iterator[Store]:
    """A gallery's store, for one request."""
    with here.service.galleries.open(caller.tenant, id) as store:
        yield store


# --- the gallery itself --------------------------------------------------------------------------


@router.get("")
def galleries(caller: Reader, here: Here) -> rows.GalleryList:
    """Your galleries, by name."""
    found = here.service.galleries.all(caller.tenant)
    return rows.GalleryList(
        items=[
            rows.GalleryItem(id=g.id, key_id=g.key_id, bytes=g.bytes, created=g.created)
            for g in found
        ]
    )


@router.put("/{id}", responses={201: {"model": rows.Gallery}})
def create(
    id: Id, body: NewGallery, caller: Enroller, here: Here, response: Response
) -> rows.Gallery:
    """Make a gallery. The same again changes nothing; with other facts it is refused."""
    keys = here.service.blobs.find(caller.tenant, Room.GALLERY_KEYS, body.keys)
    path = here.service.blobs.path(caller.tenant, Room.GALLERY_KEYS, body.keys)
    if body.facts.get("key_id", keys.key_id) != keys.key_id:
        raise Invalid("facts: key_id is not that of the gallery's evaluation keys")
    make = here.service.galleries.create
    new = make(caller.tenant, id, body.facts, body.settings, path, keys.key_id)
    response.status_code = 201 if new else 200
    return _gallery(here, caller, id)


@router.get("/{id}")
def get(id: Id, caller: Reader, here: Here) -> rows.Gallery:
    """A gallery's facts, and how much is in it."""
    return _gallery(here, caller, id)


@router.delete("/{id}", status_code=204)
def delete(id: Id, caller: Enroller, here: Here) -> None:
    """Remove a gallery with everything in it, at once and for good."""
    here.service.galleries.delete(caller.tenant, id)


@router.get("/{id}/settings")
def settings(id: Id, caller: Reader, here: Here, response: Response) -> rows.GallerySettings:
    """The sealed settings; the ETag is for changing them."""
    with opened(here, caller, id) as store:
        version = store.version
        response.headers["ETag"] = f'"{version}"'
        return rows.GallerySettings(settings=store.settings, version=version)


@router.put("/{id}/settings")
def change_settings(
    id: Id,
    body: NewSettings,
    caller: Enroller,
    here: Here,
    if_match: Annotated[str, Header(max_length=64)],
) -> rows.Version:
    """Change the sealed settings, and facts, unless somebody was quicker."""
    seen = if_match.strip().strip('"')
    if not (seen.isascii() and seen.isdigit() and len(seen) < 18):
        raise Invalid("If-Match is the version that was read")
    with opened(here, caller, id) as store:
        version = store.replace_blocks(int(seen), [], [], body.settings, body.facts)
    return rows.Version(version=version)


@router.get("/{id}/state")
def state(id: Id, caller: Reader, here: Here) -> rows.GalleryState:
    """Grows with every change: ask whether something is new."""
    with opened(here, caller, id) as store:
        return rows.GalleryState(**store.state()._asdict())


@router.get("/{id}/counts")
def counts(id: Id, caller: Reader, here: Here) -> rows.GalleryCounts:
    """How much there is."""
    with opened(here, caller, id) as store:
        return rows.GalleryCounts(**store.counts()._asdict())


# --- subjects and templates ----------------------------------------------------------------------


@router.post("/{id}/add")
def add(id: Id, body: Addition, caller: Enroller, here: Here) -> rows.Added:
    """Add subjects, templates and refusals, in one transaction. What is there is left alone."""
    with opened(here, caller, id) as store:
        added = store.add(
            [Subject(one.id, one.name) for one in body.subjects],
            [Template(one.id, one.subject, one.source, one.record) for one in body.templates],
            [Refusal(one.source, one.reason) for one in body.refusals],
        )
    return rows.Added(**added._asdict())


@router.get("/{id}/subjects", response_class=StreamingResponse, responses=_STREAM)
def subjects(id: Id, caller: Reader, here: Here, deleted: bool = False) -> StreamingResponse:
    """All subjects, one on a line; the last line is {"end": how many}."""
    return _lines(
        here, caller, id, lambda store: map(rows.subject, store.subjects(include_deleted=deleted))
    )


@router.get("/{id}/merged", response_class=StreamingResponse, responses=_STREAM)
def merged(id: Id, caller: Reader, here: Here) -> StreamingResponse:
    """Subjects that were merged, and who they are now, one on a line."""
    return _lines(
        here, caller, id, lambda store: ({"id": id, "into": into} for id, into in store.merged())
    )


@router.get("/{id}/subjects/{subject:path}")
def subject(id: Id, subject: rows.StoredPath, caller: Reader, here: Here) -> rows.SubjectOut:
    """A subject, or the one that it was merged into."""
    with opened(here, caller, id) as store:
        return rows.subject_out(store.subject(subject))


@router.get("/{id}/templates", response_class=StreamingResponse, responses=_STREAM)
def templates(
    id: Id,
    caller: Reader,
    here: Here,
    subject: StoredId | None = None,
    deleted: bool = False,
    records: bool = True,
) -> StreamingResponse:
    """All templates, or a subject's, one on a line. records: false gives their SHA-256 instead."""

    def look(store: Store) -> Iterator[dict[str, Any]]:
        for one in store.templates(subject, include_deleted=deleted):
            yield rows.template(one, records)

    return _lines(here, caller, id, look)


@router.get("/{id}/templates/{template:path}")
def template(id: Id, template: rows.StoredPath, caller: Reader, here: Here) -> rows.TemplateOut:
    """A template."""
    with opened(here, caller, id) as store:
        return rows.template_out(store.template(template))


@router.post("/{id}/templates:of", response_class=StreamingResponse, responses=_STREAM)
def templates_of(id: Id, body: Owners, caller: Reader, here: Here) -> StreamingResponse:
    """The live templates of owners, an owner on a line, in the order asked."""

    def line(found: tuple[str, list[StoredTemplate]]) -> dict[str, Any]:
        owner, held = found
        return {"owner": owner, "templates": [rows.template(one, True) for one in held]}

    return _lines(here, caller, id, lambda store: map(line, store.templates_of(body.owners)))


@router.get("/{id}/pending", response_class=StreamingResponse, responses=_STREAM)
def pending(id: Id, caller: Reader, here: Here) -> StreamingResponse:
    """Owners without a place in a block, one on a line."""
    return _lines(here, caller, id, lambda store: (o._asdict() for o in store.pending()))


@router.get("/{id}/sources", response_class=StreamingResponse, responses=_STREAM)
def sources(id: Id, caller: Reader, here: Here) -> StreamingResponse:
    """All sources that are known, one on a line."""
    return _lines(here, caller, id, lambda store: sorted(store.sources()))


@router.get("/{id}/refusals", response_class=StreamingResponse, responses=_STREAM)
def refusals(id: Id, caller: Reader, here: Here) -> StreamingResponse:
    """All sources without a template, one on a line."""
    return _lines(here, caller, id, lambda store: map(rows.refusal, store.refusals()))


@router.post("/{id}/delete")
def mark_deleted(id: Id, body: Chosen, caller: Enroller, here: Here) -> rows.Marked:
    """Delete subjects and templates at once; until `purge` they can be had back."""
    with opened(here, caller, id) as store:
        return rows.Marked(
            subjects=store.delete_subjects(body.subjects) if body.subjects else 0,
            templates=store.delete_templates(body.templates) if body.templates else 0,
        )


@router.post("/{id}/undelete")
def undelete(id: Id, body: Chosen, caller: Enroller, here: Here) -> rows.Marked:
    """Bring subjects and templates back."""
    with opened(here, caller, id) as store:
        return rows.Marked(
            subjects=store.undelete_subjects(body.subjects) if body.subjects else 0,
            templates=store.undelete_templates(body.templates) if body.templates else 0,
        )


@router.post("/{id}/move", status_code=204)
def move(id: Id, body: Move, caller: Enroller, here: Here) -> None:
    """Give templates to another subject."""
    with opened(here, caller, id) as store:
        store.move(body.templates, body.subject)


@router.post("/{id}/rename", status_code=204)
def rename(id: Id, body: Rename, caller: Enroller, here: Here) -> None:
    """Change a subject's sealed name."""
    with opened(here, caller, id) as store:
        store.rename(body.subject, body.name)


@router.post("/{id}/merge", status_code=204)
def merge(id: Id, body: Merge, caller: Enroller, here: Here) -> None:
    """Give all templates of subjects to one."""
    with opened(here, caller, id) as store:
        store.merge(body.subjects, body.into)


def _gallery(here: Context, caller: Caller, id: str) -> rows.Gallery:
    found = here.service.galleries.find(caller.tenant, id)
    with Store.open(found.folder) as store:
        return rows.Gallery(
            id=id,
            key_id=found.key_id,
            created=found.created,
            facts=store.facts,
            counts=rows.GalleryCounts(**store.counts()._asdict()),
            **store.state()._asdict(),
        )


def _lines(
    here: Context, caller: Caller, id: str, look: Callable[[Store], Iterable[Any]]
) -> StreamingResponse:
    """A list as lines of JSON, in pieces; what refuses does so before the answer begins."""
    store = here.service.galleries.open(caller.tenant, id)

    def write() -> Iterator[bytes]:
        pending, count = bytearray(), 0
        with store:
            for value in look(store):
                pending += json.dumps(value, separators=(",", ":")).encode() + b"\n"
                count += 1
                if len(pending) >= _CHUNK:
                    yield bytes(pending)
                    pending.clear()
        yield bytes(pending) + json.dumps({"end": count}).encode() + b"\n"

    pieces = write()
    first = next(pieces)
    return StreamingResponse(chain([first], pieces), media_type=LINES)
