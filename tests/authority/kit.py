"""An authority on the small ring, and results as a server gives them, or as one could."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fhe_core.ciphertext import Ciphertext
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.formats.matching import save, to_bytes
from fhe_core.matching import mask_of
from fhe_core.secret.key import SecretKey
from fhe_face.authority.authority import Authority
from fhe_face.authority.faces import Faces
from fhe_face.authority.galleries import Known, Place, keep_gallery
from fhe_face.authority.opening import AUTHORITY, create_authority
from fhe_face.authority.policy import Policy, save_policy
from fhe_face.authority.requests import Question
from fhe_face.authority.searches import Searches
from fhe_face.authority.thresholds import MATCHES, Standard, keep
from fhe_face.authority.tokens import authenticate, create_token
from fhe_face.authority.words import Caller, Kind, Scope
from fhe_face.client.expected import Expected
from fhe_face.client.health import expected_norm
from fhe_face.client.ledger import MemoryLedger
from fhe_face.engine import Engine
from fhe_face.gallery.decisions import Decision
from fhe_face.models.synthetic import random_fused
from fhe_face.places import EMBEDDING, SCORE, Packing, describe, numbered
from fhe_face.shapes import RESULT_FACTS, items_of
from fhe_face.store.opening import open_database
from tests.core import matching_kit, tiny

__all__ = ["replace", "save_policy"]

NORM = 50.0
#: Of matches and of the gallery.
SAME_FROM, DIFFERENT_BELOW = 0.4, 0.2
STANDARD = Standard(Decision(SAME_FROM, DIFFERENT_BELOW))
ALL = frozenset(Scope)
#: Limits that no test meets unasked.
WIDE = Policy(10_000, 10_000, 10_000, 10_000, 10_000, 10_000, near_hour=10_000, near_day=10_000)


@lru_cache(1)
def engine() -> Engine:
    return tiny.engine_for(random_fused(0), tiny.load(tiny.TINY.name), Packing)


@lru_cache(1)
def key() -> SecretKey:
    return SecretKey.generate(engine().parameters)


@lru_cache(1)
def gallery() -> matching_kit.Sides:
    return matching_kit.make_sides(tiny.gallery())


@lru_cache(1)
def expected() -> Expected:
    return Expected(key(), engine())


def token(count: int = 1) -> str:
    """Of a face alone, as its device has it; of a batch where there are more."""
    (run,) = numbered([(Packing.BATCH if count > 1 else Packing.ALONE, count)])
    return expected().requests.issue(expected().asked(run, {}))


def _bundle(what: str, values: list[Any], tokens: list[str], **facts: Any) -> Bundle:
    (run,) = numbered([(Packing.ALONE, 1)])
    parameters = engine().parameters
    slots = [np.broadcast_to(value, parameters.slots) for value in values]
    items = {
        item.name: _fresh(value, item.scale).drop_to(item.level, parameters)
        for item, value in zip(items_of(engine(), what, run), slots, strict=True)
    }
    metadata = engine().compiled.plan.metadata
    known: Mapping[str, Any] = {name: metadata[name] for name in RESULT_FACTS}
    whole = {**known, "runs": describe([run]), "weights": "0" * 32, "requests": tokens, **facts}
    return Bundle(what, parameters, key().key_id, items, whole, {})


def _fresh(values: np.ndarray[Any, Any], scale: float) -> Ciphertext:
    return key().encrypt(values, scale)[0]


def score(face: str, other: str, cosine: float, norm: float = NORM, **facts: Any) -> Bundle:
    """A score of two faces, under fresh noise each time."""
    both = expected_norm(tiny.ROOT, NORM) ** 2
    return _bundle(SCORE, [cosine * both, norm, NORM], [face, other], **facts)


def embedding(face: str, norm: float = NORM) -> Bundle:
    """An embedding of one face; healthy unless its norm is another one."""
    length = engine().architecture.embedding
    values = np.zeros(engine().parameters.slots)
    values[:length] = expected_norm(tiny.ROOT, NORM) / np.sqrt(length)
    return _bundle(EMBEDDING, [values, norm], [face])


def image(*faces: str) -> Bundle:
    """Encrypted faces that a device has sent, as far as their tokens go."""
    return Bundle("image", engine().parameters, key().key_id, {}, {"requests": [*faces]}, {})


@dataclass
class Clock:
    """Time that a test moves."""

    at: int = 1_000_000

    def __call__(self) -> int:
        return self.at


@dataclass
class World:
    """An authority with thresholds, one gallery, and tokens on request."""

    folder: Path
    policy: Policy = WIDE
    clock: Clock = field(default_factory=Clock)
    ledger: MemoryLedger = field(default_factory=lambda: MemoryLedger(1 << 30))

    def __post_init__(self) -> None:
        create_authority(self.folder, self.policy)
        self.database = open_database(self.folder, AUTHORITY)
        with self.database.locked() as connection:
            keep(connection, MATCHES, STANDARD)

    def close(self) -> None:
        self.database.engine.dispose()

    @property
    def authority(self) -> Authority:
        """Made anew each time, as after a restart."""
        return self.holding(self.policy)

    def holding(self, policy: Policy) -> Authority:
        sides = gallery()
        opener = Searches(sides.sealer.key, sides.parameters, self.ledger)
        faces = Faces(key(), engine(), self.ledger)
        searches = {opener.key_id: opener}
        return Authority(self.database, policy, faces, searches, self.clock)

    def secret(self, device: str = "door", scopes: Collection[Scope] = ALL - {Scope.SCORES}) -> str:
        return create_token(self.database, device, scopes)[1]

    def caller(
        self, device: str = "door", scopes: Collection[Scope] = ALL - {Scope.SCORES}
    ) -> Caller:
        return authenticate(self.database, f"Bearer {self.secret(device, scopes)}")

    def set_weights(self, weights: str | None) -> None:
        """Matches are of these weights only."""
        with self.database.locked() as connection:
            keep(connection, MATCHES, replace(STANDARD, weights=weights))

    # --- faces ------------------------------------------------------------------------------------

    def enrolled(self, subject: str = "ann") -> str:
        """The token of a face that the subject may be compared with."""
        face, caller = token(), self.caller("desk")
        self.authority.announce(caller, Question(Kind.ENROL, face, subject))
        told = self.authority.deliver(caller, embedding(face).to_bytes())
        assert told.word is not None
        return face

    def announced(self, caller: Caller, subject: str = "ann") -> str:
        """The token of a face that a device has announced."""
        face = token()
        self.authority.announce(caller, Question(Kind.MATCH, face, subject))
        return face

    # --- galleries --------------------------------------------------------------------------------

    def keep_gallery(self, dead: Collection[int] = ()) -> Searched:
        """A gallery of 40 people, a template each, which the authority knows."""
        sides = gallery()
        templates = tiny.unit_vectors(40, sides.parameters.features)
        block = sides.sealer.seal_block(templates)
        live = [n for n in range(40) if n not in dead]
        mask = mask_of(live, sides.parameters.templates)
        owners = tuple(f"person-{n}" for n in live)
        place = Place("ab" * 32, mask, owners)
        known = Known("office", sides.sealer.key.key_id, (place,), STANDARD)
        keep_gallery(self.database, known, self.clock())
        return Searched(templates, sides, place, sides.matcher.load(block))


@dataclass(frozen=True)
class Searched:
    """A gallery's server, and the templates in the clear."""

    templates: tiny.Array
    sides: matching_kit.Sides
    place: Place
    loaded: Any

    def search(self, vector: tiny.Array, file: Path | None = None) -> tuple[str, bytes]:
        """The token of a probe, and the file of its scores; file: for the probe."""
        probe = self.sides.sealer.seal_probe(vector)
        if file is not None:
            save(file, probe)
        part = (self.place.digest, self.loaded, self.place.live)
        scores = self.sides.matcher.answer(self.sides.matcher.expand(probe), [part])
        return probe.token.hex(), to_bytes(scores)

    def crafted(self, token: str, c0: int) -> bytes:
        """Scores whose first word is chosen, as whoever writes files may do."""
        parameters = self.sides.parameters
        words = np.zeros((1, 2, parameters.templates, parameters.result_bytes), np.uint8)
        words[0, 0, :, 0] = c0 & 0xFF
        words[0, 0, :, 1] = c0 >> 8 & 0xFF
        probe = self.sides.sealer.seal_probe(self.templates[0])
        part = (self.place.digest, self.loaded, self.place.live)
        scores = self.sides.matcher.answer(self.sides.matcher.expand(probe), [part])
        return to_bytes(replace(scores, token=bytes.fromhex(token), words=words))
