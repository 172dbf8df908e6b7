"""A device: it encrypts faces for an owner whose secret it does not have, and opens nothing."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from fhe_core.container import Kind, read_header
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.formats.purpose import OWNER
from fhe_core.secret.device_files import load_device_key, require_device_key
from fhe_core.secret.key import SecretKey
from fhe_face.circuit import Circuit
from fhe_face.client.encryption import Encryptor, Faces
from fhe_face.client.requests import Requests
from fhe_face.engine import Engine, engine_of_device
from fhe_face.places import Packing, Run
from fhe_face.system import default_threads


class DeviceClient:
    """Holds a device's own key. Faces that it encrypts are switched to its owner's key by a server
    that knows the device; results are under the owner's key, and nobody but the owner opens them.
    """

    def __init__(self, key: SecretKey, engine: Engine, owner: str, token_key: bytes) -> None:
        """Use :meth:`load`. owner: id of its owner's key; token_key: as its owner derived it."""
        self.engine = engine
        self.owner = owner
        self.key_id = key.key_id
        self._encryptor = Encryptor(key, engine, Requests(token_key), {OWNER: owner})

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, threads: int | None = None) -> DeviceClient:
        """The device of a key file that `make_device` wrote.

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

    @property
    def circuit(self) -> Circuit:
        """What results of its owner's key are computed with."""
        return self.engine.circuit

    def plan(
        self,
        faces: int,
        *,
        packings: Collection[Packing] | None = None,
        memory: int | None = None,
    ) -> tuple[Run, ...]:
        """How `encrypt` packs so many faces: see `Encryptor.plan`."""
        return self._encryptor.plan(faces, packings=packings, memory=memory)

    def encrypt(
        self, faces: Faces, *, runs: Sequence[Run] | None = None, contrast: float = 1.0
    ) -> Bundle:
        """Encrypt an aligned face, or several in one bundle: see `Encryptor.encrypt`."""
        return self._encryptor.encrypt(faces, runs=runs, contrast=contrast)
