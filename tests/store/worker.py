"""A process that changes a store in random ways until it is killed, and says what it does."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from fhe_face.store import NewBlock, Store, Subject, Template
from tests.store.kit import content_of, record_of
from tests.store.model import Model

_SUBJECTS = 12


class Worker:
    """Every change is announced before it begins, and acknowledged after it has ended."""

    def __init__(self, store: Store, seed: int, pipe: int) -> None:
        self.store = store
        self.random = random.Random(seed)
        self.pipe = pipe
        self.seed = seed
        self.count = 0

    def say(self, *words: Any) -> None:
        os.write(self.pipe, json.dumps(words).encode() + b"\n")

    def turn(self) -> None:
        """One change."""
        acts = (self.add, self.add, self.seal, self.seal, self.delete, self.undelete, self.purge)
        self.random.choice(acts)()

    def some(self, ids: list[str]) -> list[str]:
        return self.random.sample(ids, min(len(ids), self.random.randint(1, 3)))

    def add(self) -> None:
        subject = f"s{self.random.randrange(_SUBJECTS)}"
        ids = [f"{self.seed}-{self.count}-{n}" for n in range(self.random.randint(1, 30))]
        self.count += 1
        self.say("add", subject, ids)
        self.store.add([Subject(subject)], [Template(i, subject, i, record_of(i)) for i in ids])
        self.say("done")

    def delete(self) -> None:
        if self.random.random() < 0.5:
            ids = self.some([s.id for s in self.store.subjects()])
            self.say("mark_subjects", ids, True)
            self.store.delete_subjects(ids)
        else:
            ids = self.some([t.id for t in self.store.templates()])
            self.say("mark_faces", ids, True)
            self.store.delete_templates(ids)
        self.say("done")

    def undelete(self) -> None:
        ids = self.some([s.id for s in self.store.subjects(include_deleted=True)])
        self.say("mark_subjects", ids, False)
        self.store.undelete_subjects(ids)
        self.say("done")

    def seal(self) -> None:
        """The last block again, with all who wait, as a client does."""
        version, blocks = self.store.version, self.store.blocks()
        removed = [block.digest for block in blocks if block.count < 8 or block.live < 3]
        before = [e.owner for digest in removed for e in self.store.entries(digest)]
        owners = [*before, *self.store.pending()]
        content = content_of(self.store, owners)
        self.say("seal", [o.id for o in before], [o.id for o in owners])
        new = [NewBlock(self.store.write_block(content), owners)] if owners else []
        self.store.replace_blocks(version, removed, new)
        self.say("done")

    def purge(self) -> None:
        self.say("purge")
        self.store.purge()
        self.say("done")


def work(folder: Path, seed: int, pipe: Any) -> None:
    """Until killed."""
    with Store.open(folder) as store:
        worker = Worker(store, seed, pipe.fileno())
        while True:
            worker.turn()


def replay(model: Model, act: str, *arguments: Any) -> None:
    """The same change of the model."""
    if act == "add":
        for id in arguments[1]:
            model.add(arguments[0], id)
    elif act == "seal":
        model.placed -= set(arguments[0])
        model.placed |= set(arguments[1])
    elif act == "purge":
        model.purge()
    else:
        getattr(model, act)(set(arguments[0]), arguments[1])
