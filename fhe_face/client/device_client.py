"""A device: it encrypts faces for an owner whose secret it does not have, and opens nothing."""

from __future__ import annotations

import os

from fhe_core.container import Kind, read_header
from fhe_core.formats.purpose import OWNER
from fhe_core.secret.device_files import load_device_key, require_device_key
from fhe_core.secret.key import SecretKey
from fhe_face.client.encryption import Encryptor
from fhe_face.client.requests import Requests
from fhe_face.engine import Engine, engine_of_device
from fhe_face.system import default_threads


class DeviceClient(Encryptor):
    """Holds a device's own key. Faces that it encrypts are switched to its owner's key by a server
    that knows the device; results are under the owner's key, and nobody but the owner opens them.
    """

    def __init__(self, key: SecretKey, engine: Engine, owner: str, token_key: bytes) -> None:
        """Use :meth:`load`. owner: id of its owner's key; token_key: as its owner derived it."""
        super().__init__(key, engine, Requests(token_key), {OWNER: owner})
        self.owner = owner

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, threads: int | None = None) -> DeviceClient:
        """The device of a key file that `Register.make` wrote.

        Raises:
            ContainerError: the file is no key of a device, or is damaged.
        """
        header = read_header(path, expect_kind=Kind.SECRET_KEY)
        require_device_key(header)
        engine = engine_of_device(header)
        key, owner, token_key = load_device_key(path, threads=threads or default_threads())
        return cls(key, engine, owner, token_key)

    def __repr__(self) -> str:
        return f"<DeviceClient {self.key_id[:8]} of key {self.owner[:8]}>"
