"""All three parties: a device encrypts, a server computes and searches, an authority says a word.

The server has no secret, the device has only its own, and the authority computes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fhe_core.container import ContainerError
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.formats.switching import face_to_bytes, findings_to_bytes
from fhe_core.matching import AnswerMismatch
from fhe_face.authority.authority import Authority
from fhe_face.authority.faces import Faces
from fhe_face.authority.galleries import keep_gallery
from fhe_face.authority.opening import AUTHORITY, create_authority
from fhe_face.authority.requests import Question
from fhe_face.authority.searches import Searches
from fhe_face.authority.thresholds import MATCHES, keep
from fhe_face.authority.tokens import authenticate, create_token
from fhe_face.authority.words import Caller, Kind, Scope, Word
from fhe_face.client.expected import Expected, device_tokens
from fhe_face.client.ledger import MemoryLedger
from fhe_face.client.requests import Requests
from fhe_face.commands.authority_gallery import read_gallery
from fhe_face.places import Packing, numbered
from fhe_face.server.crossing import CrossingServer
from fhe_face.service.errors import Invalid, NotHere, OtherContent
from fhe_face.store.database import Database
from fhe_face.store.opening import open_database
from fhe_face.tokens import ENTRY as REQUESTS
from tests.authority import kit
from tests.core import tiny
from tests.gallery import kit as galleries
from tests.gallery.crossing_kit import RING, Both, F, crossed, empty, full, results, world

__all__ = ["crossed", "empty", "full", "results", "world"]

DEE = 0


@dataclass
class Office:
    """A gallery that a server searches by itself, and an authority with both keys."""

    both: Both
    database: Database
    server: CrossingServer
    ledger: MemoryLedger

    @property
    def authority(self) -> Authority:
        key = self.both.gallery.opened.key
        searches = {key.key_id: Searches(key, RING, self.ledger, tiny.load)}
        faces = Faces(self.both.world.key, self.both.world.engine, self.ledger)
        return Authority(self.database, kit.WIDE, faces, searches)

    def tell(self) -> None:
        """What the gallery holds now."""
        keep_gallery(self.database, read_gallery(self.both.gallery, "office"), 1)

    def caller(self, device: str = "door", *scopes: Scope, sender: str | None = None) -> Caller:
        chosen = scopes or (Scope.ASK, Scope.DELIVER, Scope.NAMES, Scope.ENROL)
        secret = create_token(self.database, device, chosen, sender=sender)[1]
        return authenticate(self.database, f"Bearer {secret}")

    def token(self, image: int) -> str:
        """Of the request by which a face came."""
        return str(self.both.result(image).facts[REQUESTS][0])

    def found(self, image: int) -> bytes:
        (face,) = self.server.faces(self.both.result(image))
        return findings_to_bytes(self.server.look_up(face))


@pytest.fixture
def office(crossed: Both, tmp_path: Path) -> Iterator[Office]:
    crossed.enrol("Dee", crossed.embedding(DEE).values)
    create_authority(tmp_path / "authority", kit.WIDE)
    database = open_database(tmp_path / "authority", AUTHORITY)
    with database.locked() as connection:
        keep(connection, MATCHES, kit.STANDARD)
    server = crossed.opened()
    made = Office(crossed, database, server, MemoryLedger(1 << 20))
    made.tell()
    yield made
    server.close()
    database.engine.dispose()


def test_a_server_searches_and_the_authority_says_who(office: Office) -> None:
    door = office.caller()
    dee = office.both.gallery.subject("Dee").id
    for image, subject, names, word in (
        (DEE, None, True, Word.MATCH),
        (1, office.both.gallery.subject("Ann").id, False, Word.UNKNOWN),
    ):
        question = Question(Kind.SEARCH, office.token(image), subject, "office", names)
        office.authority.announce(door, question)
        data = office.found(image)
        told = office.authority.deliver(door, data)
        assert told.word is word
        assert told.found == (dee if names else None)
        assert office.authority.deliver(door, data) == told


def test_findings_of_another_face_or_state_give_no_word(office: Office) -> None:
    door = office.caller()
    office.authority.announce(door, Question(Kind.SEARCH, office.token(DEE), None, "office"))
    with pytest.raises(NotHere):
        office.authority.deliver(door, office.found(1))
    data, before = office.found(DEE), office.ledger.answers
    office.both.enrol("Fay", galleries.direction(8, F))
    office.tell()
    with pytest.raises(AnswerMismatch):
        office.authority.deliver(door, data)
    for broken in (data[:-3], data[:200] + b"\0" + data[201:]):
        with pytest.raises((ContainerError, NotHere)):
            office.authority.deliver(door, broken)
    assert office.ledger.answers == before


def test_findings_that_are_not_healthy_are_refused(office: Office) -> None:
    door = office.caller()
    office.authority.announce(door, Question(Kind.SEARCH, office.token(DEE), None, "office"))
    (face,) = office.server.faces(office.both.result(DEE))
    found = office.server.look_up(replace(face, norm=face.norm * 0))
    told = office.authority.deliver(door, findings_to_bytes(found))
    assert told.word is Word.REFUSED
    with pytest.raises(OtherContent):
        office.authority.deliver(door, office.found(DEE))


def test_a_face_that_a_server_enrolled_is_healthy_or_not(office: Office) -> None:
    desk = office.caller("desk")
    words = {}
    for image, spoiled in ((1, False), (2, True)):
        (face,) = office.server.faces(office.both.result(image), subject="badge-7")
        made = replace(face, norm=face.norm * 0) if spoiled else face
        data = face_to_bytes(made)
        with pytest.raises(NotHere):
            office.authority.deliver(desk, data)
        question = Question(Kind.ENROL, office.token(image), "badge-7", "office")
        office.authority.announce(desk, question)
        with pytest.raises(NotHere, match="another person"):
            office.authority.deliver(desk, face_to_bytes(replace(made, subject="badge-8")))
        words[spoiled] = office.authority.deliver(desk, data).word
        # Of the gallery only: it is no face that matches may be made with.
        assert not office.authority.requests.enrolled("badge-7", office.token(image))
    assert words == {False: Word.HEALTHY, True: Word.REFUSED}


def test_a_gallery_that_no_server_searches_by_itself(office: Office) -> None:
    key = office.both.gallery.opened.key
    known = replace(read_gallery(office.both.gallery, "office"), crossing=None)
    assert known.key_id == key.key_id
    keep_gallery(office.database, known, 1)
    door = office.caller()
    with pytest.raises(NotHere, match="by itself"):
        office.authority.announce(
            door, Question(Kind.ENROL, office.token(DEE), "badge-7", "office")
        )
    search = Question(Kind.SEARCH, office.token(DEE), None, "office")
    with pytest.raises(NotHere, match="by itself"):
        office.authority.announce(door, search)
    office.tell()
    office.authority.announce(door, search)
    keep_gallery(office.database, known, 1)  # the owner has taken the switching key away
    with pytest.raises(NotHere, match="by itself"):
        office.authority.deliver(door, office.found(DEE))
    with pytest.raises(Invalid):
        office.authority.announce(
            door, Question(Kind.MATCH, office.token(DEE), "badge-7", "office")
        )


# --- devices --------------------------------------------------------------------------------------

DOOR, GATE = "ab" * 16, "cd" * 16


def of_device(device: str, face: str, known: str, cosine: float) -> Bundle:
    """A score of a face that a device encrypted, with one that the owner did."""
    return kit.score(face, known, cosine, devices=[device, None])


def device_token(device: str) -> str:
    """As the device makes it: it has a key for tokens, and none that decrypts."""
    (run,) = numbered([(Packing.ALONE, 1)])
    asked = Expected(kit.key(), kit.engine()).asked(run, {})
    return Requests(device_tokens(kit.key(), device)).issue(asked)


def test_a_device_asks_about_its_own_faces(world_of_kit: kit.World) -> None:
    authority, known = world_of_kit.authority, world_of_kit.enrolled()
    secret = create_token(world_of_kit.database, "door", kit.ALL, sender=DOOR)[1]
    door = authenticate(world_of_kit.database, f"Bearer {secret}")
    own, foreign = device_token(DOOR), device_token(GATE)
    for face in (own, foreign):
        authority.announce(door, Question(Kind.MATCH, face, "ann"))
    told = authority.deliver(door, of_device(DOOR, own, known, 0.9).to_bytes())
    assert told.word is Word.MATCH
    with pytest.raises(NotHere, match="another device"):
        authority.deliver(door, of_device(GATE, foreign, known, 0.9).to_bytes())
    with pytest.raises(ContainerError):  # it is no token of that device
        authority.deliver(door, of_device(DOOR, foreign, known, 0.9).to_bytes())
    with pytest.raises(Invalid, match="fhe-face device list"):
        create_token(world_of_kit.database, "door", kit.ALL, sender="door")


@pytest.fixture
def world_of_kit(tmp_path: Path) -> Iterator[kit.World]:
    made = kit.World(tmp_path / "kit")
    yield made
    made.close()
