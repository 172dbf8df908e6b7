"""Several circuits at one server: keys carry theirs, and the server says which it computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from fhe_core.container import read_header
from fhe_core.formats.ciphertexts import load_evaluation_keys
from fhe_core.normalisation import Normalisation
from fhe_core.secret.files import save_evaluation_keys
from fhe_core.secret.key import SecretKey
from fhe_face.circuit import Circuit, NoScoresError, circuit_of
from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Embedding
from fhe_face.engine import Engine
from fhe_face.progress import Stage
from fhe_face.remote.errors import Refused
from fhe_face.remote.jobs import submit
from fhe_face.remote.login import about
from fhe_face.remote.pushing import push, push_keys
from fhe_face.remote.resources import Room, every
from fhe_face.remote.server import RemoteServer
from fhe_face.server.server import FaceServer
from fhe_face.service.admission import Circuits
from fhe_face.service.jobs.engines import Resident
from fhe_face.service.jobs.faces import FaceResident
from tests.core import tiny
from tests.gallery.kit import SMALL
from tests.remote.live import Live, live
from tests.service import kit
from tests.service.jobs import engine as jobs_engine

USUAL = Circuit(kit.PARAMETERS.name, tiny.ROOT)
OTHER_ROOT = Normalisation.from_powers((1e-08, -4.7e-05, 7.1e-02), tiny.INTERVAL)
SERVED = {
    "usual": USUAL,
    "flip": replace(USUAL, views=2),
    "size": replace(USUAL, input_size=96),
    "coefficients": replace(USUAL, normalisation=OTHER_ROOT),
    "client normalises": replace(USUAL, client_normalises=True),
}


def engine(circuit: Circuit) -> Engine:
    return replace(kit.engine(), circuit=circuit)


@dataclass
class Several(jobs_engine.TinyEngines):
    """As the real engine: the circuit is that of the keys."""

    def load(self, key: Path, stage: Stage) -> Resident:
        circuit = circuit_of(read_header(key))
        keys = load_evaluation_keys(key, load=jobs_engine.ring)
        return FaceResident(FaceServer(keys, engine(circuit), kit.NETWORK, self.threads))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    described = tuple(circuit.describe() for circuit in SERVED.values())
    circuits = Circuits(described, SMALL, lambda circuit, _packings: engine(circuit))
    folder = tmp_path_factory.mktemp("live") / "data"
    with live(folder, circuits=circuits, engines=Several()) as found:
        yield found


def keys_for(circuit: Circuit, folder: Path) -> tuple[FaceClient, Path]:
    key, made = SecretKey.generate(kit.PARAMETERS), engine(circuit)
    save_evaluation_keys(folder / "evaluation.key", key, made.keys(), made.facts())
    return FaceClient(key, made), folder / "evaluation.key"


@pytest.mark.parametrize("name", SERVED)
def test_each_is_computed(service: Live, tmp_path: Path, name: str) -> None:
    client, keys = keys_for(SERVED[name], tmp_path)
    push_keys(service.connect(), keys)
    images = tiny.faces(tiny.images_for(kit.NETWORK, 1))
    (found,) = client.embed(images, RemoteServer(service.connect(), client)).results
    held = load_evaluation_keys(keys, load=jobs_engine.ring)
    (own,) = client.embed(images, FaceServer(held, client.engine, kit.NETWORK)).results
    assert isinstance(found, Embedding)
    assert isinstance(own, Embedding)
    assert np.abs(found.values - own.values).max() < 1e-2


def test_no_score_where_the_client_normalises(service: Live, tmp_path: Path) -> None:
    """This side refuses before anything is sent, and the service does, whoever asks it."""
    client, keys = keys_for(SERVED["client normalises"], tmp_path)
    connection = service.connect()
    push_keys(connection, keys)
    held = FaceServer(load_evaluation_keys(keys, load=jobs_engine.ring), client.engine, kit.NETWORK)
    found = held.embed(client.encrypt(tiny.faces(tiny.images_for(kit.NETWORK, 1))))
    before = len(list(every(connection, Room.EMBEDDINGS)))
    with pytest.raises(NoScoresError, match="compare them in the clear"):
        RemoteServer(connection, client).match(found, found)
    assert len(list(every(connection, Room.EMBEDDINGS))) == before
    found.save(tmp_path / "e.ct")
    name = push(connection, Room.EMBEDDINGS, tmp_path / "e.ct").id
    with pytest.raises(Refused, match="compare them in the clear") as caught:
        submit(connection, "scores", {"left": name, "right": name, "key": client.key_id})
    assert caught.value.problem == "no-scores"


def test_others_are_refused_before_a_section_is_sent(service: Live, tmp_path: Path) -> None:
    _, keys = keys_for(replace(USUAL, input_size=128, views=2), tmp_path)
    connection = service.connect()
    with pytest.raises(Refused) as caught:
        push_keys(connection, keys)
    said = str(caught.value)
    assert caught.value.problem == "not-served"
    assert "128x128 pixels and their mirror images" in said
    assert "does not compute that, but faces of 64x64 pixels;" in said
    assert "96x96" in said
    assert read_header(keys).key_id not in {one.id for one in every(connection, Room.KEYS)}


def test_the_server_says_which(service: Live) -> None:
    found = about(service.connect()).circuits
    assert found == tuple(circuit.summary() for circuit in SERVED.values())
