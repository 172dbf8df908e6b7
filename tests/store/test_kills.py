"""A writer is killed at random moments: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import copy
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from fhe_face.store import Store
from tests.store.conftest import Make
from tests.store.kit import record_of
from tests.store.model import Model
from tests.store.worker import replay, work

#: Together 100, half of them on each database.
DONE = b'["done"]\n'
KILLS = [pytest.param(4, id="4 kills"), pytest.param(46, id="46 kills", marks=pytest.mark.slow)]


def said(folder: Path, seed: int, turns: int, moment: float) -> list[list[object]]:
    """What a writer said until it was killed, so many seconds after so many changes."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.store.worker", "fhe_face.store.store"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(folder, seed, theirs))
    process.start()
    theirs.close()
    with ours:
        heard = b""
        while heard.count(DONE) < turns:
            piece = os.read(ours.fileno(), 1 << 16)
            assert piece, "the writer ended by itself"
            heard += piece
        time.sleep(moment)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        heard += b"".join(iter(lambda: os.read(ours.fileno(), 1 << 16), b""))
    return [json.loads(line) for line in heard.splitlines(keepends=True) if line.endswith(b"\n")]


def outcomes(model: Model, lines: list[list[object]]) -> Iterator[Model]:
    """What may be there: all that was acknowledged, and perhaps what was being done."""
    begun: list[object] | None = None
    for line in lines:
        if line == ["done"]:
            assert begun is not None
            replay(model, *begun)  # type: ignore[arg-type]
            begun = None
        else:
            begun = line
    yield model
    if begun is not None:
        after = copy.deepcopy(model)
        replay(after, *begun)  # type: ignore[arg-type]
        yield after


def agreeing(store: Store, models: Iterator[Model]) -> Model:
    """The outcome that is there."""
    failures = []
    for model in models:
        try:
            model.agrees_with(store)
        except AssertionError as error:
            failures.append(error)
        else:
            return model
    raise failures[0]


def blocks_are_of_their_owners(store: Store) -> None:
    """The index is the matrix: each position holds what its owner has."""
    for block in store.blocks():
        positions = store.read_block(block.digest)[8:].split(b"\n")
        assert len(positions) == block.count
        for position, (id, _) in store.entries(block.digest):
            [(_, templates)] = store.templates_of([id])
            assert positions[position] == b"+".join(record_of(t.id) for t in templates)


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("mode", ["mean", "each"])
def test_a_killed_writer_loses_and_doubles_nothing(make: Make, mode: str, kills: int) -> None:
    store = make(mode)
    store.close()
    model = Model(mode)
    moments = random.Random(kills)
    acknowledged = 0
    for seed in range(kills // 2):
        lines = said(store.folder, seed, moments.randint(0, 5), moments.uniform(0, 0.03))
        acknowledged += lines.count(["done"])
        with Store.open(store.folder) as opened:
            opened.add()  # waits until the database has ended what the killed one began
            model = agreeing(opened, outcomes(model, lines))
            assert [f for f in opened.check() if f.severity == "error"] == []
            blocks_are_of_their_owners(opened)
            opened.sweep(older_than=0)
            assert opened.check() == []
    assert acknowledged >= kills / 2
