"""Writes what a service keeps in databases as SQL: ``python -m tests.service.freeze FOLDER``.

Run once for each schema that was released, by that release: tests/service/frozen/FOLDER is never
changed. `test_upgrade.py` opens them with today's program.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from fhe_face.service.audit import Deed, write_deed
from fhe_face.service.jobs.inline import work
from fhe_face.service.jobs.queue import open_queue
from fhe_face.service.rows import Room, Scope
from fhe_face.service.settings import Settings
from fhe_face.service.tokens import create_token
from fhe_face.store.rows import Refusal, Subject, Template
from tests.service import kit
from tests.service.jobs.engine import TinyEngines

#: Where each database is in a service's folder, but for the gallery's, whose folder has a new name.
FILES = {"service": "service.db", "jobs": "jobs.db", "gallery": "gallery.db"}


def fill(folder: Path) -> None:
    """A service with some of everything."""
    with kit.make(folder) as service:
        create_token(service.database, "anna", {Scope.ADMIN}, label="door")
        part, sent = kit.uploads(service), kit.files()
        kit.send(part, "anna", Room.GALLERY_KEYS, "ring", sent.gallery_keys)
        kit.send(part, "anna", Room.KEYS, "mine", sent.keys)
        for name in ("one", "two", "three"):
            kit.send(part, "anna", Room.FACES, name, sent.faces)
        part.begin("ben", Room.GALLERY_KEYS, "begun", sent.gallery_keys.front)
        write_deed(service.database, Deed("anna", "t", "PUT", "/v1/keys/mine", 201, "0" * 16))
        with closing(open_queue(service, Settings())) as queue:
            ask = partial(queue.submit, "anna", "embedding")
            ask({"faces": "one", "key": "mine"}, (Room.EMBEDDINGS, "done"))
            ask({"faces": "two", "key": "mine"}, (Room.EMBEDDINGS, "failed"))
            service.blobs.delete("anna", Room.FACES, "two")
            work(service, TinyEngines())
            ask({"faces": "three", "key": "mine"}, (Room.EMBEDDINGS, "waiting"))
        path = service.blobs.path("anna", Room.GALLERY_KEYS, "ring")
        key_id = sent.gallery_keys.header.key_id
        service.galleries.create("anna", "home", {"mode": "mean"}, b"sealed", path, key_id)
        with service.galleries.open("anna", "home") as store:
            store.add(
                [Subject("ann", b"name"), Subject("bob")],
                [Template(f"t{n}", "ann", f"photo{n}", b"record") for n in range(2)],
                [Refusal("photo9", b"why")],
            )


def dump(path: Path) -> str:
    """A database as SQL, with its version and mark."""
    with closing(sqlite3.connect(path)) as database:
        lines = list(database.iterdump())
        for pragma in ("application_id", "user_version"):
            (value,) = database.execute(f"PRAGMA {pragma}").fetchone()
            lines.append(f"PRAGMA {pragma} = {value};")
    return "\n".join(lines) + "\n"


def main(target: Path) -> None:
    target.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="freeze-") as work_:
        folder = Path(work_) / "data"
        fill(folder)
        for name, file in FILES.items():
            (found,) = folder.rglob(file)
            (target / f"{name}.sql").write_text(dump(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
