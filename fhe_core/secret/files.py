"""Writing and reading key files on the client's side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native, container
from fhe_core.ciphertext import Words
from fhe_core.container import DType, Header, Kind, Reader, Section, canonical
from fhe_core.formats.ciphertexts import (
    ParameterLoader,
    Path,
    evaluation_key_metadata,
    key_layout,
    parameters_of,
)
from fhe_core.keys.expand import SEED_BYTES
from fhe_core.parameters import Parameters, presets
from fhe_core.plan import KeySpecification
from fhe_core.secret.key import SecretKey
from fhe_core.secret.protection import (
    NONCE_BYTES,
    SALT_BYTES,
    TAG_BYTES,
    Protected,
    ProtectionError,
    Scheme,
    WrongPassphrase,
    protect,
    unprotect,
)

#: What opens a protected key: the passphrase, or what asks for it when it is needed; None: nothing.
Passphrase: TypeAlias = bytes | Callable[[], bytes] | None
#: Metadata of a protected key.
PROTECTION = "protection"


class LockedKey(container.ContainerError):
    """A secret key is protected, and the passphrase is missing or wrong."""

    code = "locked-key"


def save_secret_key(
    path: Path,
    key: SecretKey,
    facts: Mapping[str, Any],
    *,
    passphrase: bytes | None = None,
    scheme: Scheme | None = None,
    overwrite: bool = False,
) -> Header:
    """Write the secret key atomically with mode 0600; ``facts`` join the public metadata.

    passphrase: encrypts the secret in the file; the header stays readable. scheme: how much it
    costs to try a passphrase; default: 128 MiB and about half a second.

    Raises:
        ProtectionError: the passphrase is empty.
    """
    stored = (key.secret_coefficients() + 1).astype(np.uint8)
    metadata = {**facts, "parameters": key.parameters.name}
    sections = [Section.from_array("secret", stored)]
    if passphrase is not None:
        scheme = scheme or Scheme()
        metadata[PROTECTION] = scheme.describe()
        bound = _bound(key.parameters.digest, key.key_id, metadata)
        protected = protect(stored.tobytes(), passphrase, bound, scheme)
        parts = {"salt": protected.salt, "nonce": protected.nonce, "sealed": protected.data}
        sections = [
            Section.from_array(name, np.frombuffer(part, np.uint8)) for name, part in parts.items()
        ]
    return container.write(
        path,
        Kind.SECRET_KEY,
        key.parameters.digest,
        key.key_id,
        metadata,
        sections,
        private=True,
        overwrite=overwrite,
    )


def _bound(parameter_hash: str, key_id: str, metadata: Mapping[str, Any]) -> bytes:
    """What a protected secret is bound to: everything that the header says of it."""
    return canonical.encode([parameter_hash, key_id, dict(metadata)])


def load_secret_key(
    path: Path,
    load: ParameterLoader = presets.load,
    threads: int = 1,
    passphrase: Passphrase = None,
) -> SecretKey:
    """Read a secret key; the passphrase is only used, and asked for, where the file needs one.

    Raises:
        LockedKey: it is protected, and the passphrase is missing or wrong.
        ContainerError: the file is not a secret key, or is damaged.
        KernelsError, ThreadError: this machine cannot compute as asked; nothing is wrong with the
            key.
    """
    with container.open(path, expect_kind=Kind.SECRET_KEY) as reader:
        parameters = parameters_of(reader.header, load)
        if PROTECTION in reader.header.metadata:
            stored = _unprotected(reader, parameters.ring_dimension, passphrase)
        elif "secret" not in reader.names:
            raise container.Corrupt(f"{reader.header.source}: holds no secret")
        else:
            stored = reader.array("secret", mmap=False)
        return secret_of(reader, parameters, stored, threads)


def secret_of(
    reader: Reader, parameters: Parameters, stored: NDArray[np.generic], threads: int
) -> SecretKey:
    """The key whose coefficients, plus one, a file holds as bytes.

    Raises:
        Corrupt: they are none. KeyMismatch: the header names another key.
    """
    if stored.dtype != np.uint8:
        raise container.Corrupt(f"{reader.header.source}: not a ternary secret")
    try:
        key = SecretKey(parameters, stored.astype(np.int8) - np.int8(1), threads)
    except _native.KernelsError:
        raise
    except (ValueError, TypeError):
        raise container.Corrupt(f"{reader.header.source}: not a ternary secret") from None
    container.require_match(reader.header, key_id=key.key_id)
    return key


def _unprotected(reader: Reader, ring_dimension: int, passphrase: Passphrase) -> NDArray[np.uint8]:
    header = reader.header
    try:
        scheme = Scheme.from_description(header.metadata[PROTECTION])
    except ProtectionError as error:
        raise container.Corrupt(f"{header.source}: {error}") from None
    sizes = {"salt": SALT_BYTES, "nonce": NONCE_BYTES, "sealed": ring_dimension + TAG_BYTES}
    parts = {}
    for name, size in sizes.items():
        part = header.section(name)
        if (part.dtype, part.shape) != (DType.U8, (size,)):
            raise container.Corrupt(f"{header.source}: section {name!r} is not {size} bytes")
        parts[name] = reader.array(name, mmap=False).tobytes()
    protected = Protected(parts["salt"], parts["nonce"], parts["sealed"])
    given = passphrase() if callable(passphrase) else passphrase
    if given is None:
        raise LockedKey(f"{header.source}: is protected by a passphrase, and none was given")
    bound = _bound(header.parameter_hash, header.key_id, header.metadata)
    try:
        return np.frombuffer(unprotect(protected, given, bound, scheme), dtype=np.uint8)
    except WrongPassphrase as error:
        raise LockedKey(f"{header.source}: {error}") from None


def save_evaluation_keys(
    path: Path,
    key: SecretKey,
    specifications: Sequence[KeySpecification],
    facts: Mapping[str, Any],
    progress: Callable[[int, int], None] | None = None,
    *,
    overwrite: bool = True,
) -> Header:
    """Make evaluation keys and stream them to a file, one digit at a time.

    facts: join the metadata.
    """
    seed = os.urandom(SEED_BYTES)

    def bodies(position: int, specification: KeySpecification) -> Iterator[Words]:
        yield from key.evaluation_key(specification, seed, position + 1)
        if progress is not None:
            progress(position + 1, len(specifications))

    sections = [Section.from_array("seed", np.frombuffer(seed, dtype=np.uint8))]
    sections += [
        key_layout(s, key.parameters).section(f"key/{i}", bodies(i, s))
        for i, s in enumerate(specifications)
    ]
    return container.write(
        path,
        Kind.EVALUATION_KEYS,
        key.parameters.digest,
        key.key_id,
        {**facts, **evaluation_key_metadata(key.parameters, specifications)},
        sections,
        overwrite=overwrite,
    )
