"""What an authority says, to whom, and how often: one word for each request that was announced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fhe_core.container import ContainerError
from fhe_core.errors import Failure
from fhe_core.formats.ciphertexts import Bundle
from fhe_face.authority.requests import Question
from fhe_face.authority.words import Kind, Word
from fhe_face.service.errors import (
    NotHere,
    OtherContent,
)
from tests.authority import kit

CASES = [(0.9, Word.MATCH), (0.3, Word.UNCERTAIN), (0.1, Word.UNKNOWN), (-0.5, Word.UNKNOWN)]


@pytest.mark.parametrize(("cosine", "word"), CASES)
def test_a_match_is_answered_in_a_word(world: kit.World, cosine: float, word: Word) -> None:
    known, door = world.enrolled(), world.caller()
    face = world.announced(door)
    told = world.authority.deliver(door, kit.score(face, known, cosine).to_bytes())
    assert told.word is word
    assert told.to_json() == {
        "request": told.request,
        "kind": "match",
        "state": "answered",
        "answer": word.value,
    }
    assert world.authority.answer(door, told.request) == told


def test_either_side_may_be_the_enrolled_one(world: kit.World) -> None:
    known, door = world.enrolled(), world.caller()
    face = world.announced(door)
    told = world.authority.deliver(door, kit.score(known, face, 0.9).to_bytes())
    assert told.word is Word.MATCH


def test_a_result_that_is_not_healthy_is_refused_without_a_number(world: kit.World) -> None:
    known, door = world.enrolled(), world.caller()
    face = world.announced(door)
    told = world.authority.deliver(door, kit.score(face, known, 0.9, norm=700.0).to_bytes())
    assert told.word is Word.REFUSED
    assert told.to_json()["reason"] == "the result is not healthy: take another photo"


def test_an_enrolment_is_healthy_or_not(world: kit.World) -> None:
    desk, good, bad = world.caller("desk"), kit.token(), kit.token()
    for face in (good, bad):
        world.authority.announce(desk, Question(Kind.ENROL, face, "ann"))
    assert world.authority.deliver(desk, kit.embedding(good).to_bytes()).word is Word.HEALTHY
    assert world.authority.deliver(desk, kit.embedding(bad, 900.0).to_bytes()).word is Word.REFUSED
    door = world.caller()
    face = world.announced(door)
    with pytest.raises(NotHere, match="other face"):
        world.authority.deliver(door, kit.score(face, bad, 0.9).to_bytes())
    told = world.authority.deliver(door, kit.score(face, good, 0.9).to_bytes())
    assert told.word is Word.MATCH


def test_a_face_is_compared_with_the_claimed_person_only(world: kit.World) -> None:
    ann, ben, door = world.enrolled("ann"), world.enrolled("ben"), world.caller()
    face, another = world.announced(door, "ann"), world.announced(door, "ann")
    for other in (ben, kit.token(), face, another):
        with pytest.raises(NotHere):
            world.authority.deliver(door, kit.score(face, other, 0.9).to_bytes())
    assert world.authority.end(world.caller("desk"), "ann") == 1
    with pytest.raises(NotHere):
        world.authority.deliver(door, kit.score(face, ann, 0.9).to_bytes())


# --- one answer -----------------------------------------------------------------------------------


def test_a_replay_gets_the_same_word_and_another_result_none(world: kit.World) -> None:
    known, door = world.enrolled(), world.caller()
    face = world.announced(door)
    first = kit.score(face, known, 0.9).to_bytes()
    before = world.authority.deliver(door, first)
    counted = world.ledger.answers
    assert world.authority.deliver(door, first) == before
    for cosine in (0.9, 0.1):  # the same under fresh noise, and another one
        with pytest.raises(OtherContent, match="decided by another result"):
            world.authority.deliver(door, kit.score(face, known, cosine).to_bytes())
    assert world.authority.answer(door, before.request) == before
    assert world.ledger.answers == counted


def test_another_template_of_the_subject_is_another_result(world: kit.World) -> None:
    door, templates = world.caller(), [world.enrolled(), world.enrolled()]
    face = world.announced(door)
    world.authority.deliver(door, kit.score(face, templates[0], 0.9).to_bytes())
    with pytest.raises(OtherContent):
        world.authority.deliver(door, kit.score(face, templates[1], 0.9).to_bytes())


def test_a_request_that_nobody_announced_is_not_answered(world: kit.World) -> None:
    known, door = world.enrolled(), world.caller()
    before = world.ledger.answers
    for result in (
        kit.score(kit.token(), known, 0.9),
        kit.score(known, known, 0.9),
        kit.embedding(kit.token()),
        kit.embedding(known),  # decided already, by another result
    ):
        with pytest.raises((NotHere, OtherContent, ContainerError)):
            world.authority.deliver(door, result.to_bytes())
    assert world.ledger.answers == before


def test_what_nobody_announced_is_refused_from_its_header(world: kit.World) -> None:
    """Nothing is read of it: damage behind the header is not noticed."""
    known, door = world.enrolled(), world.caller()
    data = bytearray(kit.score(kit.token(), known, 0.9).to_bytes())
    data[-1] ^= 1
    with pytest.raises(NotHere):
        world.authority.deliver(door, bytes(data))


def test_a_request_is_for_one_kind_of_result(world: kit.World) -> None:
    known, door = world.enrolled(), world.caller()
    face = world.announced(door)
    with pytest.raises(NotHere):
        world.authority.deliver(door, kit.embedding(face).to_bytes())
    told = world.authority.deliver(door, kit.score(face, known, 0.9).to_bytes())
    assert told.word is Word.MATCH


def test_announcing_again_changes_nothing(world: kit.World) -> None:
    door, other = world.caller(), world.caller("gate")
    face = kit.token()
    question = Question(Kind.MATCH, face, "ann")
    first = world.authority.announce(door, question)
    assert world.authority.announce(door, question) == first
    with pytest.raises(OtherContent):
        world.authority.announce(door, replace(question, subject="ben"))
    with pytest.raises(OtherContent):
        world.authority.announce(door, replace(question, kind=Kind.ENROL))
    with pytest.raises(OtherContent):
        world.authority.announce(other, question)


def test_a_request_waits_for_so_long(world: kit.World) -> None:
    known, door = world.enrolled(), world.caller()
    face = world.announced(door)
    world.clock.at += 24 * 3600
    result = kit.score(face, known, 0.9).to_bytes()
    with pytest.raises(NotHere, match="expired"):
        world.authority.deliver(door, result)
    world.authority.announce(door, Question(Kind.MATCH, face, "ann"))
    assert world.authority.deliver(door, result).word is Word.MATCH
    world.clock.at += 48 * 3600  # an answer does not expire, and is not asked for anew
    again = world.authority.announce(door, Question(Kind.MATCH, face, "ann"))
    assert again.word is Word.MATCH


# --- what a server could write --------------------------------------------------------------------

CRAFTED: list[tuple[str, Callable[[Bundle], Bundle]]] = [
    ("faces", lambda b: _facts(b, runs=[["alone", 1], ["alone", 1]])),
    ("batch", lambda b: _facts(b, runs=[["batch", 3]])),
    ("length", lambda b: _facts(b, embedding=1)),
    ("tokens", lambda b: _facts(b, requests=b.facts["requests"][:1])),
    ("forged", lambda b: _facts(b, requests=["0" * 96] * 2)),
    ("prepared", lambda b: _facts(b, preparation={"size": 64})),
    ("key", lambda b: replace(b, key_id="00" * 16)),
    ("kind", lambda b: replace(b, what="image")),
    ("scale", lambda b: _item(b, 0, scale=2.0**20)),
    ("level", lambda b: _dropped(b)),
    ("names", lambda b: replace(b, items={f"x {n}": c for n, c in b.items.items()})),
]


def _facts(bundle: Bundle, **facts: Any) -> Bundle:
    return replace(bundle, facts={**bundle.facts, **facts})


def _item(bundle: Bundle, place: int, **changes: Any) -> Bundle:
    name = list(bundle.items)[place]
    item = replace(bundle.items[name], **changes)
    return replace(bundle, items={**bundle.items, name: item})


def _dropped(bundle: Bundle) -> Bundle:
    name, item = list(bundle.items.items())[1]
    lower = item.drop_to(item.level - 1, bundle.parameters)
    return replace(bundle, items={**bundle.items, name: lower})


def test_no_other_shape_is_opened_or_counted(world: kit.World) -> None:
    known, door = world.enrolled(), world.caller()
    face = world.announced(door)
    honest, before = kit.score(face, known, 0.9), world.ledger.answers
    for name, change in CRAFTED:
        with pytest.raises(Failure) as caught:
            world.authority.deliver(door, change(honest).to_bytes())
        assert isinstance(caught.value, ContainerError | NotHere), name
        assert world.ledger.answers == before, name
    for broken in (b"", b"nonsense", honest.to_bytes()[:-7], honest.to_bytes() + b"x"):
        with pytest.raises(ContainerError):
            world.authority.deliver(door, broken)
    assert world.authority.deliver(door, honest.to_bytes()).word is Word.MATCH


def test_results_of_a_batch_are_not_decided(world: kit.World) -> None:
    """An authority decides about one face at a time, also where the key asked for several."""
    known, door = world.enrolled(), world.caller()
    face = kit.token(3)
    world.authority.announce(door, Question(Kind.MATCH, face, "ann"))
    crafted = _facts(kit.score(face, known, 0.9), runs=[["batch", 3]])
    with pytest.raises(ContainerError):
        world.authority.deliver(door, crafted.to_bytes())


def test_results_of_other_weights_are_refused(world: kit.World) -> None:
    known, door = world.enrolled(), world.caller()
    world.set_weights("0" * 32)
    faces = [world.announced(door) for _ in range(2)]
    good = kit.score(faces[0], known, 0.9)
    assert world.authority.deliver(door, good.to_bytes()).word is Word.MATCH
    other = kit.score(faces[1], known, 0.9, weights="1" * 32)
    with pytest.raises(ContainerError, match="other weights"):
        world.authority.deliver(door, other.to_bytes())
