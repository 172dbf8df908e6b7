"""New records for all: nothing keeps an old one, nothing that was added meanwhile is overlooked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fhe_face.store import (
    Conflict,
    NewBlock,
    NotStored,
    Owner,
    Refusal,
    Replacement,
    Resealed,
    Store,
    StoreError,
)
from tests.store.conftest import Make
from tests.store.kit import enrol, found, seal, waiting


def owners(store: Store) -> list[Owner]:
    """All who should have a position."""
    placed = [e.owner for block in store.blocks() for e in store.entries(block.digest)]
    return [*placed, *store.pending()]


def renewed(store: Store, blocks: Sequence[NewBlock] = (), **facts: Any) -> Replacement:
    """Everything under a new key, which is shown by the first letter."""
    every = list(store.templates(include_deleted=True))
    people = list(store.subjects(include_deleted=True))
    return Replacement(
        templates=[Resealed(t.id, f"new-{t.source}", b"new " + t.record) for t in every],
        names=[(s.id, b"new " + s.name) for s in people if s.name is not None],
        refusals=[Refusal(f"new-{r.source}", b"new " + r.reason) for r in store.refusals()],
        blocks=blocks,
        settings=b"new settings",
        facts={**store.facts, **facts},
        forget=(),
    )


def filled(store: Store) -> Store:
    enrol(store, anna=["a1", "a2"], ben=["b1"], cleo=["c1"], dan=[])
    store.add(refusals=[Refusal("p", b"reason")])
    seal(store)
    store.delete_templates(["a2"])
    store.delete_subjects(["cleo"])
    return store


@pytest.mark.parametrize("mode", ["mean", "each"])
def test_everything_is_replaced_at_once(make: Make, mode: str) -> None:
    store = filled(make(mode))
    version, everybody = store.version, owners(store)
    digest = store.write_block(b"new block")
    new = renewed(store, [NewBlock(digest, everybody)], key="2")
    assert store.replace_all(version, new) == version + 1
    assert all(t.record.startswith(b"new <") for t in store.templates(include_deleted=True))
    assert {s.name for s in store.subjects()} == {
        b"new <name of %s>" % n for n in (b"anna", b"ben", b"dan")
    }
    assert store.refusals() == [("new-p", b"new reason")]
    assert "new-photo-a2" in store.sources()
    assert (store.settings, store.facts) == (b"new settings", {"mode": mode, "key": "2"})
    assert [block.digest for block in store.blocks()] == [digest]
    assert waiting(store) == []
    assert set(found(store)) == {owner.id for owner in everybody}
    assert store.check() == []
    store.undelete_subjects(["cleo"])  # what comes back is new as well
    assert store.template("c1").record == b"new <record of c1>"
    # Positions can be carried on: their revisions are today's.
    store.replace_blocks(
        store.version, [digest], [NewBlock(store.write_block(b"x"), owners(store))]
    )
    assert store.check() == []


def test_without_blocks_all_wait(make: Make) -> None:
    store = filled(make())
    store.replace_all(store.version, renewed(store))
    assert (waiting(store), store.blocks(), store.check()) == (["anna", "ben"], [], [])


@pytest.mark.parametrize(("mode", "other"), [("mean", "each"), ("each", "mean")])
def test_the_mode_can_change(make: Make, mode: str, other: str) -> None:
    store = filled(make(mode))
    taken = renewed(store, [NewBlock(store.write_block(b""), owners(store))], mode=other)
    with pytest.raises(StoreError, match="a new mode has other owners"):
        store.replace_all(store.version, taken)
    store.replace_all(store.version, renewed(store, mode=other))
    assert waiting(store) == {"mean": ["anna", "ben"], "each": ["a1", "b1"]}[other]
    seal(store)
    store.delete_subjects(["anna"])
    store.sweep(older_than=0)
    assert list(found(store)) == [{"mean": "ben", "each": "b1"}[other]]
    assert store.check() == []


@pytest.mark.parametrize("mode", ["mean", "each"])
def test_templates_can_be_forgotten(make: Make, mode: str) -> None:
    store = filled(make(mode))
    new = renewed(store)
    kept = [t for t in new.templates if t.id not in ("a1", "c1")]
    with pytest.raises(NotStored, match="'no'"):
        store.replace_all(store.version, replace(new, templates=kept, forget=["a1", "no"]))
    store.replace_all(store.version, replace(new, templates=kept, forget=["a1", "c1"]))
    assert [t.id for t in store.templates(include_deleted=True)] == ["a2", "b1"]
    assert waiting(store) == (["ben"] if mode == "mean" else ["b1"])
    assert store.check() == []
    # Nobody gets a position that nothing stands behind.
    version, everybody = store.version, owners(store)
    block = NewBlock(store.write_block(b"of nobody"), everybody)
    new = replace(renewed(store, [block]), forget=["b1"])
    new = replace(new, templates=[t for t in new.templates if t.id != "b1"])
    with pytest.raises(Conflict, match="owners of new positions are deleted or have no templates"):
        store.replace_all(version, new)


def added(store: Store) -> None:
    enrol(store, eva=["e1"])


def added_to_one(store: Store) -> None:
    enrol(store, ben=["b2"])


def refused(store: Store) -> None:
    store.add(refusals=[Refusal("q", b"")])


def named(store: Store) -> None:
    enrol(store, fay=[])


def deleted(store: Store) -> None:
    store.delete_subjects(["ben"])


def settings(store: Store) -> None:
    store.replace_blocks(store.version, settings=b"theirs")


@pytest.mark.parametrize("change", [added, added_to_one, refused, named, deleted, settings])
def test_what_changed_meanwhile_is_a_conflict(make: Make, change: Any) -> None:
    store = filled(make())
    version = store.version
    block = NewBlock(store.write_block(b"new block"), owners(store))
    new = renewed(store, [block])
    change(store)
    before = (store.counts(), store.state(), list(store.templates()), found(store))
    with pytest.raises(Conflict, match="again"):
        store.replace_all(version, new)
    assert (store.counts(), store.state(), list(store.templates()), found(store)) == before
    assert [f for f in store.check() if f.severity == "error"] == []
