"""The count of a key's answers: never lost, never passed, never reset silently."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fhe_core.formats.ciphertexts import load_bundle
from fhe_face.client.ledger import (
    AnswerLimitError,
    FileLedger,
    Ledger,
    LedgerError,
    MemoryLedger,
    beside,
    result_digest,
    warn_in_python,
)
from tests.face.kit import Kit

KEY = "ab" * 16


def quiet(_text: str) -> None:
    """No warnings."""


def make(folder: Path, limit: int = 10, key: str = KEY) -> FileLedger:
    ledger = FileLedger(folder / "client.ledger", key, limit, quiet)
    ledger.create()
    return ledger


@pytest.fixture(params=["memory", "file"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryLedger | FileLedger:
    return MemoryLedger(10, quiet) if request.param == "memory" else make(tmp_path)


def test_answers_add_up_to_the_limit(ledger: MemoryLedger | FileLedger) -> None:
    for number in range(3):
        ledger.spend(bytes([number]), 3)
    assert ledger.answers == 9
    with pytest.raises(
        AnswerLimitError, match=r"given 9 answers, 2 more would pass .* of 10: make"
    ):
        ledger.spend(b"next", 2)
    assert ledger.answers == 9  # nothing was counted
    ledger.spend(b"last", 1)
    with pytest.raises(AnswerLimitError, match="--answer-limit"):
        ledger.spend(b"one more", 1)


def test_the_same_result_is_free(ledger: MemoryLedger | FileLedger) -> None:
    for _ in range(5):
        ledger.spend(b"a", 10)
    assert ledger.answers == 10


def test_a_result_is_counted_for_all_that_was_read_of_it(
    ledger: MemoryLedger | FileLedger,
) -> None:
    ledger.spend(b"a", 2)
    ledger.spend(b"a", 5)
    ledger.spend(b"a", 1)
    assert ledger.answers == 5


@pytest.mark.parametrize("limit", [0, -1])
def test_impossible_limits(limit: int, tmp_path: Path) -> None:
    with pytest.raises(AnswerLimitError, match="at least 1"):
        MemoryLedger(limit)
    with pytest.raises(AnswerLimitError, match="at least 1"):
        FileLedger(tmp_path / "x.ledger", KEY, limit)


def test_a_warning_from_four_fifths_on(tmp_path: Path) -> None:
    said: list[str] = []
    file = FileLedger(tmp_path / "client.ledger", KEY, 10, said.append)
    file.create()
    for ledger in (MemoryLedger(10, said.append), file):
        said.clear()
        ledger.spend(b"a", 7)
        assert not said
        ledger.spend(b"b", 1)
        ledger.spend(b"b", 1)  # free
        assert len(said) == 1
        assert "8 of the 10" in said[0]
    with pytest.warns(UserWarning, match="text"):
        warn_in_python("text")


def test_the_file_is_private_and_survives(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make(tmp_path).spend(b"a", 4)
    finally:
        os.umask(before)
    path = tmp_path / "client.ledger"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["client.ledger"]
    make(tmp_path)  # create leaves one that is there
    assert make(tmp_path).answers == 4
    assert b"secret" not in path.read_bytes()


def test_keys_are_counted_apart(tmp_path: Path) -> None:
    make(tmp_path).spend(b"a", 10)
    other = make(tmp_path, key="cd" * 16)
    assert other.answers == 0
    other.spend(b"a", 10)
    assert make(tmp_path).answers == 10


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    ledger = FileLedger(tmp_path / "client.ledger", KEY, 10, said.append)
    assert ledger.answers == 0
    ledger.spend(b"a", 1)
    assert len(said) == 1
    assert "client.ledger is missing: answers of this key are counted from zero" in said[0]
    assert ledger.answers == 1


def of_another_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 2")


def without_a_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE answers")
        database.commit()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(b"not a database" * 100),
        lambda p: p.write_bytes(p.read_bytes()[:5000]),
        lambda p: (p.unlink(), p.symlink_to("nowhere")),
        of_another_version,
        without_a_table,
        a_folder,
    ],
)
def test_an_unusable_file_is_one_error(damage: Callable[[Path], object], tmp_path: Path) -> None:
    ledger = make(tmp_path)
    ledger.spend(b"a", 9)
    damage(ledger.path)
    for use in (lambda: ledger.spend(b"b", 1), lambda: ledger.answers):
        with pytest.raises(LedgerError, match=r"client\.ledger: cannot be used to count") as caught:
            use()
        assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path / "none" / "client.ledger", KEY, 10, quiet)
    with pytest.raises(LedgerError, match="no such file or folder"):
        ledger.spend(b"a", 1)


def test_many_at_once(tmp_path: Path) -> None:
    make(tmp_path, 12)

    def spend(number: int) -> bool:
        try:
            make(tmp_path, 12).spend(bytes([number]), 1)
        except AnswerLimitError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(spend, range(40))) == 12
    assert make(tmp_path).answers == 12


def test_beside_a_key_and_its_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    key = tmp_path / "real" / "client.key"
    key.write_bytes(b"")
    link = tmp_path / "link.key"
    link.symlink_to(key)
    assert beside(key, KEY).path == beside(link, KEY).path == key.with_suffix(".ledger").resolve()


def test_digests_tell_results_apart(kit: Kit) -> None:
    score = load_bundle(kit.score_ct)
    name, item = next(iter(score.items.items()))
    changed = item.residues.copy()
    changed[0, 0, 0] ^= 1
    others = [
        replace(score, what="embedding"),
        replace(score, items={**score.items, name: replace(item, residues=changed)}),
        replace(score, items={**score.items, name: replace(item, scale=2.0)}),
        replace(score, items=dict(list(score.items.items())[::-1])),
    ]
    digests = {result_digest(bundle) for bundle in (score, *others)}
    assert len(digests) == 5
    # What does not change the answer does not make it a new one: requests, weights.
    assert result_digest(replace(score, facts={})) == result_digest(score)


def test_both_are_ledgers(tmp_path: Path) -> None:
    ledgers: list[Ledger] = [MemoryLedger(), make(tmp_path)]
    assert len(ledgers) == 2
