"""Encrypted embeddings of many faces, really encrypted at a small ring; kept, resumed, refused."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fhe_core.compiler import BATCH, Packing, compile_batch, compile_match
from fhe_core.compiler.architecture import architecture_of
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.plan import required_keys
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import HealthReport
from fhe_face.evaluation import Batches, Cache, Outcome, embed_encrypted
from fhe_face.models.reference import embed, squared_norm
from fhe_face.server.computation import Server
from tests.core import tiny

Pixels = NDArray[np.uint8]


@dataclass
class TinyPipeline:
    """The pipeline of the tiny world; counts, and can be interrupted."""

    world: tiny.World
    stop_after: int = 99
    pairs: Server | None = None
    alone: int = 0
    embedded: list[Pixels] = field(default_factory=list)

    def encrypt(self, crop: Pixels) -> Bundle:
        if len(self.embedded) == self.stop_after:
            raise KeyboardInterrupt
        self.embedded.append(crop)
        unit = crop.transpose(2, 0, 1) / 127.5 - 1
        return self.world.client.encrypt_image(unit, self.world.compiled)

    @property
    def takes_pairs(self) -> bool:
        return self.pairs is not None

    def embed(self, image: Bundle) -> Bundle:
        self.alone += 1
        return self.world.server.embed(image)

    def embed_pair(self, first: Bundle, second: Bundle) -> tuple[Bundle, Bundle]:
        assert self.pairs is not None
        return self.pairs.embed_pair(first, second)

    def decrypt_embedding(self, bundle: Bundle) -> Embedding:
        return self.world.client.decrypt_embedding(bundle)


@pytest.fixture(scope="module")
def world() -> tiny.World:
    return tiny.make_world()


@pytest.fixture(scope="module")
def crops(world: tiny.World) -> list[Pixels]:
    """Two faces inside the polynomial's interval, and one outside."""
    size = world.network.input_size
    many = np.random.default_rng(0).integers(0, 256, (400, size, size, 3), dtype=np.uint8)
    many[20:] = 255 * (many[20:] // 128)  # hard contrasts have larger norms
    norms = squared_norm(embed(world.network, many))
    low, high = tiny.INTERVAL
    inside = many[(norms > 1.2 * low) & (norms < 0.8 * high)]
    outside = many[norms > 1.1 * high]
    return [inside[0], outside[0], inside[1]]


def never() -> TinyPipeline:
    raise AssertionError("nothing is missing, so nothing is to be started")


def run(
    world: tiny.World, crops: list[Pixels], cache: Cache, stop_after: int = 99
) -> tuple[list[Outcome], TinyPipeline, list[str]]:
    pipeline, lines = TinyPipeline(world, stop_after), list[str]()
    return embed_encrypted(crops, cache, lambda: pipeline, lines.append), pipeline, lines


def test_encrypted_embeddings(world: tiny.World, crops: list[Pixels]) -> None:
    outcomes, _, lines = run(world, crops, Cache(None, "tiny"))
    raw = embed(world.network, np.stack(crops))
    wanted = raw * tiny.ROOT.evaluate(squared_norm(raw))[:, None]
    for outcome, expected, norm in zip(outcomes, wanted, squared_norm(raw), strict=True):
        assert outcome.squared_norm == pytest.approx(norm, rel=0.02)
        assert outcome.seconds > 0
        if outcome.values is not None:
            assert np.linalg.norm(outcome.values - expected) < 0.02 * np.linalg.norm(expected)
    assert [outcome.values is None for outcome in outcomes] == [False, True, False]
    assert "outside [2, 200]" in outcomes[1].reason
    assert [line.split(",")[0] for line in lines] == [f"encrypted {k} of 3" for k in (1, 2, 3)]
    assert lines[0].endswith(" left")
    assert not lines[2].endswith(" left")


def test_two_at_a_time(world: tiny.World, crops: list[Pixels]) -> None:
    """A refused face is computed again alone, and so is its partner."""
    plan = tiny.compile_for(world.network, world.parameters, packing=Packing.PAIR)
    plans = [world.compiled.plan, world.match, plan.plan]
    keys = tiny.make_keys(world.key, required_keys(plans, world.parameters))
    pair = (plan, plan.tables(world.network))
    server = Server(keys, world.compiled, world.tables, world.match, threads=1, pair=pair)
    pipeline, lines = TinyPipeline(world, pairs=server), list[str]()
    chosen = [crops[0], crops[2], crops[1], crops[0], crops[2]]
    found = embed_encrypted(chosen, Cache(None, "tiny"), lambda: pipeline, lines.append)
    assert [outcome.values is None for outcome in found] == [False, False, True, False, False]
    assert pipeline.alone == 3  # both of the second pair, and the odd one out
    raw = embed(world.network, np.stack(chosen))
    wanted = raw * tiny.ROOT.evaluate(squared_norm(raw))[:, None]
    for outcome, expected in zip(found, wanted, strict=True):
        if outcome.values is not None:
            assert np.linalg.norm(outcome.values - expected) < 0.02 * np.linalg.norm(expected)
    assert [line.split(",")[0] for line in lines] == [f"encrypted {k} of 5" for k in (2, 4, 5)]


@dataclass
class TinyMany:
    """Batches of the tiny world, eight faces at a time; remembers their sizes."""

    world: tiny.World
    sizes: list[int] = field(default_factory=list)
    open: bool = False
    capacity: int = 8

    def __post_init__(self) -> None:
        world, parameters = self.world, self.world.parameters
        self.compiled = compile_batch(
            architecture_of(world.network), parameters, BATCH, tiny.ROOT, self.capacity
        )
        match = compile_match(self.compiled.plan, parameters, BATCH)
        keys = tiny.make_keys(world.key, required_keys([self.compiled.plan], parameters))
        tables = self.compiled.tables(world.network)
        self.server = Server(keys, self.compiled, tables, match, threads=1)

    def embed_many(self, crops: Sequence[Pixels]) -> list[Embedding | HealthReport]:
        assert self.open
        self.sizes.append(len(crops))
        units = np.stack(crops).transpose(0, 3, 1, 2) / 127.5 - 1
        client = self.world.client
        return client.decrypt_embeddings(
            self.server.embed(client.encrypt_images(units, self.compiled))
        )

    @contextmanager
    def start(self) -> Iterator[TinyMany]:
        self.open = True
        yield self
        self.open = False


def test_batches_come_first(world: tiny.World, crops: list[Pixels], tmp_path: Path) -> None:
    """What a batch refuses, and what would not fill half of one, is computed alone."""
    many, pipeline, lines = TinyMany(world), TinyPipeline(world), list[str]()
    cache = Cache(tmp_path, "tiny")
    chosen = [*(6 * [crops[0]]), crops[1], *(4 * [crops[2]])]
    batches = Batches(many.capacity, many.start)
    found = embed_encrypted(chosen, cache, lambda: pipeline, lines.append, batches)
    assert many.sizes == [8]
    assert not many.open  # its keys are gone before others are made
    assert pipeline.alone == 1 + 3
    assert [outcome.values is None for outcome in found] == [False] * 6 + [True] + [False] * 4
    raw = embed(world.network, np.stack(chosen))
    wanted = raw * tiny.ROOT.evaluate(squared_norm(raw))[:, None]
    for outcome, expected in zip(found, wanted, strict=True):
        if outcome.values is not None:
            assert np.linalg.norm(outcome.values - expected) < 0.02 * np.linalg.norm(expected)
    assert "a batch of 8" in lines[0]
    few = embed_encrypted(chosen[-1:], Cache(None, "x"), lambda: pipeline, lines.append, batches)
    assert few[0].values is not None
    assert many.sizes == [8]


def test_interrupted_and_resumed(world: tiny.World, crops: list[Pixels], tmp_path: Path) -> None:
    cache = Cache(tmp_path / "kept", "tiny")
    with pytest.raises(KeyboardInterrupt):
        run(world, crops, cache, stop_after=2)
    assert len(list((tmp_path / "kept").iterdir())) == 2
    first, pipeline, lines = run(world, crops, cache)
    assert len(pipeline.embedded) == 1
    assert np.array_equal(pipeline.embedded[0], crops[2])
    assert lines[0] == "2 of 3 embeddings are kept from before"
    again = embed_encrypted(crops, cache, never, lines.append)
    for one, other in zip(first, again, strict=True):
        assert one.to_json() == other.to_json()
    for file in (tmp_path / "kept").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700


def outcome() -> Outcome:
    return Outcome(np.arange(3.0), 7.5, "", 1.25)


def test_another_network_or_crop_is_not_the_same(crops: list[Pixels], tmp_path: Path) -> None:
    Cache(tmp_path, "one").save(crops[0], outcome())
    assert Cache(tmp_path, "one").load(crops[0]) is not None
    assert Cache(tmp_path, "two").load(crops[0]) is None
    assert Cache(tmp_path, "one").load(crops[1]) is None
    assert Cache(tmp_path, "one").load(crops[0].reshape(-1, 8, 3)) is None


def change(key: str, value: object) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps({**json.loads(content), key: value}).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-5],
        lambda content: b"",
        lambda content: b"[" * 10_000,
        lambda content: b"\xff\xfe",
        lambda content: b"[]",
        change("version", 2),
        change("embedding", None),
        change("embedding", ["a"]),
        change("embedding", []),
        change("embedding", [[1.0], [2.0]]),
        change("embedding", [[1.0], 2.0]),
        change("embedding", {"x": 1}),
        change("embedding", [float("nan")]),
        change("reason", "diverged"),
        change("squared_norm", "7"),
        change("squared_norm", 10**400),
        change("seconds", None),
        change("seconds", float("inf")),
    ],
)
def test_damaged_files_are_computed_again(
    damage: Callable[[bytes], bytes], crops: list[Pixels], tmp_path: Path
) -> None:
    cache = Cache(tmp_path, "one")
    cache.save(crops[0], outcome())
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert cache.load(crops[0]) is None


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_outcomes_survive(values: list[float], norm: float | None) -> None:
    for before in (Outcome(np.array(values), norm, "", 1.0), Outcome(None, norm, "why", 0.0)):
        after = Outcome.from_json(json.loads(json.dumps(before.to_json())))
        assert after.to_json() == before.to_json()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"version": st.just(1)},
        optional={name: json_values for name in ("embedding", "squared_norm", "reason", "seconds")},
    )
    | json_values
)
def test_hostile_files(content: object) -> None:
    try:
        found = Outcome.from_json(content)
    except (ValueError, OverflowError):
        return
    assert (found.values is None) == bool(found.reason)
