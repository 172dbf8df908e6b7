"""The keys that an authority holds: read once, kept in memory, never written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fhe_core.container import Kind, read_header
from fhe_core.files import shown
from fhe_core.formats.purpose import is_for_gallery
from fhe_core.matching import gallery_parameters
from fhe_core.matching.answers import ANSWER_LIMIT
from fhe_core.secret.files import Passphrase, load_secret_key
from fhe_core.secret.gallery_files import load_gallery_key
from fhe_face.authority.faces import Faces
from fhe_face.authority.searches import Searches
from fhe_face.client.devices import Register
from fhe_face.client.ledger import DEFAULT_LIMIT, Warn, beside
from fhe_face.engine import engine_for
from fhe_face.failures import UsageError


@dataclass(frozen=True)
class Keys:
    """What opens results. searches: by the galleries' key ids."""

    faces: Faces | None
    searches: dict[str, Searches]


def load_keys(
    paths: Sequence[Path],
    passphrase: Callable[[Path], Passphrase],
    *,
    answer_limit: int | None = None,
    threads: int = 1,
    warn: Warn,
) -> Keys:
    """The keys of these files: one client.key at most, and any number of gallery.key.

    passphrase: of a protected file. answer_limit: so many answers each key may give in its life,
    counted in the ledger beside it, where the other commands count as well.

    Raises:
        UsageError: no key, or two of engines.
        NoScoresError: an engine's key whose client normalises.
        ContainerError, LockedKey, PassphraseError: a file cannot be used.
    """
    faces: Faces | None = None
    searches: dict[str, Searches] = {}
    for path in paths:
        header = read_header(path, expect_kind=Kind.SECRET_KEY)
        if is_for_gallery(header):
            parameters = gallery_parameters()
            key = load_gallery_key(path, parameters, threads, passphrase(path))
            ledger = beside(path, key.key_id, answer_limit or ANSWER_LIMIT, warn)
            searches[key.key_id] = Searches(key, parameters, ledger)
        elif faces is not None:
            raise UsageError(f"{shown(path)}: an authority holds one client.key, and has one")
        else:
            engine = engine_for(header)
            engine.circuit.require_scores(shown(path))
            key = load_secret_key(path, threads=threads, passphrase=passphrase(path))
            ledger = beside(path, key.key_id, answer_limit or DEFAULT_LIMIT, warn)
            faces = Faces(key, engine, ledger, Register.beside(path, key.key_id))
    if faces is None and not searches:
        raise UsageError("an authority holds a key: --key client.key, or --key gallery.key")
    return Keys(faces, searches)
