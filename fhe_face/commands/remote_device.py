"""``fhe-face remote device`` and ``remote submit``: devices at a server, and what they send."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fhe_face import process
from fhe_face.commands.options import Json

Profile = Annotated[
    str, typer.Option("--profile", help="Which server and token, where there are several.")
]
DEFAULT_PROFILE = "default"
MaybeKey = Annotated[
    Path | None,
    typer.Option("--key", help="The client.key, to name devices by their labels."),
]

SUBMIT = (
    "Send encrypted faces, from a device say, and ask for their embeddings; the key's owner "
    "fetches them with remote jobs."
)

app = typer.Typer(help="Devices that may send faces to the server.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    process.calm_threads()


@app.command("push", help="Send a device's switching key: from then on the device may send faces.")
def push(
    file: Annotated[Path, typer.Argument(help="The switching key, devices/ID.key.")],
    profile: Profile = DEFAULT_PROFILE,
    json: Json = False,
) -> None:
    from fhe_core.files import shown
    from fhe_face.commands.remote_opening import connected
    from fhe_face.commands.remote_transfer import Transfer
    from fhe_face.output import Output, facts
    from fhe_face.remote.devices import push_device
    from fhe_face.system import size

    output = Output(json)
    with connected(profile) as connection, output.stages() as stage:
        pushed = push_device(connection, file, stage=Transfer(output, stage))
    found = pushed.resource
    data = {
        "device": pushed.id,
        "key_id": found.key_id,
        "bytes": found.bytes,
        "sent_bytes": pushed.sent,
    }
    rows = [
        ("device that may send", pushed.id),
        ("for key", found.key_id),
        ("sent now", size(pushed.sent) if pushed.sent else "nothing: it was there"),
    ]
    output.answer(data, lambda console: console.print(facts(f"Device {shown(file)}", rows)))


@app.command("list", help="The devices that may send faces to the server.")
def list_devices(
    key: MaybeKey = None, profile: Profile = DEFAULT_PROFILE, json: Json = False
) -> None:
    from fhe_face.commands.remote_opening import connected
    from fhe_face.output import Output, grid
    from fhe_face.remote.devices import devices_of

    labels = _labels(key)
    with connected(profile) as connection:
        found = devices_of(connection)
    rows: list[dict[str, Any]] = [
        {
            "device": one.id,
            "label": labels.get(one.id),
            "key_id": one.key_id,
            "complete": one.complete,
        }
        for one in found
    ]
    cells = [
        (str(row["label"] or ""), row["device"][:16], row["key_id"][:8], _state(row))
        for row in rows
    ]
    table = grid("Devices", ("label", "id", "key", "state"), cells)
    Output(json).answer({"devices": rows}, lambda console: console.print(table))


@app.command("revoke", help="Delete a device's switching key at the server.")
def revoke(
    name: Annotated[str, typer.Argument(help="Its id; or its label, with --key.")],
    key: MaybeKey = None,
    profile: Profile = DEFAULT_PROFILE,
    json: Json = False,
) -> None:
    from fhe_face.commands.remote_opening import connected
    from fhe_face.output import Output
    from fhe_face.remote.devices import revoke_device

    device = _named(name, key)
    with connected(profile) as connection:
        there = revoke_device(connection, device)
    said = f"device {device[:8]} may send nothing from now on"
    text = said if there else f"the server knows no device {device[:8]}"
    if key is None:
        text += "; fhe-face device revoke refuses its results as well"
    data = {"device": device, "known": there}
    Output(json).answer(data, lambda console: console.print(text, markup=False))


def submit(
    faces: Annotated[Path, typer.Argument(help="Encrypted faces.")],
    profile: Profile = DEFAULT_PROFILE,
    json: Json = False,
) -> None:
    """Send faces; whoever holds the key fetches the result."""
    from fhe_core.files import shown
    from fhe_face.commands.remote_opening import connected
    from fhe_face.commands.remote_transfer import Transfer
    from fhe_face.output import Output, facts
    from fhe_face.remote.devices import submit_faces
    from fhe_face.system import size

    output = Output(json)
    with connected(profile) as connection, output.stages() as stage:
        done = submit_faces(connection, faces, stage=Transfer(output, stage))
    data = {
        "faces": done.faces.id,
        "job": done.job,
        "key_id": done.owner,
        "device": done.device,
        "sent_bytes": done.faces.sent,
    }
    rows = [
        ("faces at the server", done.faces.id),
        ("sent now", size(done.faces.sent) if done.faces.sent else "nothing: they were there"),
        ("job", done.job or "none: the result is there"),
        ("its result is for key", done.owner),
    ]
    output.answer(data, lambda console: console.print(facts(f"Faces {shown(faces)}", rows)))


def _labels(key: Path | None) -> dict[str, str]:
    from fhe_face.commands.device_making import register_of

    return {} if key is None else {one.id: one.label for one in register_of(key).all()}


def _named(name: str, key: Path | None) -> str:
    from fhe_face.commands.device_making import register_of

    return name if key is None else register_of(key).find(name).id


def _state(row: dict[str, Any]) -> str:
    return "may send" if row["complete"] else "not whole: push it again"
