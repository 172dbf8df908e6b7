"""Any order of changes: the store holds what plain dictionaries hold."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fhe_face.store import NewBlock, Store, StoreError, Subject, Template
from tests.store.kit import content_of, record_of
from tests.store.model import Model
from tests.store.postgres import Postgres

SUBJECTS = [f"s{number}" for number in range(4)]
FACES = [f"t{number}" for number in range(8)]
subjects = st.sampled_from(SUBJECTS)
several_subjects = st.sets(subjects, min_size=1, max_size=3)
several_faces = st.sets(st.sampled_from(FACES), min_size=1, max_size=4)


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
        self.store.close()
        shutil.rmtree(self.folder)

    def known(self, ids: set[str], kind: str) -> bool:
        subjects = {*self.model.subjects, *self.model.merged}
        return ids <= (subjects if kind == "subject" else set(self.model.faces))

    @rule(subject=subjects, ids=several_faces)
    def add(self, subject: str, ids: set[str]) -> None:
        faces = [Template(id, subject, f"p{id}", record_of(id)) for id in sorted(ids)]
        before = set(self.model.faces)
        for id in sorted(ids):
            self.model.add(subject, id)
        added = self.store.add([Subject(subject)], faces)
        assert set(added.templates) == set(self.model.faces) - before

    @rule(ids=several_faces, deleted=st.booleans())
    def mark_templates(self, ids: set[str], deleted: bool) -> None:
        mark = self.store.delete_templates if deleted else self.store.undelete_templates
        if not self.known(ids, "template"):
            with pytest.raises(StoreError, match="nothing was changed"):
                mark(ids)
            return
        mark(ids)
        self.model.mark_faces(ids, deleted)

    @rule(ids=several_subjects, deleted=st.booleans())
    def mark_subjects(self, ids: set[str], deleted: bool) -> None:
        mark = self.store.delete_subjects if deleted else self.store.undelete_subjects
        if not self.known(ids, "subject"):
            with pytest.raises(StoreError, match="nothing was changed"):
                mark(ids)
            return
        mark(ids)
        self.model.mark_subjects(ids, deleted)

    @rule(ids=several_faces, subject=subjects)
    def move(self, ids: set[str], subject: str) -> None:
        home = self.model.home(subject)
        possible = self.known({subject}, "subject") and not self.model.subjects[home]
        if not (possible and self.known(ids, "template")):
            with pytest.raises(StoreError):
                self.store.move(ids, subject)
            return
        self.store.move(ids, subject)
        self.model.move(ids, subject)

    @rule(ids=several_subjects, into=subjects)
    def merge(self, ids: set[str], into: str) -> None:
        homes = {self.model.home(id) for id in {*ids, into}}
        if not self.known({*ids, into}, "subject") or any(self.model.subjects[h] for h in homes):
            with pytest.raises(StoreError):
                self.store.merge(ids, into)
            return
        self.store.merge(ids, into)
        self.model.merge(ids, into)

    @rule(data=st.data())
    def seal(self, data: Any) -> None:
        """Some blocks go, and a new one takes some of those who wait then."""
        blocks = [block.digest for block in self.store.blocks()]
        removed = data.draw(st.lists(st.sampled_from(blocks), unique=True)) if blocks else []
        owners = [e.owner for digest in removed for e in self.store.entries(digest)]
        self.model.placed -= {owner.id for owner in owners}
        owners += self.store.pending()
        owners = owners[: data.draw(st.integers(0, len(owners)))]
        version = self.store.version
        new = []
        if owners:
            new = [NewBlock(self.store.write_block(content_of(self.store, owners)), owners)]
        self.store.replace_blocks(version, removed, new)
        self.model.placed |= {owner.id for owner in owners}

    @rule(change=st.sampled_from(SUBJECTS))
    def stale(self, change: str) -> None:
        """A block of what was read before a change is refused, if it holds who was changed."""
        version, owners = self.store.version, list(self.store.pending())
        before = self.model.live_owners()
        with suppress(StoreError):
            self.store.delete_subjects([change])
            self.model.mark_subjects({change}, True)
        if owners and before != self.model.live_owners():
            digest = self.store.write_block(b"stale")
            lost = {owner.id for owner in owners} - self.model.live_owners()
            if lost:
                with pytest.raises(StoreError, match="has changed"):
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
        assert [f for f in self.store.check() if f.severity == "error"] == []


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
            max_examples=15 if database is None else 6,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
