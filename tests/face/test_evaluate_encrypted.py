"""Encrypted embeddings of many faces, really encrypted at a small ring; kept, resumed, refused."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fhe_face.client.embedding import CONTRASTS, Embedded, embed_faces
from fhe_face.local.evaluation import Cache, FacePipeline, Outcome, embed_encrypted
from fhe_face.models.reference import embed, squared_norm
from fhe_face.places import Packing
from tests.core import tiny

Pixels = NDArray[np.uint8]


@dataclass
class TinyPipeline:
    """The pipeline of a tiny world; remembers the crops, and can be interrupted."""

    world: tiny.World
    stop_after: int = 99
    embedded: list[Pixels] = field(default_factory=list)
    rounds: list[list[tuple[str, int]]] = field(default_factory=list)

    @property
    def together(self) -> int:
        return FacePipeline(self.world.client, self.world.server).together

    def embed(self, crops: Sequence[Pixels]) -> Embedded:
        if len(self.embedded) >= self.stop_after:
            raise KeyboardInterrupt
        self.embedded += crops
        units = np.stack(crops).transpose(0, 3, 1, 2) / 127.5 - 1
        found = embed_faces(self.world.client, tiny.faces(units), self.world.server)
        for one in found.rounds:
            self.rounds.append([(run.packing.value, run.faces) for run in one.runs])
        return found


@pytest.fixture(scope="module")
def world() -> tiny.World:
    return tiny.make_world()


@pytest.fixture(scope="module")
def drawn(world: tiny.World) -> list[Pixels]:
    """Two faces inside the polynomial's interval, and between them one that no contrast brings
    there; last, one that less contrast does."""
    size = world.network.input_size
    many = np.random.default_rng(0).integers(0, 256, (400, size, size, 3), dtype=np.uint8)
    blocks = np.random.default_rng(1).integers(0, 2, (380, size // 4, size // 4, 3), dtype=np.uint8)
    many[20:] = 255 * blocks.repeat(4, axis=1).repeat(4, axis=2)  # hard contrasts: large norms
    norms = squared_norm(embed(world.network, many))
    low, high = tiny.INTERVAL
    inside = many[(norms > 1.2 * low) & (norms < 0.8 * high)]
    units = many.transpose(0, 3, 1, 2) / 127.5 - 1
    softer = [squared_norm(embed(world.network, part * units)) for part in CONTRASTS[1:3]]
    outside = many[np.minimum(*softer) > 1.02 * high]
    healed = many[(norms > 1.05 * high) & (softer[0] < 0.9 * high)]
    return [inside[0], outside[0], inside[1], healed[0]]


@pytest.fixture(scope="module")
def crops(drawn: list[Pixels]) -> list[Pixels]:
    """Two faces that are fine, and one between them that is not."""
    return drawn[:3]


def never(_missing: int) -> TinyPipeline:
    raise AssertionError("nothing is missing, so nothing is to be started")


def run(
    world: tiny.World, crops: list[Pixels], cache: Cache, stop_after: int = 99
) -> tuple[list[Outcome], TinyPipeline, list[str]]:
    pipeline, lines = TinyPipeline(world, stop_after), list[str]()
    found = embed_encrypted(crops, cache, lambda _missing: pipeline, lines.append)
    return found, pipeline, lines


def test_encrypted_embeddings(world: tiny.World, crops: list[Pixels]) -> None:
    outcomes, _, lines = run(world, crops, Cache(None, "tiny"))
    raw = embed(world.network, np.stack(crops))
    wanted = raw * tiny.ROOT.evaluate(squared_norm(raw))[:, None]
    norms = squared_norm(raw)
    least = np.stack(crops)[1].transpose(2, 0, 1) / 127.5 - 1
    norms[1] = squared_norm(embed(world.network, min(CONTRASTS) * least[None]))[0]
    for outcome, expected, norm in zip(outcomes, wanted, norms, strict=True):
        assert outcome.squared_norm == pytest.approx(norm, rel=0.02)
        assert outcome.seconds > 0
        if outcome.values is not None:
            assert np.linalg.norm(outcome.values - expected) < 0.02 * np.linalg.norm(expected)
    assert [outcome.values is None for outcome in outcomes] == [False, True, False]
    assert "outside [2, 200]" in outcomes[1].reason
    assert lines[0] == "encrypting 3 faces, one by one; an interruption loses those at work"
    assert [line.split(",")[0] for line in lines[1:4]] == [f"encrypted {k} of 3" for k in (1, 2, 3)]
    assert lines[1].endswith(" left")
    assert not lines[3].endswith(" left")


def test_a_diverging_face_has_less_contrast_in_the_end(
    world: tiny.World, drawn: list[Pixels], tmp_path: Path
) -> None:
    """And what is kept of it says so."""
    cache = Cache(tmp_path / "kept", "tiny")
    crops = [drawn[0], drawn[3]]
    outcomes, pipeline, lines = run(world, crops, cache)
    assert [outcome.contrast for outcome in outcomes] == [1.0, 0.9]
    assert pipeline.rounds == [[("alone", 1)]] * 3
    unit = 0.9 * (drawn[3].transpose(2, 0, 1) / 127.5 - 1)
    raw = embed(world.network, unit[None])
    wanted = raw[0] * tiny.ROOT.evaluate(squared_norm(raw))[0]
    assert outcomes[1].values is not None
    assert np.linalg.norm(outcomes[1].values - wanted) < 0.02 * np.linalg.norm(wanted)
    assert "2 of 2 are healthy, 1 were computed again with less contrast" in lines[-1]
    kept = embed_encrypted(crops, cache, never, lines.append)
    assert [outcome.contrast for outcome in kept] == [1.0, 0.9]


def test_what_an_older_version_kept_has_the_contrast_that_it_had() -> None:
    content = outcome().to_json()
    del content["contrast"]
    assert Outcome.from_json(content).contrast == 1.0
    for wrong in ("0.9", float("nan"), True):
        with pytest.raises(ValueError, match="not numbers"):
            Outcome.from_json({**content, "contrast": wrong})


def require_right(world: tiny.World, crops: list[Pixels], found: list[Outcome]) -> None:
    """Of each face with the contrast that its outcome names."""
    units = np.stack(crops).transpose(0, 3, 1, 2) / 127.5 - 1
    raw = embed(world.network, units * [[[[outcome.contrast]]] for outcome in found])
    wanted = raw * tiny.ROOT.evaluate(squared_norm(raw))[:, None]
    for outcome, expected in zip(found, wanted, strict=True):
        if outcome.values is not None:
            assert np.linalg.norm(outcome.values - expected) < 0.02 * np.linalg.norm(expected)


def test_one_at_a_time(crops: list[Pixels]) -> None:
    """A face outside the interval is refused, and no other."""
    world = tiny.make_world()
    chosen = [crops[0], crops[2], crops[1], crops[0], crops[2]]
    found, pipeline, lines = run(world, chosen, Cache(None, "tiny"))
    assert [outcome.values is None for outcome in found] == [False, False, True, False, False]
    assert pipeline.rounds == 7 * [[("alone", 1)]]  # one of them three times
    require_right(world, chosen, found)
    _, *steps, last = lines
    assert [line.split(",")[0] for line in steps] == [f"encrypted {k} of 5" for k in range(1, 6)]
    assert "4 of 5 are healthy" in last
    assert "healthy embeddings per hour" in last


def test_in_batches(crops: list[Pixels]) -> None:
    world = tiny.make_world([Packing.BATCH])
    chosen = [*(6 * [crops[0]]), crops[1], *(4 * [crops[2]])]
    found, pipeline, lines = run(world, chosen, Cache(None, "tiny"))
    assert lines[0] == "encrypting 11 faces, 8 at a time; an interruption loses those at work"
    assert pipeline.rounds[0] == [("batch", 8)]
    assert [outcome.values is None for outcome in found] == [False] * 6 + [True] + [False] * 4
    require_right(world, chosen, found)


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
        change("contrast", 0),
        change("contrast", -0.9),
        change("contrast", 1.5),
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
