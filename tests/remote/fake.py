"""A server of v1 in this process, small enough to read: what the client's tests talk to.

It keeps what it is sent as it came, in order, so that tests can look for what must not be there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fhe_core import container
from fhe_core.container.header import PREAMBLE, Limits, parse_header
from fhe_core.formats.ciphertexts import load_bundle
from fhe_core.formats.matching import probe_from_bytes, to_bytes
from fhe_core.matching import MatchParameters
from fhe_face.keyfile import EVALUATION_KEY
from fhe_face.remote.backoff import Backoff
from fhe_face.remote.connection import Connection
from fhe_face.server.searching import SearchServer
from fhe_face.server.server import FaceServer
from fhe_face.store import (
    Conflict,
    NewBlock,
    NotStored,
    Owner,
    Refusal,
    Store,
    StoreError,
    Subject,
    Template,
)

TOKEN = "fhe_" + "t" * 43
#: Any name that is resolved by nobody.
URL = "https://server.test"

Hook = Callable[[httpx.Request], httpx.Response | None]


class Problem(Exception):
    """Becomes problem+json."""

    def __init__(self, status: int, code: str, detail: str = "", **headers: str) -> None:
        super().__init__(detail)
        self.response = problem(status, code, detail, headers)


def problem(
    status: int, code: str, detail: str = "", headers: Mapping[str, str] | None = None
) -> httpx.Response:
    document = {"type": f"urn:fhe-face:{code}", "title": code, "detail": detail or code}
    document |= {"status": status, "code": code}  # type: ignore[dict-item]
    kind = {"content-type": "application/problem+json", **(headers or {})}
    return httpx.Response(status, headers=kind, content=json.dumps(document).encode())


def answered(document: object, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=document, headers=headers)


@dataclass
class Kept:
    """A file that comes by section."""

    front: bytes
    header: container.Header
    sections: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, front: bytes) -> Kept:
        _, _, kind, length = PREAMBLE.unpack(front[: PREAMBLE.size])
        document = json.loads(front[PREAMBLE.size : PREAMBLE.size + length])
        start = container.header.payload_start(length)
        total = start + max((s["offset"] + s["length"] for s in document["sections"]), default=0)
        encoded = front[PREAMBLE.size : PREAMBLE.size + length]
        header = parse_header(encoded, container.Kind(kind), "<sent>", total, Limits())
        return cls(front, header)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.front).hexdigest()

    @property
    def missing(self) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for one in self.header.sections:
            if one.digest not in self.sections:
                found[one.digest] = {"section": one.name, "digest": one.digest, "bytes": one.length}
        return list(found.values())

    def content(self) -> bytes:
        data = bytearray(self.header.total_bytes)
        data[: len(self.front)] = self.front
        for one in self.header.sections:
            start = self.header.payload_offset + one.offset
            data[start : start + one.length] = self.sections[one.digest]
        return bytes(data)

    def describe(self, room: str, id: str, missing: bool = True) -> dict[str, Any]:
        found: dict[str, Any] = {
            "id": id, "room": room, "state": "partial" if self.missing else "complete",
            "kind": self.header.kind.label, "key_id": self.header.key_id, "digest": self.digest,
            "bytes": self.header.total_bytes, "created": 1, "facts": {},
        }  # fmt: skip
        return found | ({"missing": self.missing} if missing else {})


@dataclass
class Fake:
    """One tenant. before: hooks that may answer in place of the server; calls: what was asked."""

    folder: Path
    engine: FaceServer | None = None
    parameters: MatchParameters | None = None
    files: dict[tuple[str, str], Kept] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    stores: dict[str, Store] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    before: list[Hook] = field(default_factory=list)
    #: How often a job is asked for before it is done.
    slow: int = 1

    def connect(self, token: str = TOKEN, attempts: int = 6) -> Connection:
        """A client's connection; its waits are written down, and take no time."""
        return Connection(
            URL,
            token,
            backoff=Backoff(attempts),
            transport=httpx.MockTransport(self.handle),
            sleep=self.waits.append,
        )

    def handle(self, request: httpx.Request) -> httpx.Response:
        answer = self._answer(request)
        if not answer.is_stream_consumed:
            return answer
        stream = httpx.ByteStream(answer.content)  # as it comes from a network
        return httpx.Response(answer.status_code, headers=answer.headers, stream=stream)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        self.calls.append(f"{request.method} {path}")
        for hook in self.before:
            answer = hook(request)
            if answer is not None:
                return answer
        body = request.read()
        self.received.append(body)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return problem(401, "unauthorized")
        try:
            return self._routed(request, path, body)
        except Problem as error:
            return error.response
        except NotStored as error:
            return problem(404, "not-stored", str(error))
        except Conflict as error:
            return problem(409, "conflict", str(error))
        except StoreError as error:
            return problem(409, "store", str(error))
        except container.ContainerError as error:
            return problem(422, error.code, str(error))

    def _routed(self, request: httpx.Request, path: str, body: bytes) -> httpx.Response:
        for pattern, method in _ROUTES:
            found = re.fullmatch(pattern, f"{request.method} {path}")
            if found:
                answer: httpx.Response = getattr(self, method)(request, body, *found.groups())
                return answer
        raise Problem(404, "not-here")

    # --- files and jobs ---------------------------------------------------------------------------

    def about(self, _request: httpx.Request, _body: bytes) -> httpx.Response:
        digest = self.parameters.digest if self.parameters else "0" * 64
        return answered(
            {
                "name": "fake", "version": "0", "api": "v1", "tenant": "t",
                "scopes": ["keys", "embed", "enrol", "search", "read"], "circuits": [],
                "gallery": {"parameters": digest, "name": "g"}, "limits": {},
                "quota": {"bytes": 1 << 40, "bytes_used": 5},
            }
        )  # fmt: skip

    def put(self, _request: httpx.Request, body: bytes, room: str, id: str) -> httpx.Response:
        new = Kept.of(body)
        old = self.files.setdefault((room, id), new)
        if old.digest != new.digest:
            raise Problem(409, "conflict", "another file has this name")
        return answered(old.describe(room, id), 201 if old is new else 200)

    def kept(self, room: str, id: str) -> Kept:
        if (room, id) not in self.files:
            raise Problem(404, "not-here")
        return self.files[room, id]

    def section(
        self, _request: httpx.Request, body: bytes, room: str, id: str, digest: str
    ) -> httpx.Response:
        kept = self.kept(room, id)
        if digest not in {one.digest for one in kept.header.sections}:
            raise Problem(404, "not-here")
        if hashlib.sha256(body).hexdigest() != digest:
            raise Problem(422, "corrupt")
        kept.sections[digest] = body
        return httpx.Response(204)

    def show(self, _request: httpx.Request, _body: bytes, room: str, id: str) -> httpx.Response:
        return answered(self.kept(room, id).describe(room, id))

    def listed(self, _request: httpx.Request, _body: bytes, room: str) -> httpx.Response:
        items = [kept.describe(r, id, False) for (r, id), kept in self.files.items() if r == room]
        return answered({"items": items, "next": None})

    def remove(self, _request: httpx.Request, _body: bytes, room: str, id: str) -> httpx.Response:
        self.kept(room, id)
        del self.files[room, id]
        return httpx.Response(204)

    def content(self, request: httpx.Request, _body: bytes, room: str, id: str) -> httpx.Response:
        data = self.kept(room, id).content()
        start = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if start is None:
            return httpx.Response(200, content=data, headers={"etag": '"v"'})
        first = int(start[1])
        part = f"bytes {first}-{len(data) - 1}/{len(data)}"
        return httpx.Response(206, content=data[first:], headers={"content-range": part})

    def embed(self, _request: httpx.Request, body: bytes) -> httpx.Response:
        asked = json.loads(body)
        self.kept("keys", asked["key"])
        faces = self._bundle("faces", asked["faces"])
        assert self.engine is not None
        return self._job("embedding", "embeddings", self.engine.embed(faces).to_bytes())

    def score(self, _request: httpx.Request, body: bytes) -> httpx.Response:
        asked = json.loads(body)
        left, right = (self._bundle("embeddings", asked[side]) for side in ("left", "right"))
        assert self.engine is not None
        return self._job("score", "scores", self.engine.match(left, right).to_bytes())

    def _bundle(self, room: str, id: str) -> Any:
        assert self.engine is not None
        parameters = self.engine.engine.parameters
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.kept(room, id).content())
            file.flush()
            return load_bundle(file.name, None, lambda _name: parameters)

    def _job(self, kind: str, room: str, result: bytes) -> httpx.Response:
        id = f"job{len(self.jobs)}"
        with container.loads(result) as reader:
            length = PREAMBLE.unpack(result[: PREAMBLE.size])[3]
            kept = Kept(result[: PREAMBLE.size + length + 32], reader.header)
            for one in reader.header.sections:
                kept.sections[one.digest] = reader.array(one.name).tobytes()
        self.files[room, f"result-{id}"] = kept
        self.jobs[id] = {
            "id": id, "kind": kind, "state": "queued", "position": 1, "asked": 0,
            "progress": {"done": 0, "total": 9, "stage": "steps"}, "eta_seconds": 1.5,
            "error": None, "result": None, "created": 1, "started": None, "finished": None,
            "target": {"room": room, "id": f"result-{id}", "location": "x"},
        }  # fmt: skip
        return answered(self.jobs[id], 202)

    def job(self, _request: httpx.Request, _body: bytes, id: str) -> httpx.Response:
        if id not in self.jobs:
            raise Problem(404, "not-here")
        found = self.jobs[id]
        found["asked"] += 1
        if found["state"] in ("queued", "running"):
            done = found["asked"] > self.slow
            found["state"] = "done" if done else "running"
            found["result"] = found["target"] if done else None
        return answered(found)

    def job_list(self, _request: httpx.Request, _body: bytes) -> httpx.Response:
        return answered({"items": list(self.jobs.values())})

    def cancel(self, _request: httpx.Request, _body: bytes, id: str) -> httpx.Response:
        self.jobs[id]["state"] = "cancelled"
        return answered(self.jobs[id])

    # --- galleries --------------------------------------------------------------------------------

    def store(self, id: str) -> Store:
        if id not in self.stores:
            raise Problem(404, "not-here")
        return self.stores[id]

    def gallery_put(self, _request: httpx.Request, body: bytes, id: str) -> httpx.Response:
        asked = json.loads(body)
        if id in self.stores:
            same = self.stores[id].facts == asked["facts"]
            if not same:
                raise Problem(409, "conflict", "another gallery has this name")
            return answered(self._gallery(id))
        keys = self.kept("gallery-keys", asked["keys"])
        self.stores[id] = Store.create(self.folder / id, asked["facts"], raw(asked["settings"]))
        (self.folder / id / EVALUATION_KEY).write_bytes(keys.content())
        return answered(self._gallery(id), 201)

    def _gallery(self, id: str) -> dict[str, Any]:
        store = self.stores[id]
        return {
            "id": id, "facts": store.facts, **store.state()._asdict(),
            "counts": store.counts()._asdict(), "key_id": store.facts["key_id"], "created": 1,
        }  # fmt: skip

    def gallery_get(self, _request: httpx.Request, _body: bytes, id: str) -> httpx.Response:
        self.store(id)
        return answered(self._gallery(id))

    def gallery_list(self, _request: httpx.Request, _body: bytes) -> httpx.Response:
        return answered({"items": [self._gallery(id) for id in self.stores], "next": None})

    def gallery_delete(self, _request: httpx.Request, _body: bytes, id: str) -> httpx.Response:
        self.store(id).close()
        del self.stores[id]
        return httpx.Response(204)

    def ask(self, request: httpx.Request, _body: bytes, id: str, what: str) -> httpx.Response:
        store, query = self.store(id), dict(request.url.params)
        deleted = query.get("deleted") == "true"
        if what == "settings":
            return answered({"settings": b64(store.settings), "version": store.version})
        if what == "state":
            return answered(store.state()._asdict())
        if what == "counts":
            return answered(store.counts()._asdict())
        if what == "blocks":
            items: list[Any] = [vars(block) for block in store.blocks()]
            return answered({"items": items, "version": store.version})
        if what == "subjects":
            items = [subject_json(row) for row in store.subjects(deleted)]
        elif what == "templates":
            rows = store.templates(query.get("subject"), deleted)
            records = query.get("records") != "false"
            items = [template_json(row, records) for row in rows]
        elif what == "pending":
            items = [owner._asdict() for owner in store.pending()]
        elif what == "sources":
            items = sorted(store.sources())
        else:
            items = [{"source": r.source, "reason": b64(r.reason)} for r in store.refusals()]
        return listed(items)

    def one(
        self, _request: httpx.Request, _body: bytes, id: str, what: str, name: str
    ) -> httpx.Response:
        store = self.store(id)
        if what == "subjects":
            return answered(subject_json(store.subject(name)))
        return answered(template_json(store.template(name)))

    def change(self, _request: httpx.Request, body: bytes, id: str, what: str) -> httpx.Response:
        store, asked = self.store(id), json.loads(body or b"{}")
        if what == "add":
            added = store.add(
                [Subject(one["id"], maybe_raw(one["name"])) for one in asked["subjects"]],
                [Template(**{**one, "record": raw(one["record"])}) for one in asked["templates"]],
                [Refusal(one["source"], raw(one["reason"])) for one in asked["refusals"]],
            )
            return answered(added._asdict())
        if what in ("delete", "undelete"):
            people, faces = asked["subjects"], asked["templates"]
            subjects = getattr(store, f"{what}_subjects")(people) if people else 0
            templates = getattr(store, f"{what}_templates")(faces) if faces else 0
            return answered({"subjects": subjects, "templates": templates})
        if what == "move":
            store.move(asked["templates"], asked["subject"])
        elif what == "rename":
            store.rename(asked["subject"], maybe_raw(asked["name"]))
        elif what == "merge":
            store.merge(asked["subjects"], asked["into"])
        elif what == "purge":
            return answered(store.purge()._asdict())
        elif what == "templates:of":
            found = store.templates_of(asked["owners"])
            items = [
                {"owner": o, "templates": [template_json(r) for r in rows]} for o, rows in found
            ]
            return listed(items)
        else:
            added_blocks = [
                NewBlock(one["digest"], [Owner(*owner) for owner in one["owners"]])
                for one in asked["add"]
            ]
            settings = maybe_raw(asked.get("settings"))
            version = store.replace_blocks(
                asked["seen_version"], asked["remove"], added_blocks, settings, asked.get("facts")
            )
            return answered({"version": version})
        return httpx.Response(204)

    def block_put(
        self, _request: httpx.Request, body: bytes, id: str, digest: str
    ) -> httpx.Response:
        if hashlib.sha256(body).hexdigest() != digest:
            raise Problem(422, "corrupt")
        self.store(id).write_block(body)
        return httpx.Response(204)

    def block_get(
        self, _request: httpx.Request, _body: bytes, id: str, digest: str, what: str
    ) -> httpx.Response:
        store = self.store(id)
        if what == "content":
            return httpx.Response(200, content=store.read_block(digest))
        items = [[e.position, e.owner.id, e.owner.revision] for e in store.entries(digest)]
        return answered({"items": items})

    def search(self, _request: httpx.Request, body: bytes, id: str) -> httpx.Response:
        assert self.parameters is not None
        self.store(id)
        server = SearchServer.load(self.folder / id, threads=1, parameters=self.parameters)
        try:
            probe = probe_from_bytes(body, self.parameters, server.key_id)
            state = server.store.state()
            scores = to_bytes(server.search(probe))
        finally:
            server.close()
        headers = {"x-gallery-version": str(state.version), "x-gallery-changes": str(state.changes)}
        return httpx.Response(200, content=scores, headers=headers)


_ID = r"([A-Za-z0-9][A-Za-z0-9._-]*)"
_ROOM = "(keys|gallery-keys|faces|embeddings|scores)"
_G = f"/v1/galleries/{_ID}"
_ROUTES = [
    ("GET /v1/about", "about"),
    ("POST /v1/embeddings", "embed"),
    ("POST /v1/scores", "score"),
    ("GET /v1/jobs", "job_list"),
    (f"GET /v1/jobs/{_ID}", "job"),
    (f"DELETE /v1/jobs/{_ID}", "cancel"),
    (f"PUT /v1/{_ROOM}/{_ID}", "put"),
    (f"PUT /v1/{_ROOM}/{_ID}/sections/([0-9a-f]+)", "section"),
    (f"GET /v1/{_ROOM}", "listed"),
    (f"GET /v1/{_ROOM}/{_ID}", "show"),
    (f"GET /v1/{_ROOM}/{_ID}/content", "content"),
    (f"DELETE /v1/{_ROOM}/{_ID}", "remove"),
    ("GET /v1/galleries", "gallery_list"),
    (f"PUT {_G}", "gallery_put"),
    (f"GET {_G}", "gallery_get"),
    (f"DELETE {_G}", "gallery_delete"),
    (f"GET {_G}/(settings|state|counts|blocks|subjects|templates|pending|sources|refusals)", "ask"),
    (f"GET {_G}/(subjects|templates)/(.+)", "one"),
    (f"POST {_G}/(add|(?:un)?delete|move|rename|merge|purge)", "change"),
    (f"POST {_G}/(templates:of|blocks:replace)", "change"),
    (f"PUT {_G}/blocks/([0-9a-f]+)", "block_put"),
    (f"GET {_G}/blocks/([0-9a-f]+)/(entries|content)", "block_get"),
    (f"POST {_G}/searches", "search"),
]  # fmt: skip


def listed(items: list[Any]) -> httpx.Response:
    """One JSON value a line, and how many there were."""
    values = [json.dumps(item) for item in [*items, {"end": len(items)}]]
    content = "".join(f"{value}\n" for value in values).encode()
    return httpx.Response(200, headers={"content-type": "application/x-ndjson"}, content=content)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def raw(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def maybe_raw(text: str | None) -> bytes | None:
    return None if text is None else raw(text)


def subject_json(row: Any) -> dict[str, Any]:
    return {**row._asdict(), "name": None if row.name is None else b64(row.name)}


def template_json(row: Any, records: bool = True) -> dict[str, Any]:
    values = row._asdict()
    record = values.pop("record")
    if records:
        return {**values, "record": b64(record)}
    return {**values, "sha256": hashlib.sha256(record).hexdigest()}
