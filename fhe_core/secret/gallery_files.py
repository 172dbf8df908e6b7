"""The key files of a gallery: those of an engine, with other parameters, and saying so."""

from __future__ import annotations

from collections.abc import Mapping

from fhe_core import container
from fhe_core.container import Header, JsonValue, Kind
from fhe_core.formats.ciphertexts import Path
from fhe_core.formats.matching import loader_of
from fhe_core.formats.purpose import for_gallery, require_gallery
from fhe_core.matching import MatchParameters, MatchPlan
from fhe_core.secret.files import (
    Passphrase,
    load_secret_key,
    save_evaluation_keys,
    save_secret_key,
)
from fhe_core.secret.key import SecretKey
from fhe_core.secret.protection import Scheme


def save_gallery_key(
    path: Path,
    key: SecretKey,
    facts: Mapping[str, JsonValue],
    *,
    passphrase: bytes | None = None,
    scheme: Scheme | None = None,
    overwrite: bool = False,
) -> Header:
    """As `save_secret_key`."""
    marked = for_gallery(facts)
    return save_secret_key(
        path, key, marked, passphrase=passphrase, scheme=scheme, overwrite=overwrite
    )


def load_gallery_key(
    path: Path, parameters: MatchParameters, threads: int = 1, passphrase: Passphrase = None
) -> SecretKey:
    """As `load_secret_key`.

    Raises:
        WrongKind: it is the key of an engine.
    """
    require_gallery(container.read_header(path, expect_kind=Kind.SECRET_KEY))
    return load_secret_key(path, loader_of(parameters), threads, passphrase)


def save_gallery_keys(
    path: Path,
    key: SecretKey,
    parameters: MatchParameters,
    facts: Mapping[str, JsonValue],
    *,
    overwrite: bool = False,
) -> Header:
    """Make the evaluation keys that a search needs; `formats.matching.load_gallery_keys` reads."""
    keys = MatchPlan(parameters).keys()
    return save_evaluation_keys(path, key, keys, for_gallery(facts), overwrite=overwrite)
