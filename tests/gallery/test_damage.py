"""Damage to what a server holds of a gallery is named, and mended where it can be."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fhe_core.formats.matching import to_bytes
from fhe_core.matching import MatchingError
from fhe_face.gallery.errors import RecordError
from fhe_face.models.faces import Preparation
from fhe_face.server.searching import SearchServer
from fhe_face.store import NewBlock
from tests.gallery.kit import (
    SMALL,
    direction,
    face,
    make,
    people,
    photo,
    recognises,
)

OTHER = "cd" * 32


def test_a_damaged_block_is_named_and_mended(tmp_path: Path) -> None:
    with make(tmp_path / "g", names=True) as gallery:
        gallery.enroll(people(tmp_path / "p", 20, 1))
        store = gallery.opened.store
        digest = store.blocks()[0].digest
        path = next(gallery.opened.folder.server.rglob(digest))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(bytes(data))
        for match in ("encrypted", "local"):
            (found,) = gallery.identify(photo(face(2, 9)), match=match)
            assert found.best is not None, "from the record"
            assert found.best.name == "person02"
            assert digest[:12] in found.warnings[0]
        kinds = {one.kind for one in gallery.check()}
        assert kinds == {"damaged-block"}
        (told,) = [one for one in gallery.check() if one.severity == "error"]
        assert told.text.count(digest[:12]) == 1
        assert told.about == digest
        mended = gallery.check(repair=True)
        assert all(one.mended for one in mended if one.severity == "error")
        assert not [one for one in gallery.check() if one.severity == "error"]
        (found,) = gallery.identify(photo(face(2, 9)))
        assert not found.warnings


def test_a_block_that_holds_something_else_is_found(tmp_path: Path) -> None:
    """As after a fault of this program: index and matrix differ."""
    with make(tmp_path / "g") as gallery:
        gallery.enroll(people(tmp_path / "p", 6, 1))
        store = gallery.opened.store
        (block,) = store.blocks()
        owners = [entry.owner for entry in store.entries(block.digest)]
        vectors = gallery.opened.vectors([one.id for one in owners], gallery.settings)
        wrong = np.stack([vectors[one.id] for one in reversed(owners)])
        digest = store.write_block(to_bytes(gallery.opened.sealer.seal_block(wrong)))
        store.replace_blocks(store.state().version, [block.digest], [NewBlock(digest, owners)])
        (finding,) = [one for one in gallery.check() if one.severity == "error"]
        assert "place 0 is not what the record says" in finding.text
        assert [one.mended for one in gallery.check(repair=True) if one.severity == "error"] == [
            True
        ]
        assert not [one for one in gallery.check() if one.severity == "error"]


@pytest.mark.parametrize("position", [-1, 16, 1 << 40])
def test_a_place_outside_its_block_is_named_and_mended(tmp_path: Path, position: int) -> None:
    with make(tmp_path / "g", names=True) as gallery:
        gallery.enroll(people(tmp_path / "p", 6, 1))
        with closing(sqlite3.connect(tmp_path / "g" / "server" / "gallery.db")) as rows, rows:
            rows.execute("UPDATE entries SET position = ? WHERE position = 5", (position,))
        for match in ("encrypted", "local"):
            with pytest.raises(MatchingError, match=f"position {position} of a block of 16"):
                gallery.identify(photo(face(2, 9)), match=match)
        with (
            closing(
                SearchServer.load(tmp_path / "g" / "server", threads=1, parameters=SMALL)
            ) as server,
            pytest.raises(MatchingError, match="repair"),
        ):
            server.search(gallery.opened.sealer.seal_probe(direction(1)))
        told = [one for one in gallery.check() if one.severity == "error"]
        assert {one.kind for one in told} == {"outside-entry", "block"}
        gallery.check(repair=True)
        assert not [one for one in gallery.check() if one.severity == "error"]
        recognises(gallery, 6)


def test_a_block_with_more_places_than_it_has_is_named_and_mended(tmp_path: Path) -> None:
    with make(tmp_path / "g", names=True) as gallery:
        gallery.enroll(people(tmp_path / "p", 18, 1))
        store = gallery.opened.store
        blocks = store.blocks()
        owners = [entry.owner for block in blocks for entry in store.entries(block.digest)]
        digest = store.write_block(to_bytes(gallery.opened.sealer.seal_block(np.zeros((1, 32)))))
        removed = [block.digest for block in blocks]
        store.replace_blocks(store.state().version, removed, [NewBlock(digest, owners)])
        with pytest.raises(MatchingError, match="position 16 of a block of 16"):
            gallery.identify(photo(face(2, 9)))
        (told,) = [one for one in gallery.check() if one.severity == "error"]
        assert "position 16" in told.text
        gallery.check(repair=True)
        assert not [one for one in gallery.check() if one.severity == "error"]
        recognises(gallery, 18)


def test_records_are_bound_to_their_place(tmp_path: Path) -> None:
    with make(tmp_path / "g", names=True) as gallery:
        gallery.enroll(people(tmp_path / "p", 2, 2))
        vault, store = gallery.opened.vault, gallery.opened.store
        one, two, *_ = store.templates()
        assert len(one.record) == vault.record_bytes == 12 + 2 * 32 + 16
        opened = vault.open_record(one.id, one.record)
        assert abs(np.linalg.norm(opened) - 1) < 1e-3
        for wrong in (
            two.record,
            one.record[:-1],
            b"",
            bytes([one.record[0] ^ 1]) + one.record[1:],
        ):
            with pytest.raises(RecordError, match="cannot be opened"):
                vault.open_record(one.id, wrong)
        from fhe_face.gallery.vault import Vault

        for facts in (
            replace(gallery.facts, model=OTHER),
            replace(gallery.facts, gallery="0" * 32),
            replace(gallery.facts, preparation=Preparation.as_given(64)),
        ):
            with pytest.raises(RecordError):
                Vault(gallery.opened.key, facts, 32).open_record(one.id, one.record)
