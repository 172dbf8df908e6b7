"""Targets: both key files of a device, faces that it sent, its owner's note, receipts."""

from __future__ import annotations

from pathlib import Path

from fhe_core.container import ContainerError
from fhe_core.files import FileError
from fhe_core.formats.ciphertexts import save_bundle
from fhe_core.formats.devices import load_switching_key
from fhe_core.secret.device_files import load_device_key, save_device_key, save_switching_key
from fhe_core.secret.key import SecretKey
from fhe_face.client.device_client import DeviceClient
from fhe_face.client.devices import Register
from fhe_face.client.expected import device_tokens
from fhe_face.client.receipts import receipt_facts, save_receipt
from fhe_face.server.devices import OneDevice
from fhe_face.server.server import FaceServer
from fuzz.containers import secret_key
from fuzz.mutators import mutate_container, mutate_json
from fuzz.target import Scratch, Target
from tests.core import tiny

_DEVICE = 8
_TOKENS = bytes(range(32))


def _keys(name: str) -> tuple[SecretKey, SecretKey]:
    """Of an owner and of a device, the same each time."""
    return secret_key(name), secret_key(name, _DEVICE)


def device_key_target(folder: Path) -> Target:
    scratch = Scratch(folder, "door.key")
    owner, device = _keys("insecure-short")
    save_device_key(scratch.path, device, owner.key_id, _TOKENS, {"label": "door"})
    seeds = [scratch.path.read_bytes()]

    def parse(data: bytes) -> None:
        load_device_key(scratch.holding(data), tiny.load)

    return Target("device-key", parse, (ContainerError,), seeds, mutate_container)


def switching_key_target(folder: Path) -> Target:
    scratch = Scratch(folder, "switching.key")
    owner, device = _keys("insecure-short")
    save_switching_key(scratch.path, owner, device)
    seeds = [scratch.path.read_bytes()]

    def parse(data: bytes) -> None:
        load_switching_key(scratch.holding(data), owner.parameters, owner.key_id, device.key_id)

    return Target("switching-key", parse, (ContainerError,), seeds, mutate_container)


def device_faces_target(folder: Path) -> Target:
    """Read by a server, which switches them."""
    scratch = Scratch(folder, "faces.ct")
    world = tiny.make_world()
    owner, device = _keys("insecure-tiny")
    switching = folder / "switching.key"
    save_switching_key(switching, owner, device)
    keys = tiny.make_keys(owner, [])
    server = FaceServer(keys, world.engine, None, devices=OneDevice(switching))
    tokens = device_tokens(owner, device.key_id)
    client = DeviceClient(device, world.engine, owner.key_id, tokens)
    save_bundle(scratch.path, client.encrypt(tiny.faces(world.images[0])))
    seeds = [scratch.path.read_bytes()]

    def parse(data: bytes) -> None:
        assert server.read(scratch.holding(data), "image").key_id == owner.key_id

    return Target("device-faces", parse, (ContainerError,), seeds, mutate_container)


def device_note_target(folder: Path) -> Target:
    """What an owner notes: a damaged note is an error, and never a device that may send."""
    owner = secret_key("insecure-short")
    register = Register(folder / "devices", owner.key_id)
    world = tiny.make_world()
    made = register.make(owner, world.engine, folder / "door.key", "door")
    scratch = Scratch(register.folder, f"{made.id}.json")
    seeds = [scratch.path.read_bytes()]

    def parse(data: bytes) -> None:
        scratch.holding(data)
        register.all()
        register.revoked(made.id)

    return Target("device-note", parse, (FileError,), seeds, mutate_json)


def receipt_target(folder: Path) -> Target:
    scratch = Scratch(folder, "face.receipt")
    world = tiny.make_world()
    save_receipt(scratch.path, world.client.encrypt(tiny.faces(world.images[0])))
    seeds = [scratch.path.read_bytes()]

    def parse(data: bytes) -> None:
        receipt_facts(scratch.holding(data))

    return Target("receipt", parse, (ContainerError, FileError), seeds, mutate_json)
