"""A device, its owner and a server around one small network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core.container import ContainerError, Corrupt, KeyMismatch, ParameterMismatch
from fhe_core.files import FileError
from fhe_core.formats.ciphertexts import Bundle, load_bundle, save_bundle
from fhe_core.secret.device_files import load_device_key
from fhe_core.secret.key import SecretKey
from fhe_face.client.client import FaceClient
from fhe_face.client.device_client import DeviceClient
from fhe_face.client.devices import Device, DeviceError, Register
from fhe_face.client.expected import RevokedDevice, device_tokens
from fhe_face.client.requests import RequestMismatch
from fhe_face.places import Packing
from fhe_face.senders import UnknownDevice
from fhe_face.server.devices import DeviceFolder, OneDevice
from fhe_face.server.server import FaceServer
from tests.core import tiny


@dataclass(frozen=True)
class Places:
    """A small world with one device. register: its owner's; made: the device; own: its key."""

    world: tiny.World
    register: Register
    made: Device
    own: Path
    device: DeviceClient
    owner: FaceClient
    server: FaceServer

    def embedding(self, number: int = 0) -> Bundle:
        return self.server.embed(self.device.encrypt(tiny.faces(self.world.images[number])))


def device_of(world: tiny.World, own: Path) -> DeviceClient:
    return tiny.device(world.engine, own)


@pytest.fixture(scope="module")
def places(world: tiny.World, tmp_path_factory: pytest.TempPathFactory) -> Places:
    folder = tmp_path_factory.mktemp("owner")
    register = Register.beside(folder / "client.key", world.key.key_id)
    own = folder / "door.key"
    made = register.make(world.key, world.engine, own, "door")
    devices = DeviceFolder(register.folder)
    server = FaceServer(world.keys, world.engine, world.network, 1, devices)
    owner = FaceClient(world.key, world.engine, devices=register)
    return Places(world, register, made, own, device_of(world, own), owner, server)


def with_facts(bundle: Bundle, **facts: Any) -> Bundle:
    return replace(bundle, facts={**bundle.facts, **facts})


# --- answers --------------------------------------------------------------------------------------


def test_what_a_device_sends_is_answered_to_its_owner(places: Places) -> None:
    images = places.device.encrypt(tiny.faces(places.world.images[0]))
    assert images.key_id == places.made.id == places.device.key_id
    assert images.facts["owner"] == places.world.key.key_id
    assert len(images.seeds) == len(images.items)  # an upload is as small as its owner's
    result = places.server.embed(images)
    assert result.key_id == places.world.key.key_id
    assert result.facts["devices"] == [places.made.id]
    assert "owner" not in result.facts
    (found,) = places.world.reference(places.world.images[:1])
    decrypted = places.owner.embedding(result, [images])
    assert np.linalg.norm(decrypted.values - found) < 1e-3 * np.linalg.norm(found)


def test_files_as_well(places: Places, tmp_path: Path) -> None:
    """Refusals come from the header; the switch is in the middle; the answer names the device."""
    images = places.device.encrypt(tiny.faces(places.world.images[:2]))
    save_bundle(tmp_path / "faces.ct", images)
    read = places.server.read(tmp_path / "faces.ct", "image")
    assert read.key_id == places.world.key.key_id
    again = places.server.read(
        tmp_path / "faces.ct", "image", OneDevice(places.register.switching_key(places.made.id))
    )
    for name, item in read.items.items():
        assert np.array_equal(item.residues, again.items[name].residues)  # nothing is drawn
    save_bundle(tmp_path / "result.ct", places.server.embed(read))
    result = load_bundle(tmp_path / "result.ct", "embedding", tiny.load)
    found = places.owner.decrypt(result, [tmp_path / "faces.ct"])
    assert len(found) == 2


def test_faces_of_owner_and_device_are_compared(places: Places) -> None:
    """A score says who sent which side; neither can be said to be another's."""
    enrolled = places.server.embed(places.owner.encrypt(tiny.faces(places.world.images[1])))
    seen = places.embedding()
    left, right = places.world.reference(places.world.images[:2])
    for pair, senders in (
        ((seen, enrolled), [places.made.id, None]),
        ((enrolled, seen), [None, places.made.id]),
        ((seen, seen), [places.made.id] * 2),
    ):
        score = places.server.match(*pair)
        assert score.facts["devices"] == senders
        value = places.owner.score(score).value
        assert value == pytest.approx(
            float(left @ (left if pair[1] is pair[0] else right)), abs=1e-3
        )
        for wrong in ([None, None], senders[::-1], [places.made.id], [*senders, None], "x", [1, 2]):
            if wrong != senders:
                with pytest.raises((RequestMismatch, Corrupt)):
                    places.owner.score(with_facts(score, devices=wrong))
    assert "devices" not in places.server.match(enrolled, enrolled).facts


@pytest.mark.slow
def test_batches(tmp_path: Path) -> None:
    world = tiny.make_world((Packing.ALONE, Packing.BATCH), images=5)
    register = Register.beside(tmp_path / "client.key", world.key.key_id)
    register.make(world.key, world.engine, tmp_path / "door.key", "door")
    server = FaceServer(world.keys, world.engine, world.network, 1, DeviceFolder(register.folder))
    device = device_of(world, tmp_path / "door.key")
    runs = device.plan(5, packings=[Packing.BATCH])
    result = server.embed(device.encrypt(tiny.faces(world.images), runs=runs))
    owner = FaceClient(world.key, world.engine, devices=register)
    found = [one.values for one in owner.decrypt(result)]  # type: ignore[union-attr]
    reference = world.reference(world.images)
    assert np.linalg.norm(np.stack(found) - reference) < 2e-3 * np.linalg.norm(reference)


# --- who is refused -------------------------------------------------------------------------------


def test_unknown_and_revoked_devices(places: Places, tmp_path: Path) -> None:
    """One line each, before anything is read; what was sent before is not opened either."""
    world = places.world
    register = Register(tmp_path / "devices", world.key.key_id)
    own = tmp_path / "gate.key"
    made = register.make(world.key, world.engine, own, "gate")
    device = device_of(world, own)
    images = device.encrypt(tiny.faces(world.images[0]))
    save_bundle(tmp_path / "faces.ct", images)
    told = f"is of device {made.id[:8]}, which was never added here or was revoked"
    for server in (world.server, places.server):
        with pytest.raises(UnknownDevice, match=told):
            server.embed(images)
        with pytest.raises(UnknownDevice, match=told):
            server.read(tmp_path / "faces.ct", "image")
    server = FaceServer(world.keys, world.engine, world.network, 1, DeviceFolder(register.folder))
    result = server.embed(images)
    owner = FaceClient(world.key, world.engine, devices=register)
    assert owner.embedding(result).health.healthy
    assert register.revoke("gate").revoked is not None
    with pytest.raises(UnknownDevice, match=told):
        server.embed(images)
    with pytest.raises(RevokedDevice, match=f"answers device {made.id[:8]}, which was revoked"):
        owner.embedding(result)


def test_devices_of_somebody_else(places: Places, tmp_path: Path) -> None:
    world = places.world
    stranger = SecretKey.generate(world.parameters)
    register = Register(tmp_path / "devices", stranger.key_id)
    made = register.make(stranger, world.engine, tmp_path / "their.key", "theirs")
    theirs = device_of(world, tmp_path / "their.key").encrypt(tiny.faces(world.images[0]))
    folder = DeviceFolder(register.folder)
    server = FaceServer(world.keys, world.engine, world.network, 1, folder)
    with pytest.raises(KeyMismatch, match=f"is of a device of key {stranger.key_id[:8]}"):
        server.embed(theirs)
    # One that claims to be ours finds a switching key of another owner.
    with pytest.raises(KeyMismatch, match="belongs to key"):
        server.embed(with_facts(theirs, owner=world.key.key_id))
    # And with our own device's key it is no answer, as its token was not made for our key.
    one = OneDevice(places.register.switching_key(places.made.id))
    server = FaceServer(world.keys, world.engine, world.network, 1, one)
    with pytest.raises(KeyMismatch, match="is of device"):
        server.embed(with_facts(theirs, owner=world.key.key_id))
    claimed = replace(with_facts(theirs, owner=world.key.key_id), key_id=places.made.id)
    with pytest.raises(RequestMismatch, match="answers no request that this key made"):
        places.owner.embedding(server.embed(claimed))
    assert made.id != places.made.id


def test_a_token_of_one_device_is_none_of_another(places: Places, tmp_path: Path) -> None:
    world = places.world
    own = tmp_path / "gate.key"
    made = Register(tmp_path / "devices", world.key.key_id).make(
        world.key, world.engine, own, "gate"
    )
    gate, door = device_of(world, own), places.device
    faces = tiny.faces(world.images[0])
    result = places.server.embed(door.encrypt(faces))
    for tokens, senders in (
        (gate.encrypt(faces).facts["requests"], [places.made.id]),
        (door.encrypt(faces).facts["requests"], [made.id]),
        (places.owner.encrypt(faces).facts["requests"], [places.made.id]),
    ):
        with pytest.raises(RequestMismatch):
            places.owner.embedding(with_facts(result, requests=tokens, devices=senders))
    with pytest.raises(RequestMismatch, match="not the one that was sent"):
        places.owner.embedding(result, [door.encrypt(faces)])


Change = Callable[[Bundle], Bundle]
HOSTILE: dict[str, Change] = {
    "no owner": lambda b: replace(b, facts={k: v for k, v in b.facts.items() if k != "owner"}),
    "null owner": lambda b: with_facts(b, owner=None),
    "an owner that is no id": lambda b: with_facts(b, owner="me"),
    "an owner that is a list": lambda b: with_facts(b, owner=["0" * 32]),
    "itself": lambda b: with_facts(b, owner=b.key_id),
    "another owner": lambda b: with_facts(b, owner="0" * 32),
    "another device": lambda b: replace(b, key_id="0" * 32),
    "a path": lambda b: replace(b, key_id="ab" * 20),
    "another plan": lambda b: with_facts(b, plans={"alone": "0" * 64}),
    "through a device": lambda b: with_facts(b, devices=[b.key_id]),
    "of another shape": lambda b: replace(b, items=dict(list(b.items.items())[1:])),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_headers(places: Places, tmp_path: Path, what: str) -> None:
    images = HOSTILE[what](places.device.encrypt(tiny.faces(places.world.images[0])))
    save_bundle(tmp_path / "faces.ct", images)
    with pytest.raises((ContainerError, ParameterMismatch)) as caught:
        places.server.read(tmp_path / "faces.ct", "image")
    assert "\n" not in str(caught.value)


def test_a_device_opens_nothing(places: Places) -> None:
    """It has no method that decrypts, and with its key a result is noise."""
    public = {name for name in dir(places.device) if not name.startswith("_")}
    assert public == {"circuit", "encrypt", "engine", "key_id", "load", "owner", "plan"}
    key, _, _ = load_device_key(places.own, tiny.load)
    result = places.embedding()
    with pytest.raises(KeyMismatch, match="belongs to key"):
        FaceClient(key, places.world.engine).decrypt(result)
    own = places.device.encrypt(tiny.faces(places.world.images[0]))
    item = next(iter(own.items.values()))
    switched = next(iter(places.server._own(own, places.server._switching()).items.values()))
    assert np.max(np.abs(key.decrypt(item))) < 10  # its own upload, before the switch
    assert np.max(np.abs(key.decrypt(switched))) > 1e3
    for item in result.items.values():
        assert np.max(np.abs(key.decrypt(item))) > 1e3


# --- the owner's register -------------------------------------------------------------------------


@pytest.fixture
def register(world: tiny.World, tmp_path: Path) -> Register:
    return Register.beside(tmp_path / "client.key", world.key.key_id)


def test_devices_are_found_by_label_and_id(
    world: tiny.World, register: Register, tmp_path: Path
) -> None:
    assert register.all() == []
    made = [
        register.make(world.key, world.engine, tmp_path / f"{n}.key", n) for n in ("door", "gate")
    ]
    assert {one.id for one in register.all()} == {one.id for one in made}
    for one in made:
        assert register.find(one.label) == register.find(one.id) == register.find(one.id[:12])
        assert register.switching_key(one.id).is_file()
        assert register.folder.joinpath(f"{one.id}.json").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / f"{one.label}.key").stat().st_mode & 0o777 == 0o600
    for nobody in ("", "window", "zz"):
        with pytest.raises(DeviceError, match="there is no device"):
            register.find(nobody)
    for label in ("door", "", "a\nb", "x" * 101, "0" * 32):
        with pytest.raises(DeviceError, match="label"):
            register.make(world.key, world.engine, tmp_path / "new.key", label)
    assert not (tmp_path / "new.key").exists()
    assert Register(register.folder, "0" * 32).all() == []  # of another key in the same folder


def test_revoking_twice_is_no_error(world: tiny.World, register: Register, tmp_path: Path) -> None:
    made = register.make(world.key, world.engine, tmp_path / "door.key", "door")
    first = register.revoke("door")
    assert first.revoked is not None
    assert register.revoked(made.id)
    assert not register.switching_key(made.id).exists()
    assert register.revoke(made.id) == first == register.find("door")
    assert not register.revoked("0" * 32)


def test_nothing_half_made_is_left(
    world: tiny.World, register: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "door.key"
    own.write_text("something else")
    with pytest.raises(FileError, match="exists already"):
        register.make(world.key, world.engine, own, "door")
    assert own.read_text() == "something else"
    assert not register.folder.exists()

    def fail(*_: object) -> None:
        raise FileError("no space")

    monkeypatch.setattr("fhe_face.client.devices.save_device_key", fail)
    with pytest.raises(FileError, match="no space"):
        register.make(world.key, world.engine, tmp_path / "gate.key", "gate")
    assert not register.folder.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["door.key"]


@pytest.mark.parametrize(
    "content",
    ["", "x", "1", "[]", "{}", json.dumps({"version": 1}), "[" * 9000],
)
def test_a_damaged_note_is_never_taken_for_no_note(
    world: tiny.World, register: Register, tmp_path: Path, content: str
) -> None:
    """Otherwise a revoked device would come back."""
    made = register.make(world.key, world.engine, tmp_path / "door.key", "door")
    register.folder.joinpath(f"{made.id}.json").write_text(content)
    for use in (register.all, lambda: register.revoked(made.id)):
        with pytest.raises(FileError, match="is damaged"):
            use()


@pytest.mark.parametrize("times", [{"created": 10**30}, {"created": -1}, {"revoked": 10**30}])
def test_times_that_no_calendar_has(
    world: tiny.World, register: Register, tmp_path: Path, times: dict[str, int]
) -> None:
    made = register.make(world.key, world.engine, tmp_path / "door.key", "door")
    note = register.folder / f"{made.id}.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | times))
    with pytest.raises(FileError, match="is damaged"):
        register.all()


def test_a_folder_that_cannot_be_read_is_not_taken_for_no_notes(register: Register) -> None:
    """Neither: a revoked device would come back."""
    register.folder.symlink_to(register.folder.name)
    for use in (register.all, lambda: register.revoked("0" * 32)):
        with pytest.raises(FileError, match=str(register.folder)):
            use()


def test_tokens_of_devices_differ(world: tiny.World) -> None:
    keys = {device_tokens(world.key, device) for device in ("0" * 32, "1" * 32)}
    assert len(keys) == 2
    assert world.key.derive("request tokens, version 1") not in keys
