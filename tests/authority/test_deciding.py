"""What an authority says, to whom, and how often: one word for each request that was announced."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from fhe_core.container import ContainerError
from fhe_core.errors import Failure
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.matching import AnswerMismatch, StaleAnswer
from fhe_face.authority import log
from fhe_face.authority.alarms import all_alarms, close_alarm
from fhe_face.authority.requests import Question
from fhe_face.authority.words import Kind, Scope, State, Word
from fhe_face.client.ledger import MemoryLedger
from fhe_face.service.errors import (
    Forbidden,
    Invalid,
    NotHere,
    OtherContent,
    OverQuota,
    TooManyRequests,
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


# --- limits ---------------------------------------------------------------------------------------


def ask(world: kit.World, device: str, subject: str, known: str, cosine: float = 0.9) -> Word:
    """One request from beginning to end."""
    door = world.caller(device)
    face = world.announced(door, subject)
    word = world.authority.deliver(door, kit.score(face, known, cosine).to_bytes()).word
    assert word is not None
    return word


def test_a_device_has_so_many_answers_an_hour_and_a_day(world: kit.World) -> None:
    world.policy = replace(kit.WIDE, device_hour=2, device_day=3)
    known = world.enrolled()
    for _ in range(2):
        ask(world, "door", "ann", known)
    with pytest.raises(TooManyRequests, match="hour") as caught:
        ask(world, "door", "ann", known)
    assert caught.value.retry_after == 3600
    ask(world, "gate", "ann", known)
    world.clock.at += 3600
    ask(world, "door", "ann", known)
    with pytest.raises(TooManyRequests, match="day"):
        ask(world, "door", "ann", known)
    world.clock.at += 24 * 3600 - 3600
    ask(world, "door", "ann", known)


def test_a_person_is_asked_about_so_often_whoever_asks(world: kit.World) -> None:
    world.policy = replace(kit.WIDE, subject_hour=2)
    ann, ben = world.enrolled("ann"), world.enrolled("ben")  # one of the two answers about each
    ask(world, "door", "ann", ann)
    with pytest.raises(TooManyRequests, match="person"):
        ask(world, "gate", "ann", ann)
    ask(world, "gate", "ben", ben)


def test_all_devices_together(world: kit.World) -> None:
    world.policy = replace(kit.WIDE, all_day=3)
    known = world.enrolled()
    for device in ("a", "b"):
        ask(world, device, "ann", known)
    with pytest.raises(TooManyRequests, match="all devices"):
        ask(world, "c", "ann", known)


def test_a_request_beyond_a_limit_waits(world: kit.World) -> None:
    world.policy = replace(kit.WIDE, device_hour=1)
    known, door = world.enrolled(), world.caller()
    first, second = world.announced(door), world.announced(door)
    world.authority.deliver(door, kit.score(first, known, 0.9).to_bytes())
    result = kit.score(second, known, 0.9).to_bytes()
    with pytest.raises(TooManyRequests):
        world.authority.deliver(door, result)
    world.clock.at += 3600
    assert world.authority.deliver(door, result).word is Word.MATCH


def test_a_clock_that_is_set_back_forgets_nothing(world: kit.World) -> None:
    world.policy = replace(kit.WIDE, device_hour=1)
    known = world.enrolled()
    ask(world, "door", "ann", known)
    world.clock.at -= 10 * 3600
    with pytest.raises(TooManyRequests):
        ask(world, "door", "ann", known)


def test_few_requests_wait_at_once(world: kit.World) -> None:
    world.policy = replace(kit.WIDE, waiting=2)
    door = world.caller()
    for _ in range(2):
        world.announced(door)
    with pytest.raises(TooManyRequests, match="wait"):
        world.announced(door)
    world.announced(world.caller("gate"))
    world.clock.at += 24 * 3600
    world.announced(door)


def test_two_callers_at_once_share_one_limit(world: kit.World) -> None:
    world.policy = replace(kit.WIDE, device_hour=5)
    known, door = world.enrolled(), world.caller()
    results = [kit.score(world.announced(door), known, 0.9).to_bytes() for _ in range(12)]
    authorities = [world.authority, world.authority]  # as two processes would be

    def deliver(number: int) -> bool:
        try:
            authorities[number % 2].deliver(door, results[number])
        except TooManyRequests:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(deliver, range(12))) == 5


def test_one_result_at_once_by_many(world: kit.World) -> None:
    """One count, one answer, one line in the log, whoever is first."""
    known, door = world.enrolled(), world.caller()
    result = kit.score(world.announced(door), known, 0.3).to_bytes()
    before, authorities = world.ledger.answers, [world.authority, world.authority]
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda n: authorities[n % 2].deliver(door, result), range(8)))
    assert {one.word for one in told} == {Word.UNCERTAIN}
    assert world.ledger.answers == before + 2
    events = [w.line.event for w in log.read(world.database) if w.line.request == told[0].request]
    assert events == ["announced", "opened", "answered"]


def test_a_key_has_so_many_answers(world: kit.World) -> None:
    """Four outcomes are worth two ternary coefficients; an enrolment has two, and is worth one."""
    world.ledger = MemoryLedger(4)
    known = world.enrolled()
    ask(world, "door", "ann", known)
    assert world.ledger.answers == 3
    with pytest.raises(OverQuota, match="make a new key"):
        ask(world, "door", "ann", known)


# --- alarms ---------------------------------------------------------------------------------------


def test_many_close_answers_are_an_alarm(world: kit.World) -> None:
    world.policy = replace(kit.WIDE, near_hour=3)
    known = world.enrolled()
    for cosine in (0.9, 0.05, 0.9):  # far from both thresholds
        ask(world, "door", "ann", known, cosine)
    assert all_alarms(world.database) == []
    for cosine in (0.43, 0.17):  # close to one
        ask(world, "door", "ann", known, cosine)
    assert all_alarms(world.database) == []
    assert ask(world, "door", "ann", known, 0.38) is Word.UNCERTAIN
    told = [(alarm.what, alarm.who) for alarm in all_alarms(world.database)]
    assert told == [("close answers to a device", "door"), ("close answers about a person", "ann")]
    ask(world, "door", "ann", known, 0.38)  # it is open already
    assert len(all_alarms(world.database)) == 2
    for alarm in all_alarms(world.database):
        close_alarm(world.database, alarm.number, world.clock())
    assert all_alarms(world.database) == []
    with pytest.raises(NotHere):
        close_alarm(world.database, 1, world.clock())


def test_refused_results_are_close_ones(world: kit.World) -> None:
    world.policy = replace(kit.WIDE, near_day=2, near_hour=100)
    known, door = world.enrolled(), world.caller()
    for _ in range(2):
        face = world.announced(door)
        world.authority.deliver(door, kit.score(face, known, 0.9, norm=900.0).to_bytes())
        world.clock.at += 7200
    assert len(all_alarms(world.database)) == 2


# --- who is told ----------------------------------------------------------------------------------


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


# --- galleries ------------------------------------------------------------------------------------


def test_a_search_is_answered_in_a_word(world: kit.World) -> None:
    searched, door = world.keep_gallery(), world.caller()
    stranger = -searched.templates.mean(axis=0)
    stranger /= (stranger @ stranger) ** 0.5 * 4
    for vector, subject, word in (
        (searched.templates[7], None, Word.MATCH),
        (searched.templates[7], "person-7", Word.MATCH),
        (searched.templates[7] * 0.3, None, Word.UNCERTAIN),
        (stranger, None, Word.UNKNOWN),
        (searched.templates[7], "nobody", Word.UNKNOWN),
    ):
        token, scores = searched.search(vector)
        world.authority.announce(door, Question(Kind.SEARCH, token, subject, "office"))
        told = world.authority.deliver(door, scores)
        assert told.word is word
        assert "subject" not in told.to_json()
        assert world.authority.deliver(door, scores) == told


def test_a_name_takes_a_scope_and_counts_for_more(world: kit.World) -> None:
    searched, door = world.keep_gallery(), world.caller()
    token, scores = searched.search(searched.templates[7])
    question = Question(Kind.SEARCH, token, None, "office", names=True)
    with pytest.raises(Forbidden):
        world.authority.announce(world.caller("door", {Scope.ASK}), question)
    world.authority.announce(door, question)
    told = world.authority.deliver(door, scores)
    assert told.found == "person-7"
    assert world.ledger.answers == 4  # 43 outcomes
    plain = world.caller("door", {Scope.ASK, Scope.DELIVER})
    assert world.authority.deliver(plain, scores).found is None
    with pytest.raises(Forbidden):
        world.authority.answer(plain, told.request)


def test_scores_of_another_state_of_the_gallery_are_refused(world: kit.World) -> None:
    searched, door = world.keep_gallery(), world.caller()
    token, scores = searched.search(searched.templates[7])
    world.authority.announce(door, Question(Kind.SEARCH, token, None, "office"))
    world.keep_gallery(dead=[7])
    with pytest.raises(StaleAnswer):
        world.authority.deliver(door, scores)
    other, _ = searched.search(searched.templates[7])
    with pytest.raises(NotHere):  # nobody announced this one
        world.authority.deliver(door, searched.crafted(other, 5))
    assert world.ledger.answers == 0
    world.keep_gallery()
    assert world.authority.deliver(door, scores).word is Word.MATCH
    with pytest.raises(OtherContent):
        world.authority.deliver(door, searched.crafted(token, 5))


def test_words_beyond_any_score_are_refused(world: kit.World) -> None:
    searched, door = world.keep_gallery(), world.caller()
    token, _ = searched.search(searched.templates[7])
    world.authority.announce(door, Question(Kind.SEARCH, token, None, "office"))
    told = world.authority.deliver(door, searched.crafted(token, 0x7FFF))
    assert told.word in (Word.REFUSED, Word.UNKNOWN)


def test_scores_of_other_blocks_are_refused(world: kit.World) -> None:
    searched, door = world.keep_gallery(), world.caller()
    other = replace(searched, place=replace(searched.place, digest="cd" * 32))
    token, scores = other.search(searched.templates[7])
    world.authority.announce(door, Question(Kind.SEARCH, token, None, "office"))
    with pytest.raises(AnswerMismatch):
        world.authority.deliver(door, scores)


# --- the log --------------------------------------------------------------------------------------


def test_the_log_is_a_chain(world: kit.World) -> None:
    known = world.enrolled()
    head = log.verify(world.database).head
    ask(world, "door", "ann", known)
    whole = log.verify(world.database, head)
    assert whole.lines == len(log.read(world.database)) == 6
    with pytest.raises(log.BrokenLog, match="made anew"):
        log.verify(world.database, "0" * 63 + "1")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE log SET word = 'match' WHERE number = 2",
        "UPDATE log SET at = at + 1 WHERE number = 1",
        "DELETE FROM log WHERE number = 2",
    ],
)
def test_a_changed_line_is_noticed(world: kit.World, change: str) -> None:
    world.enrolled()
    raw = world.database.engine.raw_connection()
    with pytest.raises(Exception, match="only added to"):
        raw.cursor().execute(change)
    for trigger in ("log_no_update", "log_no_delete"):
        raw.cursor().execute(f"DROP TRIGGER {trigger}")
    raw.cursor().execute(change)
    raw.close()
    with pytest.raises(log.BrokenLog):
        log.verify(world.database)


def test_who_asks_is_told_what_state_a_request_is_in(world: kit.World) -> None:
    door = world.caller()
    face = kit.token()
    request = world.authority.announce(door, Question(Kind.MATCH, face, "ann"))
    assert world.authority.answer(door, request.id).state is State.WAITING
    with pytest.raises(NotHere):
        world.authority.answer(world.caller("gate"), request.id)
    with pytest.raises(NotHere):
        world.authority.answer(door, "0" * 32)
