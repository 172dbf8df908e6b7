"""The studio on the tiny ring: real ciphertexts, drawn faces, a real web server."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import uvicorn
from numpy.typing import NDArray
from PIL import Image

from fhe_core.formats.ciphertexts import Bundle
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import check_embedding
from fhe_face.gallery.gallery import Gallery
from fhe_face.models.reference import embed, squared_norm
from fhe_face.models.thresholds import MeasuredSet, OperatingPoint, Thresholds
from fhe_face.photos.preparation import PreparedFace
from fhe_face.progress import Stage
from fhe_face.studio.drawn import PEOPLE, Look, portrait
from fhe_face.studio.engine import Computed, Facts, Result, Tell, Travels
from fhe_face.studio.guard import Access
from fhe_face.studio.photos import Looks
from fhe_face.studio.pictures import Pictures
from fhe_face.studio.progress import Side
from fhe_face.studio.serving import bound, configuration
from fhe_face.studio.state import Studio
from tests.core.tiny import ROOT, World, make_world
from tests.core.tiny import gallery as tiny_gallery

#: The tiny network's faces are a quarter of real ones.
SHRINK = 4
SIZE = 64
LOW, HIGH = 0.38, 0.62
#: Of a gallery of embeddings of the tiny network.
_SMALL = tiny_gallery(4, 16, 2)


def thresholds(low: float = LOW, high: float = HIGH) -> Thresholds:
    """Two thresholds, as if they had been measured."""
    points = (OperatingPoint(high, 0.001, 0.97), OperatingPoint(low, 0.05, 0.99))
    measured = MeasuredSet(
        "drawn faces", 3, 30, 1000, "2026-11-30", "0.1.0", points[1], far_1pct=points[0]
    )
    return Thresholds((measured,))


@dataclass
class TinyEngine:
    """Both sides in this process. pause: seconds that each report of a step takes; shift: taken
    off every embedding, so that drawn people differ as much as real ones do for a real network.
    """

    world: World
    pause: float = 0.0
    prepared: int = 0
    closed: bool = False
    failure: Exception | None = None
    caution: str | None = None
    shift: NDArray[np.float64] | float = 0.0
    model: str = "cd" * 32
    size: int = SIZE
    views: int = 1

    @property
    def facts(self) -> Facts:
        parameters = self.world.parameters
        return Facts(
            "tiny",
            parameters.name,
            parameters.ring_dimension,
            parameters.log2_qp,
            None,
            sum(8 * int(np.prod(key.shape(parameters))) for key in self.world.specifications),
            self.caution,
        )

    @property
    def thresholds(self) -> Thresholds | None:
        return thresholds()

    def prepare(self, tell: Tell) -> None:
        self.prepared += 1
        if self.failure is not None:
            raise self.failure
        for done in range(5):
            time.sleep(self.pause)
            tell(Side.CLIENT, "making evaluation keys", done + 1, 5)
        for done in range(3):
            time.sleep(self.pause)
            tell(Side.SERVER, "reading evaluation keys", done + 1, 3)

    def encrypted(self, faces: Sequence[PreparedFace], tell: Tell, travels: Travels) -> Computed:
        carried = _Carried(self, tell, travels)
        tell(Side.CLIENT, "encrypting", 0, 0)
        found = self.world.client.embed([_small(face) for face in faces], carried)
        results = [self._moved(one) for one in found.results]
        return Computed(results, carried.sent, carried.received, carried.seconds, len(found.rounds))

    def in_the_clear(self, faces: Sequence[PreparedFace]) -> list[Result]:
        units = np.stack([_small(face).unit for face in faces])
        raw = embed(self.world.network, units)
        norms = squared_norm(raw)
        values = raw * ROOT.evaluate(norms)[:, None]
        results: list[Result] = []
        for own, norm in zip(values, norms, strict=True):
            report = check_embedding(own, np.full(2, norm), ROOT)
            results.append(self._moved(Embedding(own, report)) if report.healthy else report)
        return results

    def _moved(self, one: Result) -> Result:
        if isinstance(one, Embedding):
            return replace(one, values=one.values - self.shift)
        return one

    def gallery(self, folder: Path) -> Gallery:
        return Gallery.create(
            folder,
            embedder=_Embeds(self),
            parameters=_SMALL,
            threads=1,
            names=True,
            thresholds=(LOW, HIGH),
        )

    def close(self) -> None:
        self.closed = True


def opened(engine: TinyEngine, folder: Path) -> Gallery:
    """A gallery that `TinyEngine.gallery` made."""
    return Gallery.open(folder, embedder=_Embeds(engine), parameters=_SMALL, threads=1)


@dataclass(frozen=True)
class _Embeds:
    """What a gallery knows its embedder by."""

    engine: TinyEngine
    together: int = 1

    @property
    def model(self) -> str:
        return self.engine.model

    @property
    def size(self) -> int:
        return self.engine.size

    @property
    def views(self) -> int:
        return self.engine.views

    def embed(self, faces: Sequence[PreparedFace], /) -> list[Result]:
        return self.engine.in_the_clear(faces)


@dataclass
class _Carried:
    engine: TinyEngine
    tell: Tell
    travels: Travels
    sent: int = 0
    received: int = 0
    seconds: float = 0.0

    def embed(self, bundle: Bundle, /) -> Bundle:
        self.tell(Side.CLIENT, "encrypting", 1, 1)
        self.travels(bundle)
        self.sent += len(bundle.to_bytes())
        started = time.perf_counter()
        answer = self.engine.world.server.embed(bundle, self._stage())
        self.seconds += time.perf_counter() - started
        self.received += len(answer.to_bytes())
        self.tell(Side.CLIENT, "decrypting", 0, 0)
        return answer

    def _stage(self) -> Stage:
        def stage(what: str, done: int, total: int) -> None:
            time.sleep(self.engine.pause)
            self.tell(Side.SERVER, what, done, total)

        return stage


def _small(face: PreparedFace) -> PreparedFace:
    side = SIZE // SHRINK
    unit = face.unit.reshape(3, side, SHRINK, side, SHRINK).mean(axis=(2, 4))
    return replace(face, unit=unit)


def make_studio_world() -> World:
    """Keys for faces alone."""
    return make_world()


def shift_for(world: World) -> NDArray[np.float64]:
    """What most drawn people have in common, for this network."""
    looks = Looks(SIZE, Pictures())
    pictures = [png(portrait(person, Look())) for person in PEOPLE.values()]
    faces = [looks.of(picture, "drawn").face for picture in pictures]
    results = TinyEngine(world).in_the_clear(faces)
    values = [one.values for one in results if isinstance(one, Embedding)]
    assert len(values) == len(PEOPLE)
    return np.asarray(0.9 * np.mean(values, axis=0))


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@dataclass(frozen=True)
class Running:
    """A studio that is served."""

    studio: Studio
    port: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def entrance(self) -> str:
        return f"{self.origin}/open?token={self.studio.access.token}"


@contextmanager
def running(
    engine: TinyEngine, gallery: Gallery | None = None, start: bool = True
) -> Iterator[Running]:
    """Serve a studio in a thread."""
    listening = bound(0)
    port = listening.getsockname()[1]
    studio = Studio(engine, Access(port), gallery)
    if start:
        studio.readiness.start()
    server = uvicorn.Server(configuration(studio))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield Running(studio, port)
    finally:
        server.should_exit = True
        thread.join(10)
        studio.close()
        listening.close()
