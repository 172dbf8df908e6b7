"""Writing and reading key files on the client's side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fhe_core import container, presets
from fhe_core.ciphertext import Words
from fhe_core.container import DType, Header, Kind, Section
from fhe_core.keys.expand import SEED_BYTES
from fhe_core.keys.secret import SecretKey
from fhe_core.plan import KeySpecification
from fhe_core.runtime.store import (
    ParameterLoader,
    Path,
    evaluation_key_metadata,
    parameters_of,
)


def save_secret_key(
    path: Path, key: SecretKey, facts: Mapping[str, Any], *, overwrite: bool = False
) -> Header:
    """Write the secret key atomically with mode 0600; ``facts`` join the public metadata."""
    stored = (key.secret_coefficients() + 1).astype(np.uint8)
    return container.write(
        path,
        Kind.SECRET_KEY,
        key.parameters.digest,
        key.key_id,
        {**facts, "parameters": key.parameters.name},
        [Section.from_array("secret", stored)],
        private=True,
        overwrite=overwrite,
    )


def load_secret_key(
    path: Path, load: ParameterLoader = presets.load, threads: int = 1
) -> SecretKey:
    """Read a secret key.

    Raises:
        ContainerError: the file is not a secret key, or is damaged.
    """
    with container.open(path, expect_kind=Kind.SECRET_KEY) as reader:
        parameters = parameters_of(reader.header, load)
        if "secret" not in reader.names:
            raise container.Corrupt(f"{reader.header.source}: holds no secret")
        stored = reader.array("secret", mmap=False)
        if stored.dtype != np.uint8:
            raise container.Corrupt(f"{reader.header.source}: not a ternary secret")
        try:
            key = SecretKey(parameters, stored.astype(np.int8) - np.int8(1), threads)
        except (ValueError, TypeError):
            raise container.Corrupt(f"{reader.header.source}: not a ternary secret") from None
        container.require_match(reader.header, key_id=key.key_id)
        return key


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

    def chunks(position: int, specification: KeySpecification) -> Iterator[Words]:
        yield from key.evaluation_key(specification, seed, position + 1)
        if progress is not None:
            progress(position + 1, len(specifications))

    sections = [Section.from_array("seed", np.frombuffer(seed, dtype=np.uint8))]
    sections += [
        Section(f"key/{i}", DType.U64, s.shape(key.parameters), chunks(i, s))
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
