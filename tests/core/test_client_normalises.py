"""Circuits whose client normalises, end to end at a small size: answers, health, refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.divergence.wrapping import wrapped
from fhe_core.compiler import policy
from fhe_core.container import KeyMismatch
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.normalisation import ExactNormalisation
from fhe_core.parameters import presets
from fhe_core.secret.key import SecretKey
from fhe_face.circuit import Circuit, CircuitError, NoScoresError
from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Embedding, Reader
from fhe_face.client.devices import Register
from fhe_face.client.health import Cause, HealthReport, UnhealthyResultError
from fhe_face.client.normalising import normalised
from fhe_face.engine import choose_engine, compile_engine
from fhe_face.models.reference import embed, squared_norm
from fhe_face.models.synthetic import random_fused
from fhe_face.places import Packing, Places, Run, numbered
from fhe_face.server.devices import DeviceFolder
from fhe_face.server.server import FaceServer
from fhe_face.shapes import ShapeMismatch
from tests.core import tiny

Slots = NDArray[np.float64]
INTERVAL = (100.0, 3000.0)
LENGTH, BLOCK, SLOTS = 16, 64, 512


@pytest.fixture(scope="module")
def raw() -> tiny.World:
    return tiny.make_world(Packing, images=10, client_normalises=True)


def expected(raw: tiny.World, images: tiny.Array) -> tiny.Array:
    """Embeddings of length one."""
    found = embed(raw.network, images)
    return np.asarray(found / np.sqrt(squared_norm(found))[:, None])


def embedded(raw: tiny.World, images: tiny.Array, server: Any = None) -> Bundle:
    encrypted = raw.client.encrypt(
        tiny.faces(images), runs=numbered([(Packing.ALONE, 1)] * len(images))
    )
    return (server or raw.server).embed(encrypted)


# --- answers --------------------------------------------------------------------------------------


def test_embeddings_have_length_one(raw: tiny.World) -> None:
    bundle = embedded(raw, raw.images[:2])
    assert {name.split(" ", 2)[2] for name in bundle.items} == set(raw.compiled.plan.outputs)
    assert len(bundle.items) == 2  # no squared norm travels
    found = raw.client.decrypt(bundle)
    norms = squared_norm(embed(raw.network, raw.images))
    for own, wanted, norm in zip(found, expected(raw, raw.images), norms, strict=False):
        assert isinstance(own, Embedding)
        assert np.linalg.norm(own.values) == pytest.approx(1, abs=1e-12)
        assert np.linalg.norm(own.values - wanted) < 1e-3
        assert own.health.squared_norms == pytest.approx((norm,), rel=1e-3)
        assert own.health.interval == tiny.INTERVAL


def test_batches_and_single_faces_give_the_same(raw: tiny.World) -> None:
    runs = numbered([(Packing.BATCH, 6), (Packing.ALONE, 1)])
    bundle = raw.server.embed(raw.client.encrypt(tiny.faces(raw.images[:7]), runs=runs))
    found = raw.client.decrypt(bundle)
    for own, wanted in zip(found, expected(raw, raw.images), strict=False):
        assert isinstance(own, Embedding)
        assert np.linalg.norm(own.values) == pytest.approx(1, abs=1e-12)
        assert np.linalg.norm(own.values - wanted) < 1e-3


def test_copies_are_compared_before_normalisation(raw: tiny.World) -> None:
    (found,) = raw.client.embed(tiny.faces(raw.images[:1]), raw.server, twice=True).results
    assert isinstance(found, Embedding)


def test_what_a_device_sends_is_answered_to_its_owner(raw: tiny.World, tmp_path: Path) -> None:
    register = Register.beside(tmp_path / "client.key", raw.key.key_id)
    register.make(raw.key, raw.engine, tmp_path / "door.key", "door")
    images = tiny.device(raw.engine, tmp_path / "door.key").encrypt(tiny.faces(raw.images[0]))
    devices = DeviceFolder(register.folder)
    result = FaceServer(raw.keys, raw.engine, raw.network, 1, devices).embed(images)
    found = FaceClient(raw.key, raw.engine, devices=register).embedding(result, [images])
    assert np.linalg.norm(found.values - expected(raw, raw.images[:1])[0]) < 1e-3


# --- health ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [8.0, 100.0, 1e4])
def test_a_network_that_diverges_is_refused(
    raw: tiny.World, world: tiny.World, factor: float
) -> None:
    """With the text and the facts that a server's normalisation has."""
    said = []
    for one in (raw, world):
        server = one.server_for(tiny.scaled_block(one.network, factor))
        with pytest.raises(UnhealthyResultError) as caught:
            one.client.embedding(embedded(one, raw.images[:1], server))
        said.append(caught.value)
    facts = [error.details() for error in said]
    assert facts[0].keys() == facts[1].keys()
    assert facts[0]["interval"] == facts[1]["interval"]
    if factor == 8.0:  # nothing wraps around in either
        assert str(said[0]) == str(said[1])
        assert said[0].report.cause is said[1].report.cause is Cause.OWN


def test_an_embedding_that_wraps_around_is_refused() -> None:
    """In a chain like that of the preset, where room is 2^37."""
    network, parameters = random_fused(0), tiny.raw(11)
    engine = replace(
        tiny.engine_for(network, parameters, client_normalises=True), policy=policy.RAW
    )
    key = SecretKey.generate(parameters)
    keys, client = tiny.make_keys(key, engine.keys()), FaceClient(key, engine)
    images = tiny.images_for(network, 1)
    for factor in (1e2, 1e6):
        diverging = tiny.scaled_block(network, factor)
        server = FaceServer(keys, engine, diverging)
        true = squared_norm(embed(diverging, images))[0]
        with pytest.raises(UnhealthyResultError) as caught:
            client.embedding(server.embed(client.encrypt(tiny.faces(images))))
        (norm,) = caught.value.report.squared_norms
        assert norm > tiny.INTERVAL[1]
        assert (abs(norm / true - 1) < 0.1) == (true < 2.0**74)  # wrapped beyond


def slots_of(faces: Slots, noise: float = 0.0) -> Slots:
    """Embeddings (faces, length) as a batch has them, twice in every block."""
    generator = np.random.default_rng(5)
    blocks = generator.normal(size=(len(faces), BLOCK))
    blocks[:, :LENGTH] = blocks[:, LENGTH : 2 * LENGTH] = faces
    return np.asarray(blocks.ravel() + noise * generator.normal(size=blocks.size))


def directions(count: int, norm: float = 20.0) -> Slots:
    return norm * tiny.unit_vectors(count, LENGTH)


@pytest.fixture
def reader() -> Reader:
    return Reader(ExactNormalisation(INTERVAL), LENGTH, LENGTH, Places(SLOTS // BLOCK, BLOCK))


def read_alone(reader: Reader, slots: Slots) -> Embedding | HealthReport:
    (found,) = reader.embeddings(Run(Packing.ALONE, 0, 1), [slots], [2.0**37])
    return found


def test_the_edges_of_the_interval(reader: Reader) -> None:
    for squared, healthy in ((99.9, False), (100.1, True), (2999.0, True), (3001.0, False)):
        face = directions(1, squared**0.5)
        found = read_alone(reader, np.tile(face[0], SLOTS // LENGTH))
        assert isinstance(found, Embedding) is healthy
        if isinstance(found, HealthReport):
            assert "the network diverged on this image" in found.message
            assert found.cause is Cause.OWN


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf, 1e300])
def test_what_is_no_embedding(reader: Reader, value: float) -> None:
    assert isinstance(read_alone(reader, np.full(SLOTS, value)), HealthReport)


def test_windows_must_agree(reader: Reader) -> None:
    """A ciphertext that holds anything but one embedding, over and over."""
    slots = np.tile(directions(1)[0], SLOTS // LENGTH)
    assert isinstance(read_alone(reader, slots), Embedding)
    slots[3 * LENGTH] += 5.0
    found = read_alone(reader, slots)
    assert isinstance(found, HealthReport)
    assert "differs between slots" in found.message


def test_remainders_are_never_healthy(reader: Reader) -> None:
    """Embeddings far beyond the room, reduced as decryption does."""
    generator = np.random.default_rng(0)
    for log_size in np.linspace(40, 78, 200):
        face = generator.normal(size=LENGTH) * 2.0**log_size
        remainder = wrapped(np.tile(face, SLOTS // LENGTH), 2.0**38)
        found = read_alone(reader, remainder)
        assert isinstance(found, HealthReport)
        assert found.squared_norms[0] > 2.0**60


def test_a_face_of_a_batch_and_those_beside_it(reader: Reader) -> None:
    faces = directions(SLOTS // BLOCK)
    faces[3] *= 6.0  # a squared norm of 14,400
    run = Run(Packing.BATCH, 0, len(faces))
    found = reader.embeddings(run, [slots_of(faces, 1e-3)], [2.0**37])
    causes = [one.cause if isinstance(one, HealthReport) else None for one in found]
    assert causes == [None, None, Cause.PARTNER, Cause.OWN, Cause.PARTNER, None, None, None]
    for face, own in zip(faces, found, strict=True):
        if isinstance(own, Embedding):
            assert np.linalg.norm(own.values) == pytest.approx(1, abs=1e-12)
            assert own.values @ face > 0.9999 * np.linalg.norm(face)


def test_a_batch_that_wraps_around_is_refused_whole(reader: Reader) -> None:
    """One face beyond the room of the polynomial takes all others along; before, those that are
    not beside it are right."""
    run, seen = Run(Packing.BATCH, 0, SLOTS // BLOCK), set()
    for factor in 2.0 ** np.arange(34, 72, 1):
        faces = directions(SLOTS // BLOCK)
        faces[3] *= factor
        true = slots_of(faces)
        slots = wrapped(true, 2.0**38)
        found = reader.embeddings(run, [slots], [2.0**37])
        wraps = not np.allclose(slots, true, rtol=1e-3, atol=1e-3 * abs(true).max())
        healthy = [n for n, one in enumerate(found) if isinstance(one, Embedding)]
        assert healthy == ([] if wraps else [0, 1, 5, 6, 7])
        seen.add(wraps)
    assert seen == {True, False}


def test_squared_norms_are_those_of_windows() -> None:
    faces = directions(SLOTS // BLOCK)
    values, norms = normalised(slots_of(faces), LENGTH, LENGTH, BLOCK)
    for number, face in enumerate(faces):
        first = number * BLOCK
        assert norms[first : first + LENGTH] == pytest.approx(np.sum(face**2))
        assert values[first : first + LENGTH] == pytest.approx(face / np.linalg.norm(face))


# --- no scores ------------------------------------------------------------------------------------


def test_no_plan_and_no_key_is_for_scores(raw: tiny.World) -> None:
    assert [plan.name for plan in raw.engine.plans()] == ["embed-16-one", "embed-16-batch-8"]
    assert raw.engine.plans(()) == []


@pytest.fixture
def asked(raw: tiny.World) -> dict[str, Callable[[], object]]:
    bundle = embedded(raw, raw.images[:1])
    forged = replace(bundle, what="score")
    return {
        "a plan": lambda: raw.engine.match_plan,
        "mixed plans": lambda: raw.engine.alike([Packing.ALONE]),
        "a score": lambda: raw.server.match(bundle, bundle),
        "a forged score": lambda: raw.client.decrypt(forged),
        "its decision": lambda: raw.client.decide(forged, 0.5),
    }


@pytest.mark.parametrize(
    "what", ["a plan", "mixed plans", "a score", "a forged score", "its decision"]
)
def test_scores_are_refused(asked: dict[str, Callable[[], object]], what: str) -> None:
    with pytest.raises(NoScoresError, match="decrypt both and compare them in the clear"):
        asked[what]()


def test_a_result_of_the_other_circuit_is_refused(raw: tiny.World, world: tiny.World) -> None:
    """From its header: other ciphertexts than this client's plan gives."""
    bundle = embedded(raw, raw.images[:1])
    with pytest.raises(KeyMismatch):
        world.client.decrypt(bundle)
    other = FaceClient(raw.key, tiny.engine_for(raw.network, raw.parameters))
    with pytest.raises(ShapeMismatch, match="holds 1 ciphertexts"):
        other.decrypt(bundle)


# --- the circuit ----------------------------------------------------------------------------------


def test_key_files_say_it() -> None:
    circuit = choose_engine(client_normalises=True).circuit
    assert (circuit.preset, circuit.client_normalises) == ("raw", True)
    assert Circuit.from_description(circuit.describe()) == circuit
    assert "the client normalises" in circuit.summary()
    usual = choose_engine().circuit
    assert "client_normalises" not in usual.describe()
    for said in (1, "yes", None, [True]):
        with pytest.raises(CircuitError, match="whether its client normalises"):
            Circuit.from_description({**circuit.describe(), "client_normalises": said})


def test_every_preset_can_leave_the_normalisation_out() -> None:
    """Only `raw` has no levels for it; nobody has to believe a key file's combination."""
    usual = choose_engine().circuit
    for preset in ("lean", "raw"):
        engine = compile_engine(replace(usual, preset=preset, client_normalises=True))
        assert len(engine.plans()) == 1
    with pytest.raises(Exception, match="too short"):
        compile_engine(replace(usual, preset="raw")).plans()
    assert presets.load("raw").name == "raw"
