"""Small galleries for tests: blocks hold the records of their owners, to be found in files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from fhe_face.store import Added, NewBlock, Owner, Store, Subject, Template


def record_of(template: str) -> bytes:
    """A record that names its template, to be found in files."""
    return f"<record of {template}>".encode()


def enrol(store: Store, **faces: Iterable[str]) -> Added:
    """Add templates to subjects: enrol(store, anna=["a1", "a2"])."""
    people = [Subject(name, f"<name of {name}>".encode()) for name in faces]
    templates = [
        Template(id, name, f"photo-{id}", record_of(id))
        for name, ids in faces.items()
        for id in ids
    ]
    return store.add(people, templates)


def seal(store: Store, owners: Iterable[Owner] | None = None) -> str:
    """One new block of all owners that wait, as a client makes it."""
    version = store.version
    chosen = list(store.pending() if owners is None else owners)
    digest = store.write_block(content_of(store, chosen))
    store.replace_blocks(version, [], [NewBlock(digest, chosen)])
    return digest


def content_of(store: Store, owners: Sequence[Owner]) -> bytes:
    """What a client would seal, with fresh noise: the records of each owner."""
    found = store.templates_of(owner.id for owner in owners)
    return os.urandom(8) + b"\n".join(
        b"+".join(t.record for t in templates) for _, templates in found
    )


def waiting(store: Store) -> list[str]:
    """The ids of the owners that wait."""
    return [owner.id for owner in store.pending()]


def found(store: Store) -> dict[str, str]:
    """Each owner with a live entry, and the block that it is in."""
    return {
        entry.owner.id: block.digest
        for block in store.blocks()
        for entry in store.entries(block.digest)
    }
