"""The studio with real parameters: fresh keys, a server process that stays, two drawn faces."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhe_face.client.decryption import Embedding
from fhe_face.studio.drawn import portraits
from fhe_face.studio.engine import precision_bits
from fhe_face.studio.local import LocalEngine
from fhe_face.studio.network import Wanted
from fhe_face.studio.photos import Looks
from fhe_face.studio.pictures import Pictures, noise
from fhe_face.studio.progress import Cancelled, Side
from fhe_face.system import default_threads
from tests.studio.kit import png

#: Beside the computation on encrypted faces: encrypting, files, decrypting.
MOST_BESIDE = 3.0


@pytest.fixture(scope="module")
def local() -> Iterator[LocalEngine]:
    engine = LocalEngine(Wanted(Path("bundled"), None, None, default_threads(), print))
    yield engine
    engine.close()


@pytest.mark.full
@pytest.mark.slow
def test_two_faces_and_a_cancellation(local: LocalEngine) -> None:
    told: list[tuple[Side, str]] = []
    pictures: list[bytes] = []

    def tell(side: Side, what: str, _done: int, _total: int) -> None:
        if (side, what) not in told:
            told.append((side, what))

    def give_up(side: Side, what: str, done: int, _total: int) -> None:
        if side is Side.SERVER and what.startswith("embedding") and done > 2:
            raise Cancelled

    looks = Looks(local.size, Pictures())
    faces = [looks.of(png(photo), "drawn").face for photo in portraits()]
    local.prepare(tell)
    with pytest.raises(Cancelled):
        local.encrypted(faces, give_up, lambda _: None)
    again = len(told)
    started = time.perf_counter()
    found = local.encrypted(faces, tell, lambda bundle: pictures.append(noise(bundle)))
    took = time.perf_counter() - started
    assert all("keys" not in what for _, what in told[again:])  # they stayed
    assert all(isinstance(one, Embedding) for one in found.results)
    bits = precision_bits(found.results, local.in_the_clear(faces))
    assert bits is not None
    assert bits > 8
    assert len(pictures[0]) > 20_000  # noise cannot be compressed
    assert (found.rounds, found.sent > found.received > 0) == (1, True)
    print(f"{took:.1f} s, of it {found.seconds:.1f} s on the server; {bits:.1f} bits")
    assert took - found.seconds < MOST_BESIDE
