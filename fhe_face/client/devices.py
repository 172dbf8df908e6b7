"""The devices of a key, on its owner's side: making, listing and revoking them.

In the folder ``devices`` beside ``client.key`` every device has two files: ``ID.key``, its
switching key, which the server needs, and ``ID.json``, what its owner calls it, which stays here.
Revoking deletes the first and notes it in the second. The device's own key is written where the
owner says, and not kept.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from fhe_core.errors import Failure
from fhe_core.files import (
    FileError,
    FileKind,
    explain,
    read_bounded,
    shown,
    write_whole,
)
from fhe_core.formats.devices import is_device_id, switching_bytes
from fhe_core.secret.device_files import save_device_key, save_switching_key
from fhe_core.secret.key import SecretKey
from fhe_face.client.expected import device_tokens
from fhe_face.client.keymaking import require_private_modes
from fhe_face.engine import Engine
from fhe_face.keyfile import devices_beside, switching_key_of
from fhe_face.system import require_space

#: Ends the name of what an owner knows of a device.
RECORD: Final = ".json"
MAX_LABEL: Final = 100
_VERSION: Final = 1
_MAX_BYTES: Final = 1 << 14
#: Times of notes are below it; of much later ones (10^30 s, say) no date can be shown.
_END_OF_TIME: Final = 1 << 40
_FIELDS: Final = {"version", "device", "owner", "label", "created", "revoked"}


class DeviceError(Failure, ValueError):
    """A device that is not there, or that cannot be made as asked."""

    code = "device"


@dataclass(frozen=True)
class Device:
    """What an owner knows of a device. Times are UTC seconds.

    id: of its own key; owner: of the key that it encrypts for; revoked: when; None: it is not.
    """

    id: str
    owner: str
    label: str
    created: int
    revoked: int | None = None


def _is_record(stream: BinaryIO) -> bool:
    content = json.loads(stream.read(_MAX_BYTES))
    return isinstance(content, dict) and set(content) == _FIELDS


_RECORD_FILE: Final = FileKind("an owner's note of a device", _is_record)


@dataclass(frozen=True)
class Register:
    """The devices of one key. folder: of their files, which need not exist yet."""

    folder: Path
    owner: str

    @classmethod
    def beside(cls, key: str | os.PathLike[str], owner: str) -> Register:
        """Of a ``client.key``, beside the file that a link names; owner: its key's id."""
        return cls(devices_beside(os.path.realpath(key)), owner)

    def switching_key(self, device: str) -> Path:
        """The file for the server; it is gone where the device was revoked."""
        return switching_key_of(self.folder, device)

    def all(self) -> list[Device]:
        """In the order of making, revoked ones too.

        Raises:
            FileError: a note is damaged or cannot be read.
        """
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise explain(self.folder, "read", error) from error
        ids = [name.removesuffix(RECORD) for name in names if name.endswith(RECORD)]
        found = (self._read(device) for device in ids if is_device_id(device))
        mine = [one for one in found if one is not None and one.owner == self.owner]
        return sorted(mine, key=lambda one: (one.created, one.id))

    def find(self, name: str) -> Device:
        """By id, the start of one, or label. DeviceError: there is none, or there are several."""
        devices = self.all()
        found = [one for one in devices if name in (one.id, one.label)]
        if not found and name:
            found = [one for one in devices if one.id.startswith(name)]
        if len(found) == 1:
            return found[0]
        raise DeviceError(
            f"there is no device '{name}' of key {self.owner[:8]} (fhe-face device list)"
            if not found
            else f"'{name}' may be any of {len(found)} devices: give more of the id"
        )

    def revoked(self, device: str) -> bool:
        """Whether this owner has revoked it; FileError where its note cannot be used."""
        found = self._read(device)
        return found is not None and found.revoked is not None

    def make(
        self, key: SecretKey, engine: Engine, target: Path, label: str, threads: int = 1
    ) -> Device:
        """A new device: its own key in the new file ``target``, its switching key in the folder.

        All of its files appear, or none.

        Raises:
            DeviceError: the label is in use, or no label.
            FileError: ``target`` exists, or a file cannot be written.
        """
        self._require_label(label)
        if os.path.lexists(target):
            raise FileError(f"{shown(target)} exists already: a device's key replaces nothing")
        require_private_modes(target.parent, target.name)
        with self._created():
            require_space(self.folder, switching_bytes(key.parameters))
            own = SecretKey.generate(key.parameters, threads)
            made = Device(own.key_id, self.owner, label, int(time.time()))
            with self._removed_on_failure(own.key_id):
                save_switching_key(self.switching_key(own.key_id), key, own)
                self._write(made)
                tokens = device_tokens(key, own.key_id)
                save_device_key(target, own, self.owner, tokens, engine.facts() | {"label": label})
        return made

    def revoke(self, name: str) -> Device:
        """Note that a device is revoked, then delete its switching key here; doing it again is no
        error. A server forgets the device when its copy of that file goes.

        Raises:
            DeviceError: there is no such device. FileError: a file cannot be changed.
        """
        found = self.find(name)
        if found.revoked is None:
            found = replace(found, revoked=int(time.time()))
            self._write(found)
        path = self.switching_key(found.id)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise explain(path, "delete", error) from error
        return found

    def _require_label(self, label: str) -> None:
        if not 1 <= len(label) <= MAX_LABEL or not label.isprintable():
            raise DeviceError(f"a label has 1 to {MAX_LABEL} printable characters")
        if is_device_id(label) or any(label == one.label for one in self.all()):
            raise DeviceError(f"there is a device '{label}' already: choose another label")

    def _path(self, device: str) -> Path:
        return self.folder / f"{device}{RECORD}"

    def _write(self, device: Device) -> None:
        content: dict[str, Any] = {**asdict(device), "version": _VERSION}
        content["device"] = content.pop("id")
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        write_whole(self._path(device.id), text.encode(), private=True, kind=_RECORD_FILE)

    def _read(self, device: str) -> Device | None:
        path = self._path(device)
        try:
            os.lstat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise explain(path, "read", error) from error
        try:
            content = json.loads(read_bounded(path, _MAX_BYTES))
            valid = set(content) == _FIELDS and content["version"] == _VERSION
            values = [content[name] for name in ("device", "owner", "label", "created", "revoked")]
        except (ValueError, KeyError, TypeError, RecursionError):
            valid, values = False, []
        wanted: tuple[Any, ...] = (str, str, str, int, (int, type(None)))
        types = (isinstance(v, t) for v, t in zip(values, wanted, strict=False))
        times = (0 <= when < _END_OF_TIME for when in values[3:] if when is not None)
        if not valid or not all(types) or values[0] != device or not all(times):
            raise FileError(f"{shown(path)}: is damaged, or no note of a device; put back the file")
        return Device(*values)

    @contextmanager
    def _created(self) -> Iterator[None]:
        new = not self.folder.exists()
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise explain(self.folder, "create", error) from error
        try:
            yield
        except BaseException:
            if new:
                with suppress(OSError):
                    self.folder.rmdir()
            raise

    @contextmanager
    def _removed_on_failure(self, device: str) -> Iterator[None]:
        try:
            yield
        except BaseException:
            for path in (self._path(device), self.switching_key(device)):
                with suppress(OSError):
                    path.unlink()
            raise
