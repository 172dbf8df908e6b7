"""Who is told what: devices, servers, tokens, numbers."""

from __future__ import annotations

import json

import pytest

from fhe_face.authority import log
from fhe_face.authority.requests import Question
from fhe_face.authority.words import Kind, Scope, Word
from fhe_face.service.errors import (
    Forbidden,
    Invalid,
    NotHere,
)
from tests.authority import kit


def test_whoever_delivers_for_a_device_learns_nothing(world: kit.World) -> None:
    known, door = world.enrolled(), world.caller()
    server = world.caller("server", {Scope.DELIVER})
    told = {}
    for cosine, norm in ((0.9, kit.NORM), (0.3, kit.NORM), (0.0, kit.NORM), (0.9, 700.0)):
        face = world.announced(door)
        one = world.authority.deliver(server, kit.score(face, known, cosine, norm).to_bytes())
        told[cosine, norm] = {**one.to_json(), "request": "-"}
        with pytest.raises(NotHere):
            world.authority.answer(server, one.request)
        assert world.authority.answer(door, one.request).word is not None
    assert {json.dumps(one) for one in told.values()} == {
        '{"request": "-", "kind": "match", "state": "opened"}'
    }


@pytest.mark.parametrize("scope", [Scope.ASK, Scope.ENROL, Scope.DELIVER])
def test_a_token_does_what_its_scopes_say(world: kit.World, scope: Scope) -> None:
    known = world.enrolled()
    door, limited = world.caller(), world.caller("door", {scope})
    with pytest.raises(Forbidden) if scope is not Scope.ASK else _nothing():
        world.authority.announce(limited, Question(Kind.MATCH, kit.token(), "ann"))
    with pytest.raises(Forbidden) if scope is not Scope.ENROL else _nothing():
        world.authority.announce(limited, Question(Kind.ENROL, kit.token(), "ann"))
    result = kit.score(world.announced(door), known, 0.9).to_bytes()
    if scope is Scope.DELIVER:
        told = world.authority.deliver(limited, result)
        assert told.word is None
    else:
        with pytest.raises(Forbidden):
            world.authority.deliver(limited, result)
        told = world.authority.deliver(door, result)
    with pytest.raises(Forbidden) if scope is not Scope.ASK else _nothing():
        assert world.authority.answer(limited, told.request).word is Word.MATCH


class _nothing:
    """No error is expected."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def test_numbers_take_a_scope_and_leave_a_line(world: kit.World) -> None:
    known, door = world.enrolled(), world.caller()
    curious = world.caller("door", {Scope.ASK, Scope.DELIVER, Scope.SCORES})
    result = kit.score(world.announced(door), known, 0.31).to_bytes()
    assert "score" not in world.authority.deliver(door, result).to_json()
    told = world.authority.deliver(curious, result)
    assert told.score == pytest.approx(0.31, abs=0.01)
    assert told.word is Word.UNCERTAIN
    assert "score" not in world.authority.answer(curious, told.request).to_json()
    events = [written.line.event for written in log.read(world.database)]
    assert events.count("numbers") == 1
    # Of another device's request it says as little as any token.
    other = world.caller("gate", {Scope.ASK, Scope.DELIVER, Scope.SCORES})
    assert world.authority.deliver(other, result).score is None


@pytest.mark.parametrize(
    "question",
    [
        Question(Kind.MATCH, "ab" * 48),
        Question(Kind.MATCH, "ab" * 48, "ann", gallery="office"),
        Question(Kind.MATCH, "ab" * 48, "ann", names=True),
        Question(Kind.MATCH, "ab" * 48, "Ann Smith"),
        Question(Kind.MATCH, "ab" * 48, ""),
        Question(Kind.ENROL, "ab" * 48, "../ann"),
        Question(Kind.SEARCH, "ab" * 32),
        Question(Kind.SEARCH, "ab" * 32, "ann", "office", True),
        Question(Kind.SEARCH, "ab" * 32, None, "home"),
    ],
)
def test_questions_that_make_no_sense(world: kit.World, question: Question) -> None:
    world.keep_gallery()
    with pytest.raises((Invalid, NotHere)):
        world.authority.announce(world.caller(), question)
