"""Galleries that the lane of searches keeps open."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from fhe_core.formats.matching import to_bytes
from fhe_core.matching import MatchPlan
from fhe_face.gallery.gallery import Gallery
from fhe_face.service.jobs.galleries import Galleries
from fhe_face.store.errors import StoreError
from tests.gallery import kit

BLOCK = MatchPlan(kit.SMALL).block_memory_bytes


@dataclass(frozen=True)
class Made:
    gallery: Gallery

    @property
    def folder(self) -> Path:
        return Path(self.gallery.opened.folder.server)

    def probe(self) -> bytes:
        return to_bytes(self.gallery.opened.sealer.seal_probe(kit.direction(1)))


def make(folder: Path, count: int = 2) -> Made:
    made = kit.make(folder / "gallery")
    made.enroll(kit.people(folder / "photos", count, 1))
    return Made(made)


def opened(galleries: Galleries) -> list[Path]:
    return list(galleries._open)


def test_an_answer_is_of_the_state_that_is(tmp_path: Path) -> None:
    made, galleries = make(tmp_path), Galleries(1 << 30, 1, kit.SMALL)
    first = galleries.search(made.folder, made.probe())
    state = made.gallery.opened.store.state()
    assert (first.changes, first.version) == (state.changes, state.version)
    made.gallery.delete(subjects=[next(iter(made.gallery.subjects())).id])
    second = galleries.search(made.folder, made.probe())
    assert second.changes == made.gallery.opened.store.state().changes > first.changes
    galleries.close()


def test_the_longest_unused_is_closed(tmp_path: Path) -> None:
    all_made = [make(tmp_path / f"{n}") for n in range(3)]
    galleries = Galleries(2 * BLOCK, 1, kit.SMALL)
    for made in (all_made[0], all_made[1], all_made[0], all_made[2]):
        galleries.search(made.folder, made.probe())
    assert opened(galleries) == [all_made[0].folder, all_made[2].folder]
    galleries.close()
    assert opened(galleries) == []


def test_a_gallery_with_a_new_key_is_opened_anew(tmp_path: Path) -> None:
    made, galleries = make(tmp_path), Galleries(1 << 30, 1, kit.SMALL)
    galleries.search(made.folder, made.probe())
    before = made.gallery.facts.key_id
    made.gallery.rekey()
    assert made.gallery.facts.key_id != before
    galleries.search(made.folder, made.probe())
    galleries.close()


def test_a_gallery_that_was_removed_is_not_searched(tmp_path: Path) -> None:
    made, galleries = make(tmp_path), Galleries(1 << 30, 1, kit.SMALL)
    probe = made.probe()
    galleries.search(made.folder, probe)
    shutil.rmtree(made.folder)
    with pytest.raises(StoreError):
        galleries.search(made.folder, probe)
    galleries.close()


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    made, galleries = make(tmp_path), Galleries(1 << 30, 1, kit.SMALL)
    (block,) = made.gallery.opened.store.blocks()
    next(made.gallery.opened.folder.server.rglob(block.digest)).write_bytes(b"damaged")
    assert galleries.search(made.folder, made.probe()).damaged == (block.digest,)
    galleries.close()
