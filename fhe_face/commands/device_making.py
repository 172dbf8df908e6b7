"""``fhe-face device``: making, listing and revoking the devices of a key."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.container import Kind, read_header
from fhe_core.files import shown
from fhe_core.formats.purpose import require_engine
from fhe_core.secret.files import Passphrase
from fhe_face.client.client import FaceClient
from fhe_face.client.devices import Device, Register
from fhe_face.output import Output, facts, grid
from fhe_face.system import seconds, size


def create(
    key: Path,
    label: str,
    target: Path,
    passphrase: Passphrase,
    threads: int | None,
    as_json: bool,
) -> None:
    """Make a device; all of its files appear, or none."""
    output = Output(as_json)
    client = FaceClient.load(key, threads=threads, passphrase=passphrase, warn=output.warn)
    register = Register.beside(key, client.key_id)
    with output.stages() as stage:
        stage("making the device's keys", 0, 0)
        started = time.perf_counter()
        made = register.make(client.key, client.engine, target, label)
        elapsed = time.perf_counter() - started
        stage("making the device's keys", 1, 1)
    switching = register.switching_key(made.id)
    data = {
        **_facts(made, register),
        "device_key": str(target),
        "device_key_bytes": target.stat().st_size,
        "seconds": elapsed,
    }
    rows: list[tuple[str, object]] = [
        ("its key, for the device alone", shown(target)),
        ("its switching key, for the server", shown(switching)),
        ("their sizes", f"{size(data['device_key_bytes'])}, {size(switching.stat().st_size)}"),
        ("device id", made.id),
        ("for key", made.owner),
        ("time", seconds(elapsed)),
    ]
    output.answer(data, lambda console: console.print(facts(f"New device {label}", rows)))


def list_devices(key: Path, as_json: bool) -> None:
    """All devices, in the order of making."""
    register = register_of(key)
    found = register.all()
    data = {"key_id": register.owner, "devices": [_facts(one, register) for one in found]}

    def show_them(console: Console) -> None:
        if not found:
            console.print("no devices (fhe-face device create)")
            return
        rows = [(one.label, one.id[:16], _day(one.created), _state(one)) for one in found]
        console.print(grid("Devices", ("label", "id", "made", "state"), rows))

    Output(as_json).answer(data, show_them)


def show(name: str, key: Path, as_json: bool) -> None:
    """One device."""
    register = register_of(key)
    _answer(register.find(name), register, as_json)


def revoke(name: str, key: Path, as_json: bool) -> None:
    """Revoke one; doing it again is no error."""
    register = register_of(key)
    _answer(register.revoke(name), register, as_json)


def register_of(key: Path) -> Register:
    """By the header alone: what is asked for needs no secret."""
    header = read_header(key, expect_kind=Kind.SECRET_KEY)
    require_engine(header)
    return Register.beside(key, header.key_id)


def _answer(device: Device, register: Register, as_json: bool) -> None:
    data = _facts(device, register)
    there = data["switching_key"]
    rows: list[tuple[str, object]] = [
        ("device id", device.id),
        ("for key", device.owner),
        ("made", _day(device.created)),
        ("state", _state(device)),
        ("switching key", "none here" if there is None else shown(there)),
    ]
    if there is not None:
        rows.append(("its size", size(data["switching_key_bytes"])))
    Output(as_json).answer(
        data, lambda console: console.print(facts(f"Device {device.label}", rows))
    )


def _facts(device: Device, register: Register) -> dict[str, Any]:
    path = register.switching_key(device.id)
    there = path.is_file()
    return {
        "device": device.id,
        "label": device.label,
        "key_id": device.owner,
        "created": device.created,
        "revoked": device.revoked,
        "switching_key": str(path) if there else None,
        "switching_key_bytes": path.stat().st_size if there else None,
    }


def _day(when: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(when))


def _state(device: Device) -> str:
    return "may send" if device.revoked is None else f"revoked {_day(device.revoked)}"
