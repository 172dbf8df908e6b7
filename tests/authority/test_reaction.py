"""The attack of tests/core/reaction.py, mounted on an authority: it gets no key.

Against a client that believes a result's shape, five files are the whole secret. Here a file of
that shape is refused, and a file of the right shape gives one word for each request that a device
has announced, however many files there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fhe_core.errors import Failure
from fhe_core.formats.ciphertexts import Bundle, head_of
from fhe_face.authority.words import Word
from fhe_face.client.ledger import MemoryLedger
from tests.authority import kit
from tests.core import tiny
from tests.core.reaction import Attack, believing_client

#: Results that the attacker writes for every request.
TRIES = 6


def attack_on(honest: Bundle) -> Attack:
    """What the attacker knows: what a result looks like."""
    items = head_of(honest).items
    parameters, facts = honest.parameters, honest.facts
    return Attack(parameters, honest.key_id, tiny.ROOT, facts, items, kit.NORM)


def test_the_attack_works_on_a_client_that_believes() -> None:
    """Without this test, nobody would know whether the others test anything."""
    attack = attack_on(kit.score(kit.token(), kit.token(), 0.1))
    guess = attack.run(believing_client(kit.key(), tiny.ROOT))
    assert np.array_equal(guess, kit.key().secret_coefficients())


def test_an_authority_does_not_believe_a_shape(world: kit.World) -> None:
    known, door = world.enrolled(), world.caller()
    attack = attack_on(kit.score(world.announced(door), known, 0.1))
    answered: list[Word | None] = []
    before = world.ledger.answers

    def oracle(bundle: Bundle) -> Sequence[bool | None]:
        try:
            answered.append(world.authority.deliver(door, bundle.to_bytes()).word)
        except Failure:
            return [None] * bundle.parameters.slots
        raise AssertionError

    guess = attack.run(oracle)
    assert answered == []
    assert world.ledger.answers == before
    assert not np.array_equal(guess, kit.key().secret_coefficients())


def crafted(attack: Attack, face: str, known: str, slot_value: float) -> Bundle:
    """A file of the right shape, whose decision compares a number of the secret with a value."""
    chosen = np.full(attack.parameters.slots, slot_value)
    bundle = attack.craft(chosen, 1e-4)
    facts = {**bundle.facts, "runs": [["alone", 1]], "requests": [face, known]}
    length = kit.engine().architecture.embedding
    return replace(bundle, facts={**facts, "embedding": length})


@pytest.mark.parametrize("limit", [3, 100])
def test_answers_are_bounded_by_requests_and_limits(world: kit.World, limit: int) -> None:
    """36 files that are all right in shape: as many words as there are requests, or fewer."""
    world.policy = replace(kit.WIDE, device_day=limit)
    known, door = world.enrolled(), world.caller()
    faces = [world.announced(door) for _ in range(6)]
    attack = attack_on(kit.score(faces[0], known, 0.1))
    words: dict[str, set[Word | None]] = {face: set() for face in faces}
    for number in range(TRIES):
        for face in faces:
            data = crafted(attack, face, known, number - TRIES / 2).to_bytes()
            try:
                words[face].add(world.authority.deliver(door, data).word)
            except Failure:
                continue
    assert all(len(said) <= 1 for said in words.values())
    answered = sum(len(said) for said in words.values())
    assert answered == min(limit, len(faces))


def test_the_keys_life_is_bounded_whatever_limits_say(world: kit.World) -> None:
    world.ledger = MemoryLedger(7, lambda _text: None)  # one enrolment, and three answers
    known, door = world.enrolled(), world.caller()
    attack = attack_on(kit.score(known, known, 0.1))
    answered = 0
    for number in range(8):
        face = world.announced(door)
        try:
            data = crafted(attack, face, known, number).to_bytes()
            answered += world.authority.deliver(door, data).word is not None
        except Failure:
            continue
    assert answered == 3
    assert world.ledger.answers == 7
