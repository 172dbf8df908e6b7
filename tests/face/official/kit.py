"""A benchmark's folder with small pictures, and a client and a server at a small ring."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.official import driver
from benchmarks.official.stages import compute, decryption, encryption, faces, keygen, scores
from benchmarks.official.stages.layout import Instance
from benchmarks.official.stages.program import Progress
from fhe_core.formats.ciphertexts import Bundle, load_bundle, load_evaluation_keys
from fhe_core.secret.files import load_secret_key, save_evaluation_keys, save_secret_key
from fhe_core.secret.key import SecretKey
from fhe_face.client.decryption import Client, Score
from fhe_face.models.reference import embed, squared_norm
from fhe_face.progress import Stage
from fhe_face.server.computation import Server
from tests.core import tiny

Pixels = NDArray[np.uint8]
SIDE = 64


def read(path: Path, what: str) -> Bundle:
    return load_bundle(path, what, tiny.load)


def small(world: tiny.World, face: Pixels) -> Pixels:
    """A face of the benchmark's size as the small network takes it."""
    step = SIDE // world.network.input_size
    return face[::step, ::step]


@dataclass
class TinyClient:
    """What the stages need of a client."""

    world: tiny.World
    client: Client
    encrypted: list[Pixels] = field(default_factory=list)

    @property
    def key_id(self) -> str:
        return self.client.key.key_id

    def encrypt(self, image: Pixels) -> Bundle:
        self.encrypted.append(image)
        unit = small(self.world, image).transpose(2, 0, 1) / 127.5 - 1
        return self.client.encrypt_image(unit, self.world.compiled)

    def decrypt_score(self, bundle: Bundle) -> Score:
        return self.client.decrypt_score(bundle)


@dataclass
class TinyServer:
    """What the schedule needs of a server; can be interrupted before its n-th pair."""

    server: Server
    stop_at: int = 99
    pairs: int = 0

    def embed_pair(self, first: Bundle, second: Bundle) -> tuple[Bundle, Bundle]:
        self.pairs += 1
        if self.pairs == self.stop_at:
            raise KeyboardInterrupt
        return self.server.embed(first), self.server.embed(second)

    def match(self, left: Bundle, right: Bundle) -> Bundle:
        return self.server.match(left, right)


@dataclass
class Bench:
    """One instance, and its stages with the small client and server put in."""

    world: tiny.World
    instance: Instance
    servers: list[TinyServer] = field(default_factory=list)
    clients: list[TinyClient] = field(default_factory=list)

    @property
    def progress(self) -> Progress:
        return Progress("test")

    def keys(self) -> None:
        def make(folder: Path, *, stage: Stage) -> None:
            key = SecretKey.generate(self.world.parameters)
            stage("making evaluation keys", 0, 1)
            save_evaluation_keys(folder / "evaluation.key", key, self.world.specifications, {})
            save_secret_key(folder / "client.key", key, {})

        keygen.generate(self.instance, self.progress, make)

    def weights(self, content: bytes = b"weights") -> None:
        """In place of the stage, which only takes whole networks."""
        self.instance.model.weights.parent.mkdir(parents=True, exist_ok=True)
        self.instance.model.weights.write_bytes(content)

    def prepare(self) -> None:
        faces.preprocess(self.instance, self.progress)

    def encrypt(self) -> None:
        encryption.encrypt(self.instance, self.progress, self._client)

    def compute(self, stop_at: int = 99) -> None:
        def load(evaluation_key: Path, weights: Path, *, stage: Stage) -> TinyServer:
            assert weights.exists()
            stage("reading", 0, 0)
            keys = load_evaluation_keys(evaluation_key, load=tiny.load)
            world = self.world
            server = Server(keys, world.compiled, world.tables, world.match, threads=1)
            self.servers.append(TinyServer(server, stop_at))
            return self.servers[-1]

        compute.compute(self.instance, self.progress, load, read)

    def decrypt(self) -> None:
        decryption.decrypt(self.instance, self.progress, self._client, read)

    def finish(self) -> list[float]:
        scores.postprocess(self.instance, self.progress)
        text = self.instance.predictions.read_text()
        assert text.endswith("\n")
        return [float(line) for line in text.splitlines()]

    def run(self) -> list[float]:
        """All stages."""
        self.keys()
        self.weights()
        self.prepare()
        self.encrypt()
        self.compute()
        self.decrypt()
        return self.finish()

    def _client(self, path: Path) -> TinyClient:
        self.clients.append(
            TinyClient(
                self.world,
                Client(
                    load_secret_key(path, tiny.load), self.world.compiled.plan, self.world.match
                ),
            )
        )
        return self.clients[-1]


def png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_pairs(path: Path, pictures: list[bytes]) -> None:
    """Pictures 2i and 2i + 1 as pair i."""
    driver.write_pairs(path, list(zip(pictures[::2], pictures[1::2], strict=True)))


def crops(world: tiny.World) -> tuple[list[Pixels], Pixels]:
    """Faces (64, 64, 3) that the small network takes, and one on which it diverges."""
    size = world.network.input_size
    many = np.random.default_rng(0).integers(0, 256, (400, size, size, 3), dtype=np.uint8)
    many[20:] = 255 * (many[20:] // 128)  # hard contrasts have larger norms
    norms = squared_norm(embed(world.network, many))
    low, high = tiny.INTERVAL
    many = many.repeat(SIDE // size, axis=1).repeat(SIDE // size, axis=2)
    inside = many[(norms > 1.2 * low) & (norms < 0.8 * high)]
    return list(inside), many[norms > 1.1 * high][0]


def cosines(world: tiny.World, faces_: list[Pixels]) -> list[float]:
    """The small network's answer in the clear, for faces 2i and 2i + 1."""
    embeddings = embed(world.network, np.stack([small(world, face) for face in faces_]))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return [float(a @ b) for a, b in zip(embeddings[::2], embeddings[1::2], strict=True)]
