"""The JSON of what galleries hold."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import Path

from fhe_face.service.models import Model, Sealed, encoded
from fhe_face.store.rows import Refusal, StoredSubject, StoredTemplate

StoredPath = Annotated[str, Path(min_length=1, max_length=512)]


class GalleryItem(Model):
    """A gallery in a list."""

    id: str
    key_id: str
    bytes: int
    created: int


class GalleryList(Model):
    """By name."""

    items: list[GalleryItem]


class GalleryState(Model):
    """version: of blocks, settings and facts. changes: of everything."""

    version: int
    changes: int


class GalleryCounts(Model):
    """How much there is."""

    subjects: int
    templates: int
    deleted_subjects: int
    deleted_templates: int
    pending: int
    entries: int
    blocks: int
    refusals: int


class Gallery(Model):
    """A gallery."""

    id: str
    key_id: str
    created: int
    facts: dict[str, Any]
    version: int
    changes: int
    counts: GalleryCounts


class GallerySettings(Model):
    """Sealed settings of a version."""

    settings: Sealed
    version: int


class Version(Model):
    """The new version."""

    version: int


class Added(Model):
    """Ids that were really added. withheld: of templates whose subject is deleted."""

    subjects: list[str]
    templates: list[str]
    withheld: list[str]


class Marked(Model):
    """How many were changed."""

    subjects: int
    templates: int


class Purged(Model):
    """What was removed for good. unsealed: blocks that still hold deleted templates."""

    subjects: int
    templates: int
    files: int
    unsealed: list[str]


class SubjectOut(Model):
    """A subject."""

    id: str
    name: Sealed | None
    templates: int
    deleted: bool


class TemplateOut(Model):
    """A template."""

    id: str
    subject: str
    source: str | None
    record: Sealed
    deleted: bool


class BlockOut(Model):
    """A block of the index."""

    digest: str
    number: int
    count: int
    live: int


class BlockList(Model):
    """All blocks, and the version that they are of."""

    items: list[BlockOut]
    version: int


class EntryList(Model):
    """Live positions: position, owner, revision."""

    items: list[tuple[int, str, int]]


def subject_out(found: StoredSubject) -> SubjectOut:
    """A subject as an answer."""
    return SubjectOut(**_known(SubjectOut, found))


def template_out(found: StoredTemplate) -> TemplateOut:
    """A template as an answer."""
    return TemplateOut(**_known(TemplateOut, found))


def subject(found: StoredSubject) -> dict[str, Any]:
    """A subject as a line."""
    values = _known(SubjectOut, found)
    return {**values, "name": None if found.name is None else encoded(found.name)}


def template(found: StoredTemplate, records: bool) -> dict[str, Any]:
    """A template as a line, with its record or its record's SHA-256."""
    values = _known(TemplateOut, found)
    record = values.pop("record")
    if records:
        return {**values, "record": encoded(record)}
    return {**values, "sha256": hashlib.sha256(record).hexdigest()}


def refusal(found: Refusal) -> dict[str, Any]:
    """A refusal as a line."""
    return {"source": found.source, "reason": encoded(found.reason)}


def _known(model: type[Model], found: Any) -> dict[str, Any]:
    """The values that an answer has; a store may know more."""
    values: dict[str, Any] = found._asdict()
    return {name: values[name] for name in model.model_fields}
