"""Whose job is next."""

from __future__ import annotations

from collections import Counter

from fhe_face.service.jobs.turns import Served, Turns, Waiting

ALICE, BOB, CAROL = (Waiting(name, name, n) for n, name in enumerate(("alice", "bob", "carol")))


def test_nothing_waits() -> None:
    assert Turns(60.0).choose([], ["alice"], 0.0) is None


def test_keys_in_memory_go_first_until_another_must_have_its_turn() -> None:
    turns = Turns(60.0)
    assert turns.choose([ALICE, BOB], [], 0.0) == ALICE
    later = Waiting("alice", "alice", 9)  # younger than bob's, and still first
    assert turns.choose([BOB, later], ["alice"], 30.0) == later
    assert turns.choose([BOB, later], ["alice"], 61.0) == BOB
    assert turns.choose([BOB, later], ["bob"], 100.0) == BOB
    assert turns.choose([BOB, later], ["bob"], 122.0) == later


def test_keys_in_memory_take_turns_at_once() -> None:
    turns = Turns(60.0)
    chosen = [turns.choose([ALICE, BOB], ["alice", "bob"], float(now)) for now in range(4)]
    assert chosen == [ALICE, BOB, ALICE, BOB]


def test_another_key_is_loaded_where_those_in_memory_have_no_job() -> None:
    turns = Turns(60.0)
    assert turns.choose([ALICE], [], 0.0) == ALICE
    assert turns.choose([BOB], ["alice"], 1.0) == BOB


def test_many_keys_of_one_tenant_are_one_tenant() -> None:
    """A tenant with a hundred keys has as many turns as one with one."""
    turns = Turns(10.0)
    waiting = [Waiting("many", f"k{n}", n) for n in range(100)] + [Waiting("one", "k", 1000)]
    served: Counter[str] = Counter()
    keys: Counter[str] = Counter()
    loaded: list[str] = []
    for now in range(0, 2000, 10):
        chosen = turns.choose(waiting, loaded, float(now))
        assert chosen is not None
        loaded = [chosen.key]
        served[chosen.tenant] += 1
        keys[chosen.key] += 1
    assert served == {"many": 100, "one": 100}
    assert len(keys) == 101


def test_nobody_starves() -> None:
    """Fifty tenants, room for the keys of three, all always with jobs."""
    turns = Turns(60.0)
    waiting = [Waiting(f"tenant{n}", f"k{n}", n) for n in range(50)]
    served: Counter[str] = Counter()
    loads, loaded = 0, [""] * 3
    for now in range(0, 50 * 60, 5):
        chosen = turns.choose(waiting, loaded, float(now))
        assert chosen is not None
        served[chosen.tenant] += 1
        if chosen.key not in loaded:
            loads += 1
        loaded = [*(key for key in loaded if key != chosen.key), chosen.key][-3:]
    assert len(served) == 50
    assert loads == 50  # one a minute


def test_memory_does_not_grow_for_ever() -> None:
    turns = Turns(0.0)
    for number in range(5000):
        turns.choose([Waiting(f"tenant{number}", "k", number)], [], float(number))
    assert len(turns._tenants) <= 1001
    assert len(turns._keys) <= 1001


def test_whoever_ended_the_process_before_is_not_next_again() -> None:
    waiting = [Waiting("alice", "k1", 1), Waiting("bob", "k2", 2), Waiting("carol", "k3", 3)]
    turns = Turns(60.0)
    turns.remember([Served("alice", "k1", 1.0), Served("bob", "k9", 5.0)], now=100.0)
    order = [turns.choose(waiting, ["k1", "k2", "k3"], 100.0 + n) for n in range(4)]
    assert [one.tenant for one in order if one] == ["carol", "bob", "alice", "carol"]
