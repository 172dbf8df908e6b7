"""Searches of galleries: words, names, and what a server could send instead of scores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhe_core.matching import AnswerMismatch, StaleAnswer
from fhe_face.authority.requests import Question
from fhe_face.authority.words import Kind, Scope, Word
from fhe_face.service.errors import (
    Forbidden,
    NotHere,
    OtherContent,
)
from tests.authority import kit


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
