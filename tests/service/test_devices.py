"""Switching keys of devices at the service, faces that devices send, and what their tokens may."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from fhe_core.container import Corrupt, KeyMismatch, WrongKind
from fhe_core.formats.ciphertexts import load_bundle
from fhe_core.secret.device_files import save_switching_key
from fhe_core.secret.key import SecretKey
from fhe_face.client.device_client import DeviceClient
from fhe_face.client.devices import Register
from fhe_face.senders import UnknownDevice
from fhe_face.service.errors import Invalid
from fhe_face.service.opening import Service
from fhe_face.service.rows import Caller, Room, Scope
from tests.core import tiny
from tests.service import kit
from tests.service.kit import World


@dataclass(frozen=True)
class Sent:
    """Files of a device of `kit.files()`'s key."""

    id: str
    device: DeviceClient
    switching: kit.Sent
    faces: kit.Sent


@lru_cache(1)
def sent() -> Sent:
    folder = Path(mkdtemp(prefix="device-files-"))
    owner = kit.files().key
    register = Register.beside(folder / "client.key", owner.key_id)
    made = register.make(owner, kit.engine(), folder / "door.key", "door")
    device = tiny.device(kit.engine(), folder / "door.key")
    device.encrypt(tiny.faces(tiny.images_for(kit.NETWORK, 1, 5))).save(folder / "faces")
    switching, faces = register.switching_key(made.id), folder / "faces"
    return Sent(made.id, device, kit.Sent.of(switching), kit.Sent.of(faces))


# --- what is taken --------------------------------------------------------------------------------


def test_a_device_comes_after_its_owner_and_before_its_faces(service: Service) -> None:
    part, own = kit.uploads(service), sent()
    with pytest.raises(KeyMismatch, match="send them first"):
        part.begin("anna", Room.DEVICE_KEYS, own.id, own.switching.front)
    kit.send(part, "anna", Room.KEYS, "mine", kit.files().keys)
    told = f"is of device {own.id[:8]}, which was never added here or was revoked"
    with pytest.raises(UnknownDevice, match=told):
        part.begin("anna", Room.FACES, "one", own.faces.front)
    part.begin("anna", Room.DEVICE_KEYS, own.id, own.switching.front)
    with pytest.raises(UnknownDevice, match=told):  # not whole yet
        part.begin("anna", Room.FACES, "one", own.faces.front)
    kit.send(part, "anna", Room.DEVICE_KEYS, own.id, own.switching)
    kit.send(part, "anna", Room.FACES, "one", own.faces)
    facts = service.blobs.find("anna", Room.FACES, "one").facts
    assert facts == {"runs": [["alone", 1]], "device": own.id}
    with pytest.raises(KeyMismatch):  # another tenant's keys and devices are not hers
        part.begin("ben", Room.FACES, "one", own.faces.front)
    service.blobs.delete("anna", Room.DEVICE_KEYS, own.id)
    with pytest.raises(UnknownDevice, match=told):
        part.begin("anna", Room.FACES, "two", own.faces.front)


def test_a_switching_key_has_the_name_of_its_device(service: Service) -> None:
    part, own = kit.uploads(service), sent()
    kit.send(part, "anna", Room.KEYS, "mine", kit.files().keys)
    for name in ("door", "0" * 32):
        with pytest.raises(Invalid, match="called by the device's id"):
            part.begin("anna", Room.DEVICE_KEYS, name, own.switching.front)
    assert service.blobs.page("anna", Room.DEVICE_KEYS, 10) == []


def test_other_files_are_refused(service: Service, tmp_path: Path) -> None:
    part, own, files = kit.uploads(service), sent(), kit.files()
    kit.send(part, "anna", Room.KEYS, "mine", files.keys)
    for front in (files.keys.front, files.gallery_keys.front, own.faces.front):
        with pytest.raises(WrongKind):
            part.begin("anna", Room.DEVICE_KEYS, own.id, front)
    with pytest.raises(WrongKind, match="switching key of a device"):
        part.begin("anna", Room.KEYS, "other", own.switching.front)
    with pytest.raises(WrongKind):
        part.begin("anna", Room.GALLERY_KEYS, "other", own.switching.front)
    images = load_bundle(own.faces.path, load=tiny.load)
    for facts in ({"owner": "me"}, {"devices": [own.id]}, {"owner": own.id}):
        replace(images, facts={**images.facts, **facts}).save(tmp_path / "bad")
        with pytest.raises(Corrupt):
            part.begin("anna", Room.FACES, "bad", kit.Sent.of(tmp_path / "bad").front)
        (tmp_path / "bad").unlink()
    stranger = SecretKey.generate(kit.PARAMETERS)
    save_switching_key(tmp_path / "theirs", stranger, SecretKey.generate(kit.PARAMETERS))
    theirs = kit.Sent.of(tmp_path / "theirs")
    with pytest.raises(KeyMismatch, match="send them first"):
        part.begin("anna", Room.DEVICE_KEYS, str(theirs.header.metadata["device"]), theirs.front)


# --- over HTTP ------------------------------------------------------------------------------------


@pytest.fixture
def world(service: Service) -> World:
    found = World(service)
    with found.client() as client:
        kit.push(client, "keys", "mine", kit.files().keys)
    return found


def test_scopes() -> None:
    def may(*scopes: Scope) -> bool:
        return Caller("anna", "t", frozenset(scopes)).may(Scope.SUBMIT)

    assert may(Scope.SUBMIT)
    assert may(Scope.EMBED)
    assert may(Scope.ADMIN)
    assert not may(Scope.KEYS, Scope.ENROL, Scope.SEARCH, Scope.READ)
    assert not Caller("anna", "t", frozenset({Scope.SUBMIT})).may(Scope.EMBED)


def test_a_devices_token_sends_and_reads_nothing(world: World) -> None:
    own = sent()
    with world.client(scopes=[Scope.SUBMIT]) as device, world.client() as owner:
        refused = device.put(f"/v1/device-keys/{own.id}", content=own.switching.front)
        kit.problem(refused, 403, "forbidden")
        kit.push(owner, "device-keys", own.id, own.switching)
        kit.push(device, "faces", "one", own.faces)
        job = device.post("/v1/embeddings", json={"faces": "one", "key": "mine"})
        assert job.status_code == 202, job.text
        (inputs,) = world.queue.inputs.values()
        assert inputs["device"] == own.id
        for method, path in (
            ("GET", "/v1/faces"),
            ("GET", "/v1/faces/one"),
            ("GET", "/v1/faces/one/content"),
            ("DELETE", "/v1/faces/one"),
            ("GET", "/v1/device-keys"),
            ("GET", f"/v1/device-keys/{own.id}"),
            ("DELETE", f"/v1/device-keys/{own.id}"),
            ("GET", "/v1/keys"),
            ("GET", "/v1/embeddings"),
            ("GET", "/v1/embeddings/one/content"),
            ("GET", "/v1/scores"),
            ("GET", "/v1/jobs"),
            ("GET", f"/v1/jobs/{job.json()['id']}"),
            ("DELETE", f"/v1/jobs/{job.json()['id']}"),
            ("GET", "/v1/galleries"),
            ("GET", "/metrics"),
        ):
            kit.problem(device.request(method, path), 403, "forbidden")
        score = device.post("/v1/scores", json={"left": "a", "right": "b", "key": "mine"})
        kit.problem(score, 403, "forbidden")
        about = device.get("/v1/about").json()
        assert about["scopes"] == ["submit"]


def test_devices_are_pushed_listed_and_revoked(world: World) -> None:
    own = sent()
    with world.client(scopes=[Scope.KEYS, Scope.EMBED]) as owner:
        kit.push(owner, "device-keys", own.id, own.switching)
        (listed,) = owner.get("/v1/device-keys").json()["items"]
        assert (listed["id"], listed["key_id"]) == (own.id, kit.files().key.key_id)
        assert listed["facts"] == {"device": own.id}
        kit.push(owner, "faces", "one", own.faces)
        asked = {"faces": "one", "key": "mine"}
        assert owner.post("/v1/embeddings", json=asked).status_code == 202
        assert owner.delete(f"/v1/device-keys/{own.id}").status_code == 204
        # What it sent before waits for nothing, and what it sends now is refused.
        kit.problem(owner.post("/v1/embeddings", json=asked), 404, "not-here")
        again = owner.put("/v1/faces/two", content=own.faces.front)
        kit.problem(again, 422, "unknown-device")
        kit.problem(owner.delete(f"/v1/device-keys/{own.id}"), 404, "not-here")
    with world.client("ben") as other:
        assert other.get("/v1/device-keys").json()["items"] == []
