"""``fhe-face remote login|logout|status``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.files import shown
from fhe_face.commands.remote_opening import connected
from fhe_face.output import Output, facts, grid
from fhe_face.process import keep_memory_private
from fhe_face.remote import login as profiles
from fhe_face.remote.address import checked_url
from fhe_face.remote.resources import Room, every
from fhe_face.system import size


def login(url: str, token_file: Path | None, ca: Path | None, profile: str, as_json: bool) -> None:
    """Try a token, and keep it."""
    output = Output(as_json)
    keep_memory_private()
    profiles.profile_path(profile)  # a name that cannot be is told before the token is asked for
    kept = checked_url(url)
    token = profiles.read_token(token_file)
    new = profiles.Profile(kept, token, None if ca is None else str(ca.resolve()))
    with new.connect() as connection:
        found = profiles.about(connection)
    path = profiles.save(new, profile)
    data = {"profile": profile, "file": str(path), "url": kept, **found.to_json()}
    output.answer(data, lambda console: _show(console, data))


def logout(profile: str, as_json: bool) -> None:
    """Forget a token."""
    known = profiles.forget(profile)
    data = {"profile": profile, "known": known}
    said = f"the token of profile {profile} is forgotten; whoever has a copy can use it: revoke it"
    text = said if known else f"there is no profile {profile}"
    Output(as_json).answer(data, lambda console: console.print(text, markup=False))


def status(profile: str, as_json: bool) -> None:
    """Ask the server, and list what it keeps."""
    url = profiles.load(profile).url
    with connected(profile) as connection:
        found = profiles.about(connection)
        kept = [one for room in _listed(found.scopes) for one in every(connection, room)]
    data: dict[str, Any] = {
        "profile": profile,
        "url": url,
        **found.to_json(),
        "files": [
            {
                "id": one.id,
                "room": one.room.value,
                "complete": one.complete,
                "bytes": one.bytes,
                "key_id": one.key_id,
            }
            for one in kept
        ],
    }
    Output(as_json).answer(data, lambda console: _show(console, data))


def _listed(scopes: tuple[str, ...]) -> list[Room]:
    rooms = [Room.KEYS, Room.GALLERY_KEYS, Room.DEVICE_KEYS] if "keys" in scopes else []
    return [*rooms, Room.FACES, Room.EMBEDDINGS, Room.SCORES] if "embed" in scopes else rooms


def _show(console: Console, data: dict[str, Any]) -> None:
    quota = data["quota_bytes"]
    used = "" if data["used_bytes"] is None else size(data["used_bytes"])
    rows: list[tuple[str, object]] = [
        ("server", data["url"]),
        ("its version", data["version"]),
        ("tenant", data["tenant"]),
        ("the token allows", ", ".join(data["scopes"])),
        *(("it computes", one) for one in data["circuits"]),
        ("stored there", used if quota is None else f"{used} of {size(quota)}"),
    ]
    if "file" in data:
        rows.append(("kept in", shown(data["file"])))
    console.print(facts(f"Profile {data['profile']}", rows))
    if data.get("files"):
        lines = [
            (
                one["room"],
                one["id"][:32],
                one["key_id"][:8],
                size(one["bytes"]),
                "complete" if one["complete"] else "partial",
            )
            for one in data["files"]
        ]
        console.print(grid("Files", ("what", "name", "key", "size", "state"), lines))
