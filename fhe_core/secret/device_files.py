"""The files of a device: its own key, with which it encrypts, and the key that switches to its
owner's. Owner and device only; the server reads the second one by `formats.devices`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from fhe_core import container
from fhe_core.container import Corrupt, DType, Header, Kind, Section
from fhe_core.formats.ciphertexts import ParameterLoader, Path, key_layout, parameters_of
from fhe_core.formats.devices import DOMAIN, SECTION, owner_in, switching_metadata
from fhe_core.formats.purpose import OWNER, for_device, require_device
from fhe_core.keys.evaluation import device_specification
from fhe_core.keys.expand import SEED_BYTES
from fhe_core.parameters import presets
from fhe_core.secret.files import secret_of
from fhe_core.secret.key import SecretKey

#: Of the key that a device makes the tokens of its requests with.
TOKEN_KEY_BYTES: Final = 32


def save_device_key(
    path: Path, key: SecretKey, owner: str, token_key: bytes, facts: Mapping[str, Any]
) -> Header:
    """Write a device's own key atomically with mode 0600; it replaces nothing.

    owner: id of its owner's key. token_key: the 32 bytes that its requests are signed with.
    facts: join the public metadata.
    """
    stored = (key.secret_coefficients() + 1).astype(np.uint8)
    sections = [
        Section.from_array("secret", stored),
        Section.from_array("requests", np.frombuffer(token_key, np.uint8)),
    ]
    metadata = for_device({**facts, "parameters": key.parameters.name, OWNER: owner})
    return container.write(
        path,
        Kind.SECRET_KEY,
        key.parameters.digest,
        key.key_id,
        metadata,
        sections,
        private=True,
        overwrite=False,
    )


def require_device_key(header: Header) -> str:
    """Check the header of a device's own key; returns the id of its owner's.

    Raises:
        WrongKind: it is another key file. Corrupt: it does not say whose it is.
    """
    require_device(header)
    return owner_in(header.source, header.key_id, header.metadata)


def load_device_key(
    path: Path, load: ParameterLoader = presets.load, threads: int = 1
) -> tuple[SecretKey, str, bytes]:
    """A device's own key, the id of its owner's key, and the key of its tokens.

    Raises:
        WrongKind: it is another key file.
        ContainerError: the file is damaged.
    """
    with container.open(path, expect_kind=Kind.SECRET_KEY) as reader:
        header = reader.header
        owner = require_device_key(header)
        parameters = parameters_of(header, load)
        sizes = {"secret": parameters.ring_dimension, "requests": TOKEN_KEY_BYTES}
        found = {s.name: (s.dtype, s.shape) for s in header.sections}
        if found != {name: (DType.U8, (size,)) for name, size in sizes.items()}:
            raise Corrupt(f"{header.source}: its sections are not those of a device's key")
        key = secret_of(reader, parameters, reader.array("secret", mmap=False), threads)
        return key, owner, reader.array("requests", mmap=False).tobytes()


def save_switching_key(path: Path, owner: SecretKey, device: SecretKey) -> Header:
    """Make the key that switches a device's ciphertexts to its owner's, for the server."""
    parameters, seed = owner.parameters, os.urandom(SEED_BYTES)
    layout = key_layout(device_specification(parameters), parameters)
    sections = [
        Section.from_array("seed", np.frombuffer(seed, np.uint8)),
        layout.section(SECTION, owner.device_key(device, seed, DOMAIN)),
    ]
    metadata = switching_metadata(parameters, device.key_id)
    return container.write(
        path,
        Kind.EVALUATION_KEYS,
        parameters.digest,
        owner.key_id,
        metadata,
        sections,
        overwrite=False,
    )
