"""What goes into a store and what comes out of it. Ids are opaque; sealed things are bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Subject(NamedTuple):
    """A person to be added. id: 1 to 512 characters; name: sealed, or None where none is kept."""

    id: str
    name: bytes | None = None


class Template(NamedTuple):
    """A face to be added. subject: its id; source: which photo, opaque; record: sealed."""

    id: str
    subject: str
    source: str | None
    record: bytes


class Refusal(NamedTuple):
    """A source that gave no template. reason: sealed."""

    source: str
    reason: bytes


class Resealed(NamedTuple):
    """A template's new record, and its source's new name."""

    id: str
    source: str | None
    record: bytes


class Owner(NamedTuple):
    """Who has or gets a place in a block: a subject or a template, by the gallery's mode.

    revision: the number of the last change of its templates. A place is made of one revision.
    """

    id: str
    revision: int


class StoredSubject(NamedTuple):
    """A subject as stored. templates: how many live ones it has (counted also where it is deleted:
    those that `undelete_subjects` brings back)."""

    id: str
    name: bytes | None
    templates: int
    deleted: bool


class StoredTemplate(NamedTuple):
    """A template as stored. deleted: it, or its subject, is. added: when, in UTC seconds."""

    id: str
    subject: str
    source: str | None
    record: bytes
    deleted: bool
    added: int = 0


class Placed(NamedTuple):
    """Where a source's template is. deleted: it, or its subject, is deleted."""

    id: str
    subject: str
    deleted: bool


@dataclass(frozen=True)
class Block:
    """A block of the index. number: grows in the order of adding; count: positions that were filled
    when it was sealed; live: those that still belong to an owner."""

    digest: str
    number: int
    count: int
    live: int


class Entry(NamedTuple):
    """A live position of a block. Positions below the block's count that have none are dead."""

    position: int
    owner: Owner


class NewBlock(NamedTuple):
    """A block to be added. owners: of positions 0, 1, 2..., with the revision that was sealed."""

    digest: str
    owners: Sequence[Owner]


class Added(NamedTuple):
    """What `add` really added. withheld: ids of templates whose subject is deleted."""

    subjects: list[str]
    templates: list[str]
    withheld: list[str]


class State(NamedTuple):
    """version: grows when blocks, settings or facts change; changes: grows with every change."""

    version: int
    changes: int


class Counts(NamedTuple):
    """How much a store holds."""

    subjects: int
    templates: int
    deleted_subjects: int
    deleted_templates: int
    pending: int
    entries: int
    blocks: int
    refusals: int


class Swept(NamedTuple):
    """Files that nothing refers to and that were removed."""

    files: int
    bytes: int


class Purged(NamedTuple):
    """What was removed for good. unsealed: blocks that still have dead positions."""

    subjects: int
    templates: int
    files: int
    unsealed: list[str]
