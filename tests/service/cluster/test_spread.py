"""Searches over several nodes: shares, order, deaths; without Ray."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from fhe_core.formats.matching import to_bytes
from fhe_core.matching import Scores
from fhe_face.gallery.gallery import Gallery
from fhe_face.server.searching import SearchServer
from fhe_face.service.cluster.spread import Spread, shared
from fhe_face.service.errors import Busy
from fhe_face.service.jobs.records import NodeFailed
from tests.gallery import kit
from tests.service.cluster.fake import FakeSearchers


def names(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


@pytest.mark.parametrize(("blocks", "nodes"), [(0, 3), (1, 3), (10, 3), (123, 10), (7, 1), (5, 0)])
def test_no_node_has_more_than_its_part(blocks: int, nodes: int) -> None:
    found = shared(names(blocks), [f"n{number}" for number in range(nodes)])
    everything = [name for own in found.values() for name in own]
    assert sorted(everything) == (sorted(names(blocks)) if nodes else [])
    assert all(len(own) <= -(-blocks // nodes) for own in found.values())


def test_few_blocks_move_when_a_node_leaves() -> None:
    blocks, nodes = names(300), [f"n{number}" for number in range(10)]
    before, after = (
        {name: node for node, own in shared(blocks, there).items() for name in own}
        for there in (nodes, nodes[:-1])
    )
    stayed = [name for name in blocks if before[name] != "n9"]
    moved = sum(before[name] != after[name] for name in stayed)
    assert moved < 0.3 * len(stayed)
    assert Counter(after.values()).keys() == set(nodes[:-1])


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    made = kit.make(tmp_path / "service" / "gallery")
    made.enroll(kit.people(tmp_path / "photos", 20, 2))
    made.delete(subjects=[next(iter(made.subjects())).id])
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "service"


def open_spread(folder: Path, gallery: Gallery, nodes: FakeSearchers) -> SearchServer:
    place = gallery.opened.folder.server
    return SearchServer.open(
        place,
        kit.SMALL,
        lambda _store, key_id: Spread(nodes, Path(place).relative_to(folder), key_id, kit.SMALL),
    )


def live(gallery: Gallery, scores: Scores) -> dict[str, bytes]:
    return {
        block: words[:, [one.position for one in gallery.opened.store.entries(block)]].tobytes()
        for block, words in zip(scores.blocks, scores.words, strict=True)
    }


def test_the_answer_is_that_of_one_machine(folder: Path, gallery: Gallery) -> None:
    nodes = FakeSearchers(folder, ["a", "b"])
    spread = open_spread(folder, gallery, nodes)
    alone = SearchServer.load(gallery.opened.folder.server, threads=1, parameters=kit.SMALL)
    probe = gallery.opened.sealer.seal_probe(kit.expected(3))
    one, other = spread.search(probe), alone.search(probe)
    assert (one.blocks, one.masks, one.token) == (other.blocks, other.masks, other.token)
    assert live(gallery, one) == live(gallery, other)
    assert one.words.tobytes() != other.words.tobytes()  # at dead positions stands chance
    (asked,) = nodes.asked
    assert set(asked) == {"a", "b"}
    for server in (spread, alone):
        server.close()


def test_blocks_of_a_node_that_dies_are_searched_by_others(folder: Path, gallery: Gallery) -> None:
    nodes = FakeSearchers(folder, ["a", "b"], dying={"a"})
    spread = open_spread(folder, gallery, nodes)
    probe = gallery.opened.sealer.seal_probe(kit.expected(3))
    assert len(spread.search(probe).blocks) == len(gallery.opened.store.blocks())
    first, second = nodes.asked
    assert second == {"b": first["a"]}  # only what is missing
    spread.close()


def test_what_the_last_round_finds_counts(folder: Path, gallery: Gallery) -> None:
    nodes = FakeSearchers(folder, ["a"], dying={"a"})
    spread = open_spread(folder, gallery, nodes)

    def come_back() -> None:
        nodes.there = ["a"]
        if len(nodes.asked) == 2:
            nodes.dying.clear()

    nodes.after = come_back
    probe = gallery.opened.sealer.seal_probe(kit.expected(3))
    assert len(spread.search(probe).blocks) == len(gallery.opened.store.blocks())
    assert len(nodes.asked) == 3
    spread.close()


@pytest.mark.parametrize("what", ["names", "damaged"])
def test_a_node_says_nothing_of_blocks_of_others(folder: Path, gallery: Gallery, what: str) -> None:
    """It would replace another node's scores, or hide a block that is sound."""
    nodes = FakeSearchers(folder, ["a", "b"])
    spread = open_spread(folder, gallery, nodes)
    search = nodes.search

    def lying(asked: Mapping[str, str], probe: object, seconds: float) -> dict[str, bytes | None]:
        found = search(asked, probe, seconds)
        line, _, words = (found["b"] or b"").partition(b"\n")
        said, (other, *_) = json.loads(line), json.loads(asked["a"])["blocks"]
        if what == "names":
            said["names"][0] = other
        else:
            said["damaged"] = {other: "so"}
        return {**found, "b": json.dumps(said).encode() + b"\n" + words}

    nodes.search = lying  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="not asked for"):
        spread.search(gallery.opened.sealer.seal_probe(kit.expected(3)))
    spread.close()


@pytest.mark.parametrize("there", [[], ["a"]])
def test_without_nodes_one_is_told_to_come_again(
    folder: Path, gallery: Gallery, there: list[str]
) -> None:
    spread = open_spread(folder, gallery, FakeSearchers(folder, there, dying={"a"}))
    with pytest.raises(Busy) as refused:
        spread.search(gallery.opened.sealer.seal_probe(kit.expected(3)))
    assert refused.value.retry_after > 0
    spread.close()


def test_a_damaged_block_is_named_and_the_others_are_searched(
    folder: Path, gallery: Gallery
) -> None:
    spread = open_spread(folder, gallery, FakeSearchers(folder, ["a", "b"]))
    first, *others = (block.digest for block in gallery.opened.store.blocks())
    next(folder.rglob(first)).write_bytes(b"damaged")
    scores = spread.search(gallery.opened.sealer.seal_probe(kit.expected(3)))
    assert list(spread.damaged) == [first]
    assert scores.blocks == tuple(others)
    spread.close()


def test_blocks_that_are_replaced_meanwhile_are_asked_for_again(
    folder: Path, gallery: Gallery, tmp_path: Path
) -> None:
    nodes = FakeSearchers(folder, ["a", "b"])
    done: list[bool] = []

    def compact() -> None:
        if not done:
            done.append(True)
            gallery.enroll(kit.people(tmp_path / "more", 1, 1, start=30))

    spread = open_spread(folder, gallery, nodes)
    nodes.after = compact
    first = gallery.opened.store.blocks()[-1].digest
    next(folder.rglob(first)).unlink()  # what was asked for is gone
    scores = spread.search(gallery.opened.sealer.seal_probe(kit.expected(3)))
    blocks = tuple(block.digest for block in gallery.opened.store.blocks())
    assert scores.blocks == tuple(name for name in blocks if name not in spread.damaged)
    spread.close()


def test_nodes_read_no_gallery_outside_the_folder(folder: Path, gallery: Gallery) -> None:
    nodes = FakeSearchers(folder, ["a"])
    probe = to_bytes(gallery.opened.sealer.seal_probe(kit.expected(3)))
    request = json.dumps({"gallery": "../photos", "key_id": "0", "blocks": ["ab" * 32]})
    answer = nodes.search({"a": request}, probe, 1.0)["a"]
    assert answer is not None
    assert b"outside" in answer


@pytest.mark.parametrize("mode", ["", "disabled"])
def test_an_open_node_searches_nothing(folder: Path, gallery: Gallery, mode: str) -> None:
    spread = open_spread(folder, gallery, FakeSearchers(folder, ["a"], mode=mode))
    with pytest.raises(NodeFailed, match="without a token"):
        spread.search(gallery.opened.sealer.seal_probe(kit.expected(3)))
    spread.close()
