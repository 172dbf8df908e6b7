"""Authorities as processes, in the ring that galleries have: small enough for a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fhe_core.formats.matching import save, to_bytes
from fhe_core.matching import Loaded, Matcher, gallery_parameters, mask_of
from fhe_core.secret.gallery_files import save_gallery_key
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from fhe_face.authority.galleries import Known, Place, keep_gallery
from fhe_face.authority.opening import create_authority, opened
from fhe_face.authority.policy import Policy
from fhe_face.authority.tokens import create_token
from fhe_face.authority.words import Scope
from fhe_face.client.ledger import beside
from tests.authority import kit
from tests.core import tiny
from tests.service.running import Serving, listening

PEOPLE = 20


@dataclass
class Office:
    """A gallery of 20 people with its key and its server, and an authority that knows it."""

    folder: Path
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        ring = gallery_parameters()
        key = SecretKey.generate(ring.parameters)
        self.key = self.folder / "gallery.key"
        save_gallery_key(self.key, key, {})
        beside(self.key, key.key_id).create()
        self.sealer = Sealer(key, ring)
        self.matcher = Matcher(ring, tiny.gallery_keys(key, ring), 1)
        self.templates = tiny.unit_vectors(PEOPLE, ring.features)
        self.live = mask_of(range(PEOPLE), ring.templates)
        owners = tuple(f"person-{n}" for n in range(PEOPLE))
        self.place = Place("ab" * 32, self.live, owners)
        self.authority = self.folder / "authority"
        create_authority(self.authority, self.policy)
        with opened(self.authority) as database:
            known = Known("office", key.key_id, (self.place,), kit.STANDARD)
            keep_gallery(database, known, 1)

    @cached_property
    def block(self) -> Loaded:
        return self.matcher.load(self.sealer.seal_block(self.templates))

    def search(self, vector: tiny.Array, probe_file: Path | None = None) -> tuple[str, bytes]:
        """The token of a probe, and the file of its scores."""
        probe = self.sealer.seal_probe(vector)
        if probe_file is not None:
            save(probe_file, probe)
        part = (self.place.digest, self.block, self.live)
        scores = self.matcher.answer(self.matcher.expand(probe), [part])
        return probe.token.hex(), to_bytes(scores)

    def token(self, device: str = "door", *scopes: Scope) -> str:
        chosen = scopes or (Scope.ASK, Scope.DELIVER, Scope.NAMES)
        with opened(self.authority) as database:
            return create_token(database, device, chosen)[1]


@contextmanager
def process(office: Office, *options: str) -> Iterator[Serving]:
    """`fhe-face authority serve` on a port that is free; ended at the end."""
    words = ["authority", "serve", str(office.authority), "--key", str(office.key), *options]
    with listening(words, office.folder / "serve.log") as serving:
        yield serving
