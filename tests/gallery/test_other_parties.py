"""Scores that another party gives: counted, checked, and never more than was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fhe_core.container import ContainerError
from fhe_core.formats.matching import load_probe, save
from fhe_core.matching import AnswerMismatch, Probe, Scores, masks_digest
from fhe_face.client.ledger import AnswerLimitError
from fhe_face.gallery.gallery import Gallery
from fhe_face.gallery.searchers import read_scores
from fhe_face.server.searching import SearchServer
from tests.gallery.kit import SMALL, face, make, people, photo, reopen


class Remote:
    """A server that is given files, and gives files back."""

    def __init__(self, server: Path, folder: Path) -> None:
        self.server = SearchServer.load(server, threads=1, parameters=SMALL)
        self.folder = folder

    def search(self, probe: Probe, /) -> Scores:
        save(self.folder / "probe", probe)
        read = load_probe(self.folder / "probe", SMALL, probe.key_id)
        save(self.folder / "scores", self.server.search(read))
        return read_scores(self.folder / "scores", probe)


class Lying(Remote):
    """Changes what it answers. change: makes other scores of the right ones."""

    change: Callable[[Scores], Scores]

    def search(self, probe: Probe, /) -> Scores:
        return self.change(super().search(probe))


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    made = make(tmp_path / "g", names=True)
    made.enroll(people(tmp_path / "p", 20, 1))
    return made


def test_another_party_finds_the_same(gallery: Gallery, tmp_path: Path) -> None:
    remote = Remote(tmp_path / "g" / "server", tmp_path)
    (here,) = gallery.identify(photo(face(4, 9)))
    (there,) = gallery.identify(photo(face(4, 9)), searcher=remote)
    assert there.best is not None
    assert here.best is not None
    assert there.best.subject == here.best.subject
    assert there.best.score == pytest.approx(here.best.score, abs=2e-3)
    assert gallery.verify(photo(face(4, 9)), "person04", searcher=remote).answer.value == "match"


def test_answers_of_others_are_counted(gallery: Gallery, tmp_path: Path) -> None:
    remote = Remote(tmp_path / "g" / "server", tmp_path)
    gallery.identify(photo(face(4, 9)))
    gallery.identify(photo(face(4, 9)), match="local", searcher=remote)
    ledger = gallery._counted.ledger
    assert ledger.answers == 0  # type: ignore[attr-defined]
    gallery.identify(photo(face(4, 9)), searcher=remote)
    assert ledger.answers == 4, "one of 20, certain or not, or nobody: 41 < 3^4"  # type: ignore[attr-defined]
    gallery.verify(photo(face(4, 9)), "person04", searcher=remote)
    assert ledger.answers == 5  # type: ignore[attr-defined]
    gallery.close()
    with (
        reopen(tmp_path / "g", answer_limit=6, warn=lambda _text: None) as again,
        pytest.raises(AnswerLimitError, match="given 5 answers"),
    ):
        again.identify(photo(face(4, 9)), searcher=remote)
    with reopen(tmp_path / "g") as again:
        again.rekey()
        assert again._counted.ledger.answers == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "change",
    [
        lambda scores: replace(scores, token=bytes(32)),
        lambda scores: replace(scores, key_id="0" * 32),
        lambda scores: replace(scores, words=scores.words[:1]),
        lambda scores: replace(scores, words=scores.words[..., :2]),
        lambda scores: replace(scores, words=scores.words.astype(np.int16)),
        lambda scores: replace(scores, blocks=("f" * 64, *scores.blocks[1:])),
        lambda scores: replace(scores, blocks=scores.blocks[:1] * 2, words=scores.words[[0, 0]]),
        lambda scores: replace(scores, blocks=(*scores.blocks, "f" * 64)),
    ],
    ids=["token", "key", "fewer", "short", "type", "other block", "twice", "more blocks"],
)
def test_hostile_scores_are_refused(
    gallery: Gallery, tmp_path: Path, change: Callable[[Scores], Scores]
) -> None:
    lying = Lying(tmp_path / "g" / "server", tmp_path)
    lying.change = change
    with pytest.raises(ContainerError):
        gallery.identify(photo(face(4, 9)), searcher=lying)


def test_blocks_that_were_left_out_are_compared_here(gallery: Gallery, tmp_path: Path) -> None:
    lying = Lying(tmp_path / "g" / "server", tmp_path)
    live = [place.live for place in gallery.finder.index.snapshot().places]
    lying.change = lambda scores: replace(
        scores,
        blocks=scores.blocks[1:],
        masks=masks_digest(live[1:]),
        words=scores.words[1:],
    )
    (found,) = gallery.identify(photo(face(4, 9)), searcher=lying)
    assert found.best is not None
    assert found.best.name == "person04"
    assert "compared in the clear" in found.warnings[0]


def test_scores_that_no_gallery_gives_are_refused(gallery: Gallery, tmp_path: Path) -> None:
    """Such as 1.15: whoever chooses ciphertexts can have any, up to half the modulus."""
    lying = Lying(tmp_path / "g" / "server", tmp_path)

    def crafted(scores: Scores) -> Scores:
        words = np.array(scores.words)
        words[0, 1] = 0  # nothing of the secret
        value = round(1.15 * scores.parameters.result_scale)
        words[0, 0] = np.frombuffer(value.to_bytes(3, "little"), np.uint8)
        return replace(scores, words=words)

    lying.change = crafted
    with pytest.raises(AnswerMismatch, match="larger than any of this gallery"):
        gallery.identify(photo(face(4, 9)), searcher=lying)


def test_a_server_that_is_behind_is_asked_again(gallery: Gallery, tmp_path: Path) -> None:
    """Else somebody who lives for one side only would get a random score."""

    class Behind(Remote):
        asked = 0

        def search(self, probe: Probe, /) -> Scores:
            self.asked += 1
            self.server._seen = gallery.opened.store.state().changes  # it believes so
            if self.asked == 3:
                self.server._seen = -1
            return super().search(probe)

    behind = Behind(tmp_path / "g" / "server", tmp_path)
    behind.server._refresh()
    gallery.opened.store.delete_subjects([gallery.subject("person04").id])
    (found,) = gallery.identify(photo(face(4, 9)), searcher=behind)
    assert behind.asked == 3
    assert found.best is None


def test_answers_to_another_probe_are_refused(gallery: Gallery, tmp_path: Path) -> None:
    remote = Remote(tmp_path / "g" / "server", tmp_path)
    sealer = gallery.opened.sealer
    one, two = (sealer.seal_probe(np.eye(32)[k]) for k in (0, 1))
    remote.search(one)
    with pytest.raises(AnswerMismatch):
        read_scores(tmp_path / "scores", two)
    (tmp_path / "scores").write_bytes(b"no")
    with pytest.raises(ContainerError):
        read_scores(tmp_path / "scores", one)


def test_a_server_with_little_memory_finds_the_same(gallery: Gallery, tmp_path: Path) -> None:
    folder = tmp_path / "g" / "server"
    plenty = SearchServer.load(folder, threads=1, parameters=SMALL)
    little = SearchServer.load(folder, threads=1, parameters=SMALL, memory=0)
    for server in (plenty, little):
        (found,) = gallery.identify(photo(face(17, 9)), searcher=server)
        assert found.best is not None
        assert found.best.name == "person17"
    assert little.memory_bytes == 0
    assert plenty.memory_bytes > 0
    assert not plenty.damaged


def test_a_server_sees_changes_at_once(gallery: Gallery, tmp_path: Path) -> None:
    server = SearchServer.load(tmp_path / "g" / "server", threads=1, parameters=SMALL)
    (found,) = gallery.identify(photo(face(4, 9)), searcher=server)
    assert found.best is not None
    gallery.delete(["person04"])
    (found,) = gallery.identify(photo(face(4, 9)), searcher=server)
    assert found.best is None
    gallery.enroll(photo(face(25)), subject="late")
    gallery.compact()
    (found,) = gallery.identify(photo(face(25, 1)), searcher=server)
    assert found.best is not None
    assert found.best.name == "late"
