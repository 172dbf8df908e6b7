"""Blocks and entries: compare-and-swap, races, and files that are missing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from fhe_face.store import Block, Conflict, NewBlock, NotStored, Owner, Store, StoreError
from tests.store.conftest import Make
from tests.store.kit import enrol, found, seal, waiting


def test_blocks_are_replaced_as_a_whole(make: Make) -> None:
    store = make()
    enrol(store, anna=["a1"], ben=["b1"])
    first = seal(store)
    assert store.blocks() == [Block(first, 1, 2, 2)]
    store.delete_subjects(["anna"])
    assert store.blocks() == [Block(first, 1, 2, 1)]
    [entry] = store.entries(first)
    assert entry.position == 1
    enrol(store, cleo=["c1"])
    owners = [entry.owner, *store.pending()]
    second = store.write_block(b"second")
    version = store.version
    assert store.replace_blocks(version, [first], [NewBlock(second, owners)], b"new") == version + 1
    assert store.blocks() == [Block(second, 2, 2, 2)]
    assert found(store) == {"ben": second, "cleo": second}
    assert (store.settings, waiting(store)) == (b"new", [])
    with pytest.raises(NotStored):
        store.entries(first)


def test_owners_of_removed_blocks_wait(make: Make) -> None:
    store = make()
    enrol(store, anna=["a1"], ben=["b1"])
    digest = seal(store)
    store.replace_blocks(store.version, [digest])
    assert waiting(store) == ["anna", "ben"]


def test_another_version_is_a_conflict(make: Make) -> None:
    store = make()
    seen = store.version
    store.replace_blocks(seen, settings=b"theirs")
    with pytest.raises(Conflict, match=r"version 2, not 1\): read again"):
        store.replace_blocks(seen, settings=b"ours")
    assert store.settings == b"theirs"


def deleted(store: Store) -> None:
    store.delete_subjects(["anna"])


def template_added(store: Store) -> None:
    enrol(store, anna=["a3"])


def template_deleted(store: Store) -> None:
    store.delete_templates(["a2"])


def there_and_back(store: Store) -> None:
    store.delete_templates(["a2"])
    store.undelete_templates(["a2"])


def merged(store: Store) -> None:
    store.merge(["ben"], "anna")


CHANGES = [deleted, template_added, template_deleted, there_and_back, merged]


@pytest.mark.parametrize("change", CHANGES)
def test_an_owner_that_changed_meanwhile_gets_no_stale_entry(
    make: Make, change: Callable[[Store], None]
) -> None:
    store = make()
    enrol(store, anna=["a1", "a2"], ben=["b1"])
    version, owners = store.version, list(store.pending())
    digest = store.write_block(b"made of what was read")
    change(store)
    state = store.state()
    with pytest.raises(Conflict, match="has changed"):
        store.replace_blocks(version, [], [NewBlock(digest, owners)])
    assert store.state() == state
    assert found(store) == {}
    seal(store)  # what is true now goes through
    assert waiting(store) == []


def test_an_owner_has_one_place(make: Make) -> None:
    store = make()
    enrol(store, anna=["a1"])
    [anna] = store.pending()
    other = store.write_block(b"other")
    seal(store)
    with pytest.raises(Conflict, match="'anna' has changed or has a place"):
        store.replace_blocks(store.version, [], [NewBlock(other, [anna])])
    with pytest.raises(StoreError, match="an owner of its own"):
        store.replace_blocks(store.version, [], [NewBlock(other, [anna, anna])])
    with pytest.raises(StoreError, match="an owner of its own"):
        store.replace_blocks(store.version, [], [NewBlock(other, [])])
    with pytest.raises(Conflict, match="'no' has changed"):
        store.replace_blocks(store.version, [], [NewBlock(other, [Owner("no", 1)])])


def test_a_block_without_a_file_or_twice_is_a_conflict(make: Make) -> None:
    store = make()
    enrol(store, anna=["a1"])
    owners = list(store.pending())
    with pytest.raises(Conflict, match="has no file"):
        store.replace_blocks(store.version, [], [NewBlock("0" * 64, owners)])
    with pytest.raises(StoreError, match="64 hexadecimal digits"):
        store.replace_blocks(store.version, [], [NewBlock("../../etc/passwd", owners)])
    with pytest.raises(Conflict, match="not there any more"):
        store.replace_blocks(store.version, ["0" * 64])
    digest = seal(store)
    enrol(store, ben=["b1"])
    with pytest.raises(Conflict, match="a place already"):
        store.replace_blocks(store.version, [], [NewBlock(digest, list(store.pending()))])
    assert waiting(store) == ["ben"]


def test_of_two_writers_one_wins(make: Make) -> None:
    store = make()
    enrol(store, anna=["a1"], ben=["b1"])
    others = [store, *(Store.open(store.folder) for _ in range(3))]
    version, owners = store.version, list(store.pending())

    def race(number: int) -> str:
        digest = others[number].write_block(bytes([number]))
        try:
            others[number].replace_blocks(version, [], [NewBlock(digest, owners)])
        except Conflict:
            return ""
        return digest

    with ThreadPoolExecutor(4) as pool:
        winners = [digest for digest in pool.map(race, range(4)) if digest]
    for other in others[1:]:
        other.close()
    assert len(winners) == 1
    assert set(found(store).values()) == set(winners)


def test_settings_are_compared_and_swapped(make: Make) -> None:
    store = make()
    store.replace_blocks(store.version, settings=b"0")

    def count(_worker: int) -> None:
        done = 0
        while done < 10:
            version = store.version
            value = int(store.settings)
            try:
                store.replace_blocks(version, settings=str(value + 1).encode())
            except Conflict:
                continue
            done += 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    assert store.settings == b"40"


def test_writers_of_many_threads_lose_nothing(make: Make) -> None:
    store = make()

    def work(number: int) -> None:
        for turn in range(5):
            enrol(store, **{f"s{number}": [f"t{number}-{turn}"]})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert store.counts()[:2] == (4, 20)


def test_a_mode_is_not_changed_in_passing(make: Make) -> None:
    store = make()
    store.replace_blocks(store.version, facts={"mode": "mean", "model": "other"})
    assert store.facts == {"mode": "mean", "model": "other"}
    for facts in ({"mode": "each"}, {}, {"mode": "mean", "x": object()}):
        with pytest.raises(StoreError, match=r"mode|not JSON"):
            store.replace_blocks(store.version, facts=facts)
    assert store.facts["model"] == "other"
