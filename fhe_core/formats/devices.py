"""The switching key of a device as a container: public material, for the server.

It is of kind evaluation-keys, under the id of its owner's key, and names the device.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from fhe_core import container
from fhe_core.container import Corrupt, DType, Header, Kind, Reader
from fhe_core.formats.ciphertexts import Path, key_layout
from fhe_core.formats.purpose import DEVICE_ID, OWNER, PURPOSE, for_device, require_device
from fhe_core.keys.evaluation import DeviceKey, device_specification, key_of_rows
from fhe_core.keys.expand import SEED_BYTES
from fhe_core.parameters import Parameters

LEVEL: Final = "level"
#: Of the computed half of the key.
SECTION: Final = "key/0"
#: Of the key in its counter blocks, as if it were the first of a file of evaluation keys.
DOMAIN: Final = 1
_ID: Final = re.compile("[0-9a-f]{32}")


def switching_metadata(parameters: Parameters, device: str) -> dict[str, Any]:
    """Of a file that leads from that device to its owner."""
    facts = {"parameters": parameters.name, DEVICE_ID: device, LEVEL: parameters.top}
    return for_device(facts)


def switching_bytes(parameters: Parameters) -> int:
    """Size of a switching key's file, but for its header."""
    return SEED_BYTES + key_layout(device_specification(parameters), parameters).bytes


def is_device_id(value: object) -> TypeGuard[str]:
    """Whether it can name a device."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def device_of(header: Header) -> str:
    """The device that a switching key's header names.

    Raises:
        WrongKind: it is no key file of a device. Corrupt: it names none.
    """
    require_device(header)
    found = header.metadata.get(DEVICE_ID)
    if not is_device_id(found):
        raise Corrupt(f"{header.source}: does not say which device it is of")
    return found


def owner_in(source: str, key_id: str, facts: Mapping[str, Any]) -> str:
    """The owner that facts beside a device's key, or faces under it, name; key_id: the device's.

    Raises:
        Corrupt: they name none, or the device itself.
    """
    owner = facts.get(OWNER)
    if not is_device_id(owner) or owner == key_id:
        raise Corrupt(f"{source}: does not say whose device it is of")
    return owner


def require_switching(
    header: Header, parameters: Parameters, key_id: str | None = None, device: str | None = None
) -> str:
    """Compare a switching key's header with what it should be; returns the device's id.

    key_id: of the owner; device: the one that it must be of; None: any.

    Raises:
        WrongKind: it is another key file.
        ParameterMismatch, KeyMismatch: of other parameters, another owner or another device.
        Corrupt: it has other metadata or sections than the key of these parameters.
    """
    if header.kind is not Kind.EVALUATION_KEYS:
        expected = Kind.EVALUATION_KEYS.label
        raise container.WrongKind(
            f"{header.source}: is of kind {header.kind.label}, expected {expected}"
        )
    found = device_of(header)
    container.require_match(header, parameter_hash=parameters.digest, key_id=key_id)
    wanted = switching_metadata(parameters, found)
    names = ("parameters", LEVEL, PURPOSE)
    if header.metadata.keys() != wanted.keys() or any(
        type(header.metadata[n]) is not type(wanted[n]) or header.metadata[n] != wanted[n]
        for n in names
    ):
        raise Corrupt(f"{header.source}: is no switching key of fresh ciphertexts")
    if found == header.key_id:
        raise Corrupt(f"{header.source}: its device and its owner are one")
    if device is not None and found != device:
        raise container.KeyMismatch(
            f"{header.source}: is of device {found[:8]}, not of {device[:8]}"
        )
    _require_sections(header, parameters)
    return found


def _require_sections(header: Header, parameters: Parameters) -> None:
    form = key_layout(device_specification(parameters), parameters).form
    wanted = {"seed": (DType.U8, (SEED_BYTES,)), SECTION: form}
    if {s.name: (s.dtype, s.shape) for s in header.sections} != wanted:
        raise Corrupt(f"{header.source}: its sections are not those of a switching key")


def load_switching_key(
    path: Path, parameters: Parameters, key_id: str, device: str | None = None
) -> DeviceKey:
    """Read and expand a switching key; refused from its header, before anything is read.

    Raises:
        ContainerError: as `require_switching`; or the file is damaged.
    """
    with container.open(path, expect_kind=Kind.EVALUATION_KEYS) as reader:
        found = require_switching(reader.header, parameters, key_id, device)
        return _read(reader, parameters, found)


def _read(reader: Reader, parameters: Parameters, device: str) -> DeviceKey:
    specification = device_specification(parameters)
    seed = reader.array("seed", mmap=False).tobytes()
    rows = key_layout(specification, parameters).rows(reader, SECTION)
    key = key_of_rows(parameters, specification, rows, seed, DOMAIN)
    return DeviceKey(parameters, device, reader.header.key_id, key)
