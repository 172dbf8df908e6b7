"""The JSON of requests and answers. Every text and list of a request has a bound."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from fhe_face.service.rows import ID_PATTERN

#: Rows of one request, and owners of a block or of a question.
ROWS: Final = 1000
OWNERS: Final = 16_384
SEALED_BYTES: Final = 1 << 16
_STORED_ID: Final = 512
_NUMBER: Final = 1 << 53
_FACTS_BYTES: Final = 1 << 16
#: Answers with deeper ones cannot be written.
_FACTS_DEPTH: Final = 64
#: More names than any request has are refused at once, not one by one.
_NAMES: Final = 64


def _decoded(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str) or len(value) > 2 * SEALED_BYTES:
        raise ValueError(f"base64 of at most {SEALED_BYTES} bytes")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("only printable characters")
    return value


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    """JSON of a bounded size and depth, without NaN and without what is no text."""
    if _depth(value) > _FACTS_DEPTH:
        raise ValueError(f"facts nested more than {_FACTS_DEPTH} times")
    try:
        size = len(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
    except (ValueError, RecursionError):
        raise ValueError("not plain JSON") from None
    if size > _FACTS_BYTES:
        raise ValueError(f"facts of {size} bytes; at most {_FACTS_BYTES}")
    return value


def _depth(value: dict[str, Any]) -> int:
    """How often lists and objects are nested; without recursion, since it may be often."""
    depth = 0
    layer: list[Any] = [value]
    while layer:
        depth += 1
        inner = (v for one in layer for v in (one.values() if isinstance(one, dict) else one))
        layer = [v for v in inner if isinstance(v, dict | list)]
    return depth


_BASE64_SCHEMA: Final = {
    "type": "string",
    "contentEncoding": "base64",
    "maxLength": 2 * SEALED_BYTES,
    "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}

Id = Annotated[str, Field(pattern=f"^{ID_PATTERN}$", max_length=128)]
Sealed = Annotated[
    bytes,
    BeforeValidator(_decoded),
    Field(max_length=SEALED_BYTES),
    PlainSerializer(encoded, return_type=str, when_used="json"),
    WithJsonSchema(_BASE64_SCHEMA),
]
#: Ids inside a gallery: the client's own, often digests.
StoredId = Annotated[str, Field(min_length=1, max_length=_STORED_ID), AfterValidator(_printable)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Number = Annotated[int, Field(ge=0, le=_NUMBER, strict=True)]
Facts = Annotated[dict[str, Any], AfterValidator(_finite)]


class Model(BaseModel):
    """What is not known is refused; nothing can be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _few(cls, value: Any) -> Any:
        """Each unknown name gets an error of its own: a body of them would take much memory."""
        if isinstance(value, dict) and len(value) > _NAMES:
            raise ValueError(f"an object of at most {_NAMES} names")
        return value


# --- files and jobs ------------------------------------------------------------------------------


class MissingSection(Model):
    """A section that must still be sent."""

    section: str
    digest: Digest
    bytes: int


class File(Model):
    """A container file: partial until its last section is there."""

    id: str = Field(examples=["office-camera"])
    room: str = Field(examples=["faces"])
    state: str = Field(examples=["partial"])
    kind: str = Field(examples=["ciphertext"])
    key_id: str
    digest: Digest
    bytes: int
    created: int
    facts: dict[str, Any]
    missing: list[MissingSection] | None = None


class FilePage(Model):
    """Files by name; next: where to go on, or null."""

    items: list[File]
    next: str | None


class EmbeddingJob(Model):
    """Embed encrypted faces. id: of the result; its own name where it is left out."""

    faces: Id = Field(examples=["monday"])
    key: Id = Field(examples=["anna"])
    id: Id | None = None
    model: Id = "default"


class ScoreJob(Model):
    """Compare two encrypted embeddings, face by face."""

    left: Id
    right: Id
    key: Id
    id: Id | None = None


class Progress(Model):
    """Steps of a stage."""

    done: int
    total: int
    stage: str


class Result(Model):
    """Where a result is, or will be."""

    room: str
    id: str
    location: str


class JobError(Model):
    """Why a job has failed."""

    code: str
    title: str
    detail: str


class Job(Model):
    """A job; id is null where the result was there already."""

    id: str | None
    kind: str = Field(examples=["embedding"])
    state: str = Field(examples=["queued"])
    position: int | None = None
    progress: Progress
    eta_seconds: float | None = None
    error: JobError | None = None
    result: Result
    created: float | None = None
    started: float | None = None
    finished: float | None = None


class Jobs(Model):
    """The newest first."""

    items: list[Job]


# --- galleries -----------------------------------------------------------------------------------


class NewGallery(Model):
    """facts: whatever the client keeps there; "mode" is "mean" or "each". keys: of gallery-keys."""

    facts: Facts = Field(examples=[{"mode": "mean"}])
    settings: Sealed
    keys: Id


class SubjectRow(Model):
    """A person to add; the name is sealed, or null."""

    id: StoredId
    name: Sealed | None = None


class TemplateRow(Model):
    """A face to add."""

    id: StoredId
    subject: StoredId
    source: StoredId | None = None
    record: Sealed


class RefusalRow(Model):
    """A photo that gave no template."""

    source: StoredId
    reason: Sealed


class Addition(Model):
    """Rows to add in one transaction; those that are there already are left alone."""

    subjects: list[SubjectRow] = Field(default_factory=list, max_length=ROWS)
    templates: list[TemplateRow] = Field(default_factory=list, max_length=ROWS)
    refusals: list[RefusalRow] = Field(default_factory=list, max_length=ROWS)


class Chosen(Model):
    """Subjects and templates by id."""

    subjects: list[StoredId] = Field(default_factory=list, max_length=ROWS)
    templates: list[StoredId] = Field(default_factory=list, max_length=ROWS)


class Owners(Model):
    """Owners whose templates are asked for."""

    owners: list[StoredId] = Field(max_length=OWNERS)


class Move(Model):
    """Templates that get another subject."""

    templates: list[StoredId] = Field(max_length=ROWS)
    subject: StoredId


class Rename(Model):
    """A subject's new sealed name."""

    subject: StoredId
    name: Sealed | None = None


class Merge(Model):
    """Subjects that become one."""

    subjects: list[StoredId] = Field(max_length=ROWS)
    into: StoredId


class NewSettings(Model):
    """Sealed settings, with facts where those change, too."""

    settings: Sealed
    facts: Facts | None = None


class BlockPlaces(Model):
    """A block whose file was sent before, and the owner and revision of every position."""

    digest: Digest
    owners: list[tuple[StoredId, Number]] = Field(min_length=1, max_length=OWNERS)


class BlockChange(Model):
    """Other blocks, in one transaction, unless somebody was quicker."""

    seen_version: Number
    remove: list[Digest] = Field(default_factory=list, max_length=ROWS)
    add: list[BlockPlaces] = Field(default_factory=list, max_length=ROWS)
    settings: Sealed | None = None
    facts: Facts | None = None
