"""An engine's key, and a gallery that its faces go on to, on small rings, for tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fhe_core.formats.ciphertexts import Bundle
from fhe_core.formats.switching import findings_to_bytes
from fhe_core.matching.crossed import Findings
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import HealthReport
from fhe_face.client.ledger import MemoryLedger
from fhe_face.gallery import crossing, findings
from fhe_face.gallery.gallery import Gallery
from fhe_face.models.faces import Preparation
from fhe_face.server.crossing import CrossingServer
from tests.core import tiny
from tests.gallery import kit

F = 32
RING = replace(tiny.gallery(7, F, 2), probe_scale=2.0**26, template_scale=2.0**20)
HOW = Preparation.as_given(kit.SIZE)


@dataclass(frozen=True, eq=False)
class Both:
    """An engine's key and network, and a gallery that its faces go on to."""

    world: tiny.World
    gallery: Gallery
    folder: Path
    results: dict[tuple[int, ...], Bundle]

    @property
    def server(self) -> Path:
        return self.folder / "server"

    def result(self, *images: int) -> Bundle:
        """The encrypted embeddings of some faces, computed once."""
        if images not in self.results:
            faces = tiny.faces(self.world.images[list(images)])
            self.results[images] = self.world.server.embed(self.world.client.encrypt(faces))
        return self.results[images]

    def embedding(self, image: int) -> Embedding:
        """The same in the clear, as the engine's client opens it."""
        (found,) = self.world.client.decrypt(self.result(image))
        assert isinstance(found, Embedding)
        return found

    def enrol(self, name: str, values: tiny.Array) -> None:
        """A template that the client seals, as `enroll` makes it."""
        waiting = crossing.Waiting("0" * 64, name, name.encode().hex(), Embedding(values, HEALTHY))
        crossing.confirm(self.gallery.opened, self.gallery.people, waiting)
        self.gallery.seal()

    def opened(self) -> CrossingServer:
        return CrossingServer.load(self.server, threads=1, parameters=RING, engines=tiny.load)

    def make_switch(self) -> Path:
        weights = str(self.result(0).facts["weights"])
        return crossing.make_switch(self.gallery.opened, self.world.key, self.world.engine, weights)

    def answer(self, found: Findings | bytes, **options: Any) -> findings.Answered:
        data = found if isinstance(found, bytes) else findings_to_bytes(found)
        return findings.answer(self.gallery.finder, MemoryLedger(), data, **options)


HEALTHY = HealthReport((20.0,), tiny.INTERVAL, ())


@pytest.fixture(scope="module")
def world() -> tiny.World:
    return tiny.make_world(images=4, embedding=F)


@pytest.fixture(scope="module")
def results() -> dict[tuple[int, ...], Bundle]:
    return {}


def filled(
    folder: Path, world: tiny.World, results: dict[tuple[int, ...], Bundle], switch: bool
) -> Path:
    """A closed gallery, with a switching key and three people that the client has sealed."""
    with Gallery.create(
        folder,
        embedder=kit.Painted(),
        names=True,
        preparation=HOW,
        thresholds=(0.3, 0.6),
        parameters=RING,
        threads=1,
    ) as gallery:
        gallery.opened.engines = tiny.load
        both = Both(world, gallery, folder, results)
        if switch:
            for name, seed in (("Ann", 1), ("Bob", 2), ("Cid", 3)):
                both.enrol(name, kit.direction(seed, F))
            both.make_switch()
    return folder


@pytest.fixture(scope="module")
def empty(
    world: tiny.World,
    results: dict[tuple[int, ...], Bundle],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    return filled(tmp_path_factory.mktemp("empty") / "g", world, results, switch=False)


@pytest.fixture(scope="module")
def full(
    world: tiny.World,
    results: dict[tuple[int, ...], Bundle],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    return filled(tmp_path_factory.mktemp("full") / "g", world, results, switch=True)


def copied(
    source: Path, target: Path, world: tiny.World, results: dict[tuple[int, ...], Bundle]
) -> Iterator[Both]:
    shutil.copytree(source, target)
    with Gallery.open(target, embedder=kit.Painted(), parameters=RING, threads=1) as gallery:
        gallery.opened.engines = tiny.load
        yield Both(world, gallery, target, results)


@pytest.fixture
def both(
    empty: Path, world: tiny.World, tmp_path: Path, results: dict[tuple[int, ...], Bundle]
) -> Iterator[Both]:
    yield from copied(empty, tmp_path / "g", world, results)


@pytest.fixture
def crossed(
    full: Path, world: tiny.World, tmp_path: Path, results: dict[tuple[int, ...], Bundle]
) -> Iterator[Both]:
    yield from copied(full, tmp_path / "g", world, results)
