"""Devices at a real service: pushed, sending with tokens of their own, answered, revoked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fhe_core.container import WrongKind
from fhe_face.client.client import FaceClient
from fhe_face.client.devices import Register
from fhe_face.client.receipts import save_receipt
from fhe_face.client.requests import RequestMismatch
from fhe_face.models.reference import embed, squared_norm
from fhe_face.remote.connection import Connection
from fhe_face.remote.devices import devices_of, push_device, revoke_device, submit_faces
from fhe_face.remote.errors import JobFailed, PushError, Refused
from fhe_face.remote.pushing import push_keys
from fhe_face.remote.server import RemoteServer
from fhe_face.service.rows import Scope
from tests.core import tiny
from tests.face.kit import Run
from tests.remote.live import Live, live
from tests.service import kit


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("live") / "data") as found:
        push_keys(found.connect(), kit.files().keys.path)
        yield found


@pytest.fixture
def register(tmp_path: Path) -> Register:
    return Register.beside(tmp_path / "client.key", kit.files().key.key_id)


def connect(service: Live, *scopes: Scope) -> Connection:
    """With a token of these scopes only."""
    service.opened.append(Connection(service.url, kit.token(service.service, "anna", scopes)))
    return service.opened[-1]


def images(seed: int) -> tiny.Array:
    return tiny.images_for(kit.NETWORK, 2, seed)


def test_from_a_device_to_its_owner(service: Live, register: Register, tmp_path: Path) -> None:
    """The device has a token that reads nothing; the owner has a receipt, and no photo."""
    own = tmp_path / "door.key"
    made = register.make(kit.files().key, kit.engine(), own, "door")
    device = connect(service, Scope.SUBMIT)
    faces, receipt, target = (tmp_path / n for n in ("faces.ct", "receipt", "answer.ct"))
    bundle = tiny.device(kit.engine(), own).encrypt(tiny.faces(images(3)))
    bundle.save(faces)
    save_receipt(receipt, bundle)
    with pytest.raises(Refused, match="never added here or was revoked"):
        submit_faces(device, faces)
    with pytest.raises(Refused, match="lacks the scope"):
        push_device(device, register.switching_key(made.id))
    owner = connect(service, Scope.KEYS, Scope.EMBED)
    pushed = push_device(owner, register.switching_key(made.id))
    assert (pushed.id, pushed.resource.key_id) == (made.id, kit.files().key.key_id)
    assert push_device(owner, register.switching_key(made.id)).sent == 0
    assert made.id in [one.id for one in devices_of(owner)]
    done = submit_faces(device, faces)
    assert (done.owner, done.device) == (made.owner, made.id)
    assert done.job is not None
    client = FaceClient(kit.files().key, kit.engine(), devices=register)
    answer = RemoteServer(owner, client).resume(done.job, [receipt], target)
    assert answer.facts["devices"] == [made.id]
    raw = embed(kit.NETWORK, images(3))
    expected = raw * tiny.ROOT.evaluate(squared_norm(raw))[:, None]
    for found, right in zip(client.decrypt(answer, [receipt]), expected, strict=True):
        assert np.abs(found.values - right).max() < 0.05  # type: ignore[union-attr]
    again = tiny.device(kit.engine(), own).encrypt(tiny.faces(images(3)))
    with pytest.raises(RequestMismatch, match="not the one that was sent"):
        client.decrypt(answer, [again])
    # Revoked, while a job of it waits: the job fails, and nothing more is taken.
    service.working.clear()
    try:
        again.save(tmp_path / "again.ct")
        waiting = submit_faces(device, tmp_path / "again.ct")
        assert waiting.job is not None
        assert revoke_device(owner, made.id)
        assert not revoke_device(owner, made.id)
    finally:
        service.working.set()
    with pytest.raises(JobFailed, match="nothing of this name in device-keys"):
        RemoteServer(owner, client).resume(waiting.job, [again])
    with pytest.raises(Refused):
        submit_faces(device, faces)


def test_other_files_are_not_sent(service: Live, register: Register, tmp_path: Path) -> None:
    own = tmp_path / "door.key"
    register.make(kit.files().key, kit.engine(), own, "door")
    connection = service.connect()
    with pytest.raises(PushError, match="secret key, which never leaves"):
        push_device(connection, own)
    with pytest.raises(WrongKind, match="expected that of a device"):
        push_device(connection, kit.files().keys.path)
    for file in (own, kit.files().keys.path):
        with pytest.raises(WrongKind):
            submit_faces(connection, file)


def test_commands(
    fhe_face: Run,
    service: Live,
    register: Register,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name, scopes in (("default", (Scope.KEYS, Scope.EMBED)), ("door", (Scope.SUBMIT,))):
        secret = tmp_path / f"{name}.token"
        secret.touch(0o600)
        secret.write_text(kit.token(service.service, "anna", scopes))
        login = ("remote", "login", service.url, "--token-file", secret, "--profile", name)
        assert fhe_face(*login).status == 0
    made = register.make(kit.files().key, kit.engine(), tmp_path / "gate.key", "gate")
    push = ("remote", "device", "push", register.switching_key(made.id))
    assert fhe_face(*push, "--json").json()["device"] == made.id
    assert "it was there" in fhe_face(*push).out
    listed = fhe_face("remote", "device", "list", "--json").json()["devices"]
    assert made.id in [one["device"] for one in listed]
    faces = tmp_path / "faces.ct"
    tiny.device(kit.engine(), tmp_path / "gate.key").encrypt(tiny.faces(images(4))).save(faces)
    sent = fhe_face("remote", "submit", faces, "--profile", "door", "--json").json()
    assert (sent["device"], sent["key_id"]) == (made.id, made.owner)
    assert sent["job"]
    assert "device-keys" in fhe_face("remote", "status").out
    assert "submit" in fhe_face("remote", "status", "--profile", "door").out
    refused = fhe_face("remote", "device", "list", "--profile", "door").refused()
    assert "lacks the scope" in refused
    gone = fhe_face("remote", "device", "revoke", made.id, "--json").json()
    assert gone == {"device": made.id, "known": True}
    assert "knows no device" in fhe_face("remote", "device", "revoke", made.id).out
