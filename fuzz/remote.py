"""Targets: whatever a server on the network may answer, and the client's own small files.

Its sealed scores are the target `scores`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import httpx

from fhe_core.errors import Failure
from fhe_face.gallery.folders import REMOTE
from fhe_face.models.faces import Preparation
from fhe_face.remote import jobs
from fhe_face.remote.backoff import Backoff
from fhe_face.remote.connection import Connection
from fhe_face.remote.following import Following
from fhe_face.remote.login import Profile, about
from fhe_face.remote.place import Place
from fhe_face.remote.resources import Room, every, find
from fhe_face.remote.store import RemoteStore
from fhe_face.remote.waiting import wait
from fhe_face.remote.witness import NAME as WITNESS
from fhe_face.remote.witness import Witness
from fhe_face.store import Replacement, Subject, Template
from fuzz.mutators import either, mutate_bytes, mutate_json
from fuzz.target import MAX_TEXT, FuzzFindingError, Target

_DIGEST = "ab" * 32
_TOKEN = "fhe_" + "t" * 43
_STATUSES = (200, 404, 409, 429, 500, 200)
#: Of these the last one: a stream of events.
_EVENTS = 5
#: Of a stream of events; a client's clock never comes so far.
_SOON, _MOST_STATES = 1e12, 8


@dataclass
class _Says:
    """A server that gives one answer to everything, at once."""

    body: bytes = b""
    status: int = 200
    kind: str = "application/json"
    asked: int = field(default=0)

    def connection(self) -> Connection:
        """To it; nothing is tried twice, and nothing waits."""
        transport = httpx.MockTransport(self._answer)
        once = Backoff(attempts=1)
        return Connection(
            "https://server.test", _TOKEN, backoff=once, transport=transport, sleep=_never
        )

    def _answer(self, _request: httpx.Request) -> httpx.Response:
        self.asked += 1
        stream = httpx.ByteStream(self.body)
        return httpx.Response(self.status, headers={"content-type": self.kind}, stream=stream)


def _never(_seconds: float) -> None:
    raise AssertionError("the client waits")


def _pass(_seconds: float) -> None:
    """Waiting takes no time."""


def _readers(connection: Connection) -> list[Callable[[], object]]:
    """Everything that reads an answer."""
    store = RemoteStore(connection, "g", 1 << 20, 64)
    add = [Subject("s")], [Template("t", "s", None, b"r")]
    job = jobs.Job("j", "embedding", jobs.State.QUEUED, 1, 0, 0, "", None, "", "", None)
    return [
        lambda: about(connection),
        lambda: jobs.find(connection, "j"),
        lambda: list(jobs.every(connection)),
        lambda: wait(connection, job, patience=0.0),
        lambda: list(islice(Following(connection, _SOON, _pass).states(job), _MOST_STATES)),
        lambda: find(connection, Room.KEYS, "k"),
        lambda: list(every(connection, Room.FACES)),
        store.state,
        store.counts,
        lambda: store.facts,
        lambda: store.settings,
        lambda: store.add(*add),
        lambda: store.subject("ab" * 16),
        lambda: list(store.subjects(True)),
        lambda: list(store.templates()),
        lambda: list(store.held()),
        lambda: list(store.templates_of(["s"])),
        store.refusals,
        store.merged,
        lambda: store.replaced(1, Replacement([], [], [], [], b"s", {}, [])),
        lambda: list(store.pending()),
        store.blocks,
        lambda: store.entries(_DIGEST),
        lambda: store.read_block(_DIGEST),
        lambda: store.delete_subjects(["s"]),
        lambda: store.replace_blocks(1),
        store.purge,
    ]


def remote_answers_target(_folder: Path) -> Target:
    """The first byte says which status the answer has."""
    says = _Says()
    connection = says.connection()

    def parse(data: bytes) -> None:
        chosen = data[0] % len(_STATUSES) if data else 0
        says.status = _STATUSES[chosen]
        says.body = data[1:]
        says.kind = "application/json" if says.status == 200 else "application/problem+json"
        if chosen == _EVENTS:
            says.kind = "text/event-stream"
        failures: list[Failure] = []
        readers = _readers(connection)
        for reader in readers:
            try:
                reader()
            except Failure as error:
                text = str(error)
                if not text.isprintable() or len(text) > MAX_TEXT:
                    raise FuzzFindingError(f"says {text[:200]!r}") from error
                failures.append(error)
        if len(failures) == len(readers):
            raise failures[0]

    return Target(
        "remote-answers", parse, (Failure,), _answers(), either(mutate_bytes, mutate_answer)
    )


def mutate_answer(data: bytes, draw: random.Random) -> bytes:
    """The JSON behind the status; of a list, one of its lines."""
    lines = data[1:].splitlines() or [b""]
    chosen = draw.randrange(len(lines))
    lines[chosen] = mutate_json(lines[chosen], draw)
    return data[:1] + b"\n".join(lines) + b"\n"


def _answers() -> list[bytes]:
    job = {
        "id": "j", "kind": "embedding", "state": "done", "position": None, "eta_seconds": 1.5,
        "progress": {"done": 1, "total": 9, "stage": "s"}, "error": None,
        "result": {"room": "embeddings", "id": "r", "location": "/v1"},
    }  # fmt: skip
    file = {
        "id": "k", "room": "keys", "state": "partial", "kind": "evaluation-keys", "key_id": "ab",
        "digest": _DIGEST, "bytes": 9, "missing": [{"section": "a", "digest": _DIGEST, "bytes": 4}],
    }  # fmt: skip
    counts = {
        "subjects": 1, "templates": 2, "deleted_subjects": 0, "deleted_templates": 0, "pending": 0,
        "entries": 1, "blocks": 1, "refusals": 0,
    }  # fmt: skip
    subject = {"id": "s", "name": "QUJD", "templates": 2, "deleted": False}
    template = {"id": "t", "subject": "s", "source": "p", "record": "QUJD", "deleted": False}
    documents: list[object] = [
        {
            "api": "v1", "version": "1", "tenant": "t", "scopes": ["keys"], "circuits": [],
            "gallery": {"parameters": _DIGEST}, "quota": {"bytes": 5, "bytes_used": None},
        },
        job,
        {"items": [job], "next": None},
        {**job, "state": "failed", "error": {"code": "memory", "title": "t", "detail": "d"}},
        file,
        {"items": [{**file, "room": "faces", "missing": None}], "next": None},
        {"version": 1, "changes": 2, "settings": "QUJD", "facts": {"mode": "mean"}},
        counts,
        {"subjects": ["s"], "templates": ["t"], "withheld": []},
        {"subjects": 1, "templates": 0, "files": 2, "unsealed": [_DIGEST]},
        {"items": [[0, "s", 1], [2, "u", 5]]},
        {"items": [{"digest": _DIGEST, "number": 1, "count": 2, "live": 1}], "version": 3},
        subject,
    ]  # fmt: skip
    lists: list[list[object]] = [
        [subject, {"end": 1}],
        [template, template, {"end": 2}],
        [{**template, "sha256": _DIGEST}, {"end": 1}],
        [{"owner": "s", "templates": [template]}, {"end": 1}],
        [{"source": "p", "reason": "QUJD"}, {"end": 1}],
        [{"id": "s", "revision": 3}, {"end": 1}],
        [{"id": "s", "into": "u"}, {"end": 1}],
    ]
    lines = ["".join(f"{json.dumps(one)}\n" for one in values) for values in lists]
    seeds = [b"\0" + json.dumps(one).encode() for one in documents]
    problem = {"title": "t", "status": 409, "detail": "d", "code": "conflict"}
    refused = [bytes([n]) + json.dumps(problem).encode() for n in range(1, _EVENTS)]
    events = "".join(
        f"event: job\ndata: {json.dumps({**job, 'state': state})}\n\n: still there\n\n"
        for state in ("queued", "running", "done")
    )
    streams = [bytes([_EVENTS]) + text.encode() for text in (events, events[:-20], ": a\n")]
    return [*seeds, *(b"\0" + text.encode() for text in lines), *refused, *streams]


def remote_files_target(folder: Path) -> Target:
    """Profile, remote.json and witness; each reads everything."""
    profile = Profile("https://server.test", _TOKEN, "/ca.pem").to_bytes()
    facts = {
        "gallery": "ab" * 16, "parameters": _DIGEST, "key_id": "cd" * 16, "model": _DIGEST,
        "preparation": Preparation.aligned(64, "0" * 64).describe(), "mode": "mean",
        "names": True, "version": 1,
    }  # fmt: skip
    place = {
        "version": 1, "url": "https://server.test", "profile": "default", "gallery": "g",
        "facts": facts,
    }  # fmt: skip
    listing = {"people": {"s": ["ab", False]}, "faces": {"t": ["s", "cd", None]}, "merged": {}}
    witness = {
        "version": 1, "gallery": "g", "state": [1, 2], "settings": "ab", "settings_version": 1,
        "listing": listing, "listing_changes": 2,
    }  # fmt: skip
    seeds = [profile, json.dumps(place).encode(), json.dumps(witness).encode()]

    def parse(data: bytes) -> None:
        (folder / REMOTE).write_bytes(data)
        (folder / WITNESS).write_bytes(data)
        failures: list[Failure] = []
        for read in (
            lambda: Profile.from_bytes(data, "profile"),
            lambda: Place.load(folder),
            lambda: Witness.load(folder, "g"),
        ):
            try:
                read()
            except Failure as error:
                failures.append(error)
        if len(failures) == 3:
            raise failures[0]

    return Target("remote-files", parse, (Failure,), seeds, either(mutate_bytes, mutate_json))
