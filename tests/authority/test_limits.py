"""How many answers there are, who notices close ones, and what the log keeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fhe_face.authority import log, tables
from fhe_face.authority.alarms import all_alarms, close_alarm
from fhe_face.authority.policy import load_policy
from fhe_face.authority.requests import Question
from fhe_face.authority.words import Kind, State, Word
from fhe_face.client.ledger import MemoryLedger
from fhe_face.service.errors import (
    Invalid,
    NotHere,
    OverQuota,
    TooManyRequests,
)
from tests.authority import kit


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


@pytest.mark.parametrize("number", [-1, 0, 10**15])
def test_a_line_beside_the_chain_is_noticed(world: kit.World, number: int) -> None:
    """Adding is what the triggers allow."""
    world.enrolled()
    words = {name: "" for name in ("device", "token", "subject", "request", "word")}
    forged = {"number": number, "at": 0, "event": "answered", "hash": log.START, **words}
    with world.database.locked() as connection:
        connection.execute(tables.log.insert().values(**forged))
    with pytest.raises(log.BrokenLog):
        log.verify(world.database)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"request_hours": Infinity}', "request_hours must be at most 1,000,000"),
        ('{"request_hours": 1e300}', "request_hours must be at most 1,000,000"),
        ('{"request_hours": NaN}', "request_hours must be float, and not negative"),
        ("[" * 50_000, "is not JSON"),
    ],
)
def test_a_policy_that_no_request_could_follow_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "policy.json").write_text(text)
    with pytest.raises(Invalid, match=f"policy.json: .*{said}"):
        load_policy(tmp_path)


def test_who_asks_is_told_what_state_a_request_is_in(world: kit.World) -> None:
    door = world.caller()
    face = kit.token()
    request = world.authority.announce(door, Question(Kind.MATCH, face, "ann"))
    assert world.authority.answer(door, request.id).state is State.WAITING
    with pytest.raises(NotHere):
        world.authority.answer(world.caller("gate"), request.id)
    with pytest.raises(NotHere):
        world.authority.answer(door, "0" * 32)
