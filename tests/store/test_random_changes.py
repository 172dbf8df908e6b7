"""Any order of changes: the store holds what plain dictionaries hold."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fhe_face.store import Conflict, NewBlock, Store, StoreError, Subject, Template
from tests.store.kit import content_of, record_of
from tests.store.model import Model
from tests.store.postgres import Postgres

SUBJECTS = [f"s{number}" for number in range(4)]
FACES = [f"t{number}" for number in range(8)]
UNKNOWN = "unknown"


class Changes(RuleBasedStateMachine):
    """Rules do the same to a store and to the model; what one refuses, the other does not have."""

    url: ClassVar[str | None] = None
    mode: ClassVar[str] = "mean"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp())
        self.store = Store.create(self.folder / "server", {"mode": self.mode}, b"", self.url)
        self.model = Model(self.mode)

    def teardown(self) -> None:
        assert [f for f in self.store.check() if f.severity == "error"] == []
        self.store.close()
        shutil.rmtree(self.folder)

    @initialize()
    def fill(self) -> None:
        """Everybody has something to lose."""
        for number, id in enumerate(FACES[:-2]):
            self.add(SUBJECTS[number % len(SUBJECTS)], {id})
        self.seal_all()

    @rule()
    def seal_all(self) -> None:
        self.replace([block.digest for block in self.store.blocks()], 0)

    def some(self, data: Any, kind: str) -> set[str]:
        """One to three that are known; rarely one that is not."""
        subjects = [*self.model.subjects, *self.model.merged]
        known = subjects if kind == "subject" else list(self.model.faces)
        return set(data.draw(st.lists(st.sampled_from([*known, UNKNOWN]), min_size=1, max_size=3)))

    @rule(subject=st.sampled_from(SUBJECTS), ids=st.sets(st.sampled_from(FACES), min_size=1))
    def add(self, subject: str, ids: set[str]) -> None:
        faces = [Template(id, subject, f"p{id}", record_of(id)) for id in sorted(ids)]
        before = set(self.model.faces)
        for id in sorted(ids):
            self.model.add(subject, id)
        added = self.store.add([Subject(subject)], faces)
        assert set(added.templates) == set(self.model.faces) - before

    @rule(data=st.data(), deleted=st.booleans())
    def mark_templates(self, data: Any, deleted: bool) -> None:
        ids = self.some(data, "template")
        mark = self.store.delete_templates if deleted else self.store.undelete_templates
        if self.is_done(lambda: mark(ids), UNKNOWN not in ids):
            self.model.mark_faces(ids, deleted)

    @rule(data=st.data(), deleted=st.booleans())
    def mark_subjects(self, data: Any, deleted: bool) -> None:
        ids = self.some(data, "subject")
        mark = self.store.delete_subjects if deleted else self.store.undelete_subjects
        if self.is_done(lambda: mark(ids), UNKNOWN not in ids):
            self.model.mark_subjects(ids, deleted)

    @rule(data=st.data())
    def move(self, data: Any) -> None:
        ids, subject = self.some(data, "template"), min(self.some(data, "subject"))
        possible = not self.model.subjects.get(self.model.home(subject), True)
        if self.is_done(lambda: self.store.move(ids, subject), possible and UNKNOWN not in ids):
            self.model.move(ids, subject)

    @rule(data=st.data())
    def merge(self, data: Any) -> None:
        ids = self.some(data, "subject")
        into = min(ids)
        possible = not any(self.model.subjects.get(self.model.home(id), True) for id in ids)
        if self.is_done(lambda: self.store.merge(ids, into), possible):
            self.model.merge(ids, into)

    def is_done(self, change: Callable[[], object], possible: bool) -> bool:
        """Whether the store did what is possible; it must refuse everything else."""
        if possible:
            change()
        else:
            with pytest.raises(StoreError):
                change()
        return possible

    @rule(data=st.data())
    def seal(self, data: Any) -> None:
        """Some blocks go, and a new one takes those who wait then, or some of them."""
        blocks = [block.digest for block in self.store.blocks()]
        removed = data.draw(st.lists(st.sampled_from(blocks), unique=True)) if blocks else []
        self.replace(removed, data.draw(st.integers(0, 2)))

    def replace(self, removed: list[str], left: int) -> None:
        version = self.store.version
        owners = [e.owner for digest in removed for e in self.store.entries(digest)]
        self.model.placed -= {owner.id for owner in owners}
        owners += self.store.pending()
        owners = owners[left:]
        new = []
        if owners:
            new = [NewBlock(self.store.write_block(content_of(self.store, owners)), owners)]
        self.store.replace_blocks(version, removed, new)
        self.model.placed |= {owner.id for owner in owners}

    @rule(data=st.data())
    def stale(self, data: Any) -> None:
        """A block of what was read before a change is refused, if it holds who was changed."""
        version, owners = self.store.version, list(self.store.pending())
        self.mark_templates(data, True)
        lost = {owner.id for owner in owners} - self.model.live_owners()
        if lost:
            digest = self.store.write_block(os.urandom(8))
            with pytest.raises(Conflict, match="has changed"):
                self.store.replace_blocks(version, [], [NewBlock(digest, owners)])

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = Store.open(self.folder / "server")

    @precondition(lambda self: any(self.model.subjects.values()))
    @rule()
    def purge(self) -> None:
        self.store.purge()
        self.model.purge()

    @invariant()
    def agrees(self) -> None:
        self.model.agrees_with(self.store)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """One database for all runs: every store has a schema of its own."""
    if request.param == "sqlite":
        yield None
        return
    server: Postgres = request.getfixturevalue("postgres")
    yield server.new_database()


@pytest.mark.parametrize("mode", ["mean", "each"])
def test_any_order_of_changes(database: str | None, mode: str) -> None:
    machine = type("Machine", (Changes,), {"url": database, "mode": mode})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20 if database is None else 5,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
