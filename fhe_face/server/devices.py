"""The devices that a server knows: a switching key for each, as files. Deleting one revokes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from fhe_core.ciphertext import Ciphertext
from fhe_core.container import Kind, read_header
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.formats.devices import load_switching_key, require_switching
from fhe_core.formats.purpose import OWNER
from fhe_core.keys.evaluation import DeviceKey
from fhe_core.parameters import Parameters
from fhe_core.runtime.evaluator import Evaluator
from fhe_face.keyfile import switching_key_of
from fhe_face.senders import UnknownDevice, described


class Devices(Protocol):
    """Finds switching keys."""

    def find(self, device: str) -> Path | None:
        """The file of a device; None: it is not known."""


@dataclass(frozen=True)
class DeviceFolder:
    """Files named by the ids of their devices."""

    folder: Path

    def find(self, device: str) -> Path | None:
        """See `Devices.find`."""
        path = switching_key_of(self.folder, device)
        return path if path.is_file() else None


@dataclass(frozen=True)
class OneDevice:
    """Whose file was found already; the file says of which it is, and that is compared."""

    file: Path

    def find(self, device: str) -> Path | None:
        """See `Devices.find`."""
        return self.file


class NoDevices:
    """Of a server that knows none."""

    def find(self, device: str) -> Path | None:
        """See `Devices.find`."""
        return None


@dataclass(frozen=True)
class Switching:
    """Brings faces of an owner's devices under the owner's key. key_id: of that key."""

    parameters: Parameters
    key_id: str
    devices: Devices

    def require(self, source: str, device: str) -> None:
        """Look for a device's file, and at its header; source: names the faces in messages.

        Raises:
            UnknownDevice: it was never added, or was revoked.
            ContainerError: its file is none for this device, this owner and these parameters.
        """
        header = read_header(self._file(source, device), expect_kind=Kind.EVALUATION_KEYS)
        require_switching(header, self.parameters, self.key_id, device)

    def load(self, source: str, device: str) -> DeviceKey:
        """Its key; errors as `require`, and of a damaged file."""
        path = self._file(source, device)
        return load_switching_key(path, self.parameters, self.key_id, device)

    def _file(self, source: str, device: str) -> Path:
        path = self.devices.find(device)
        if path is None:
            raise UnknownDevice(
                f"{source}: is of device {device[:8]}, which was never added here or was revoked"
            )
        return path

    def switched(self, images: Bundle, evaluator: Evaluator) -> Bundle:
        """The same faces under the owner's key, in whose facts the device stands.

        Raises:
            ContainerError: as `load`.
        """
        device = images.key_id
        key = self.load("the image", device)
        items: Mapping[str, Ciphertext] = {
            name: evaluator.from_device(item, key) for name, item in images.items.items()
        }
        rest = {name: fact for name, fact in images.facts.items() if name != OWNER}
        facts = {**rest, **described([device])}
        return replace(images, key_id=self.key_id, items=items, facts=facts, seeds={})
