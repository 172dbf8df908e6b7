"""Galleries over HTTP: the store's methods, for one tenant, in JSON, with everything bounded."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fhe_core.formats.matching import to_bytes
from fhe_core.matching import SealedBlock
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from fhe_face.service.context import SEARCHES_OF_ONE
from fhe_face.service.queueing import Answer
from fhe_face.service.rows import Quotas, Scope
from fhe_face.service.tenants import make_tenant
from tests.core import tiny
from tests.service import kit
from tests.service.kit import problem

HOME = "/v1/galleries/home"


def sealed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def lines(answer: Any) -> list[Any]:
    """The values of a list that is complete."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    *found, end = [json.loads(line) for line in answer.text.splitlines()]
    assert end == {"end": len(found)}
    return found


@pytest.fixture
def anna(world: kit.World) -> TestClient:
    """A client with an empty gallery."""
    client = world.client()
    kit.push(client, "gallery-keys", "ring", kit.files().gallery_keys)
    body = {"facts": {"mode": "mean", "x": 1}, "settings": sealed("first"), "keys": "ring"}
    assert client.put(HOME, json=body).status_code == 201
    assert client.put(HOME, json=body).status_code == 200
    return client


def enrol(client: TestClient, **people: list[str]) -> Any:
    body = {
        "subjects": [{"id": name, "name": sealed(name)} for name in people],
        "templates": [
            {"id": id, "subject": name, "source": f"photo-{id}", "record": sealed(id)}
            for name, ids in people.items()
            for id in ids
        ],
    }
    return client.post(f"{HOME}/add", json=body).json()


def block(key_id: str) -> bytes:
    """A block file for the gallery; what is in it does not matter to the server."""
    key = SecretKey.generate(kit.RING.parameters)
    made = Sealer(key, kit.RING).seal_block(tiny.unit_vectors(3, kit.RING.features))
    return to_bytes(SealedBlock(made.parameters, key_id, made.seed, made.bodies))


def put_block(client: TestClient) -> str:
    content = block(kit.files().gallery_keys.header.key_id)
    digest = hashlib.sha256(content).hexdigest()
    answer = client.put(f"{HOME}/blocks/{digest}", content=content)
    assert answer.status_code == 204, answer.text
    return digest


def test_a_gallery_is_what_it_was_made(anna: TestClient) -> None:
    found = anna.get(HOME).json()
    assert found["facts"] == {"mode": "mean", "x": 1}
    assert found["key_id"] == kit.files().gallery_keys.header.key_id
    assert found["counts"]["templates"] == 0
    other = {"facts": {"mode": "each"}, "settings": sealed(""), "keys": "ring"}
    problem(anna.put(HOME, json=other), 409, "other-content")
    problem(anna.put(f"{HOME}2", json={**other, "keys": "none"}), 404, "not-here")
    problem(anna.put(f"{HOME}2", json={**other, "facts": {}}), 422, "store")
    foreign = {"mode": "mean", "key_id": "ab" * 16}
    problem(anna.put(f"{HOME}2", json={**other, "facts": foreign}), 422, "invalid")
    assert [one["id"] for one in anna.get("/v1/galleries").json()["items"]] == ["home"]


def test_facts_and_names_are_bounded(anna: TestClient) -> None:
    deep: dict[str, Any] = {"mode": "mean"}
    for _ in range(300):
        deep = {"mode": "mean", "inner": deep}
    body = {"facts": deep, "settings": sealed(""), "keys": "ring"}
    problem(anna.put(f"{HOME}2", json=body), 422, "invalid")
    assert [one["id"] for one in anna.get("/v1/galleries").json()["items"]] == ["home"]
    for _ in range(240):
        deep = deep["inner"]  # 61 are left
    assert anna.put(f"{HOME}2", json={**body, "facts": deep}).status_code == 201
    assert anna.get(f"{HOME}2").json()["facts"] == deep
    many = {f"name-{number}": 0 for number in range(1000)}
    answer = anna.post(f"{HOME}/move", json=many)
    problem(answer, 422, "invalid")
    assert len(answer.json()["errors"]) == 1


def test_people_come_and_go(anna: TestClient) -> None:
    assert enrol(anna, ann=["a1", "a2"], bob=["b1"])["templates"] == ["a1", "a2", "b1"]
    assert enrol(anna, ann=["a1"]) == {"subjects": [], "templates": [], "withheld": []}
    assert [one["id"] for one in lines(anna.get(f"{HOME}/subjects"))] == ["ann", "bob"]
    assert anna.get(f"{HOME}/subjects/ann").json() == {
        "id": "ann",
        "name": sealed("ann"),
        "templates": 2,
        "deleted": False,
    }
    assert [t["record"] for t in lines(anna.get(f"{HOME}/templates"))] == [
        sealed(id) for id in ("a1", "a2", "b1")
    ]
    own = lines(anna.get(f"{HOME}/templates", params={"subject": "ann", "records": False}))
    assert [t["sha256"] for t in own] == [
        hashlib.sha256(i.encode()).hexdigest() for i in ("a1", "a2")
    ]
    found = lines(anna.post(f"{HOME}/templates:of", json={"owners": ["bob", "ann"]}))
    assert [(one["owner"], len(one["templates"])) for one in found] == [("bob", 1), ("ann", 2)]
    assert lines(anna.get(f"{HOME}/sources")) == ["photo-a1", "photo-a2", "photo-b1"]
    assert (
        anna.post(f"{HOME}/move", json={"templates": ["a2"], "subject": "bob"}).status_code == 204
    )
    assert anna.get(f"{HOME}/templates/a2").json()["subject"] == "bob"
    assert anna.get(f"{HOME}/templates/a2").json()["added"] > 1_700_000_000
    assert anna.post(f"{HOME}/rename", json={"subject": "bob", "name": None}).status_code == 204
    assert anna.post(f"{HOME}/merge", json={"subjects": ["ann"], "into": "bob"}).status_code == 204
    assert anna.get(f"{HOME}/subjects/ann").json()["id"] == "bob"
    gone = anna.post(f"{HOME}/delete", json={"templates": ["b1"]}).json()
    assert gone == {"subjects": 0, "templates": 1}
    assert anna.get(f"{HOME}/counts").json()["deleted_templates"] == 1
    assert anna.post(f"{HOME}/undelete", json={"templates": ["b1"]}).json()["templates"] == 1
    refused = {"refusals": [{"source": "photo-x", "reason": sealed("no face")}]}
    assert anna.post(f"{HOME}/add", json=refused).status_code == 200
    assert lines(anna.get(f"{HOME}/refusals")) == [
        {"source": "photo-x", "reason": sealed("no face")}
    ]


def test_blocks_replace_each_other(world: kit.World, anna: TestClient) -> None:
    enrol(anna, ann=["a1"], bob=["b1"])
    waiting = lines(anna.get(f"{HOME}/pending"))
    digest, version = put_block(anna), anna.get(HOME).json()["version"]
    owners = [[one["id"], one["revision"]] for one in waiting]
    change = {"seen_version": version, "add": [{"digest": digest, "owners": owners}]}
    assert anna.post(f"{HOME}/blocks:replace", json=change).json() == {"version": version + 1}
    problem(anna.post(f"{HOME}/blocks:replace", json=change), 409, "conflict")
    assert lines(anna.get(f"{HOME}/pending")) == []
    (held,) = anna.get(f"{HOME}/blocks").json()["items"]
    assert (held["digest"], held["live"]) == (digest, 2)
    entries = anna.get(f"{HOME}/blocks/{digest}/entries").json()["items"]
    assert [entry[:2] for entry in entries] == [[0, "ann"], [1, "bob"]]
    content = anna.get(f"{HOME}/blocks/{digest}/content").content
    assert hashlib.sha256(content).hexdigest() == digest
    used = world.service.galleries.find("anna", "home").bytes
    assert used == len(content)
    second = put_block(anna)
    owners = [[entry[1], entry[2]] for entry in entries]
    change = {
        "seen_version": version + 1,
        "remove": [digest],
        "add": [{"digest": second, "owners": owners}],
    }
    assert anna.post(f"{HOME}/blocks:replace", json=change).status_code == 200
    assert world.service.galleries.find("anna", "home").bytes == used
    problem(anna.get(f"{HOME}/blocks/{digest}/content"), 404, "not-stored")
    anna.post(f"{HOME}/delete", json={"subjects": ["ann"]})
    purged = anna.post(f"{HOME}/purge").json()
    assert purged["unsealed"] == [second]


def test_blocks_are_checked_before_they_are_kept(world: kit.World, anna: TestClient) -> None:
    def put(content: bytes, digest: str | None = None) -> Any:
        name = digest or hashlib.sha256(content).hexdigest()
        return anna.put(f"{HOME}/blocks/{name}", content=content)

    good = block(kit.files().gallery_keys.header.key_id)
    problem(put(good, "0" * 64), 422, "corrupt")
    problem(put(good[:-1]), 422, "truncated")
    problem(put(good[:-1] + bytes([good[-1] ^ 1])), 422, "corrupt")
    problem(put(block("ab" * 16)), 422, "key-mismatch")
    problem(put(kit.files().gallery_keys.path.read_bytes()), 422, "wrong-kind")
    problem(put(bytes(1 << 20)), 413, "body-too-large")
    assert not list((world.service.folder / "scratch").iterdir())
    assert world.service.galleries.find("anna", "home").bytes == 0
    make_tenant(world.service.database, "anna", Quotas(1, 1, 10_000))
    problem(put(good), 429, "over-quota")
    assert world.context.blocks.borrowed_tokens == 0


def test_settings_change_by_version(anna: TestClient) -> None:
    found = anna.get(f"{HOME}/settings")
    assert found.json()["settings"] == sealed("first")
    headers = {"If-Match": found.headers["etag"]}
    new = {"settings": sealed("second")}
    problem(anna.put(f"{HOME}/settings", json=new), 422, "invalid")
    problem(anna.put(f"{HOME}/settings", json=new, headers={"If-Match": "*"}), 422, "invalid")
    assert anna.put(f"{HOME}/settings", json=new, headers=headers).status_code == 200
    problem(anna.put(f"{HOME}/settings", json=new, headers=headers), 409, "conflict")
    assert anna.get(f"{HOME}/settings").json()["settings"] == sealed("second")


def test_searches_pass_through(world: kit.World, anna: TestClient) -> None:
    answer = anna.post(f"{HOME}/searches", content=b"probe")
    assert answer.content == b"eborp"
    assert (answer.headers["x-gallery-version"], answer.headers["x-gallery-changes"]) == ("3", "5")
    ((folder, _),) = world.queue.searched
    assert folder == world.service.galleries.folder("anna", "home")
    world.queue.full = True
    problem(anna.post(f"{HOME}/searches", content=b"probe"), 503, "busy")
    problem(anna.post(f"{HOME}/searches", content=bytes(1 << 20)), 413, "body-too-large")


def test_one_tenant_leaves_room_to_search_for_others(world: kit.World, anna: TestClient) -> None:
    hold, begun = threading.Event(), threading.Semaphore(0)
    search = world.queue.search

    def slow(gallery: Path, probe: bytes, timeout: float) -> Answer:
        if probe == b"slow":
            begun.release()
            assert hold.wait(30)
        return search(gallery, probe, timeout)

    world.queue.search = slow  # type: ignore[method-assign]
    ben = world.client("ben")
    kit.push(ben, "gallery-keys", "ring", kit.files(1).gallery_keys)
    body = {"facts": {"mode": "mean"}, "settings": "", "keys": "ring"}
    assert ben.put(HOME, json=body).status_code == 201
    with ThreadPoolExecutor(SEARCHES_OF_ONE) as pool:
        ask = [
            pool.submit(anna.post, f"{HOME}/searches", content=b"slow")
            for _ in range(SEARCHES_OF_ONE)
        ]
        try:
            for _ in ask:
                assert begun.acquire(timeout=30)
            refused = anna.post(f"{HOME}/searches", content=b"probe")
            problem(refused, 503, "busy")
            assert int(refused.headers["retry-after"]) >= 1
            assert ben.post(f"{HOME}/searches", content=b"probe").status_code == 200
        finally:
            hold.set()
        assert {one.result().status_code for one in ask} == {200}
    assert anna.post(f"{HOME}/searches", content=b"probe").status_code == 200
    assert not world.context.searching


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("add", {"templates": [{"id": "t", "subject": "s", "record": "no base64!"}]}),
        ("add", {"templates": [{"id": "t\n", "subject": "s", "record": ""}]}),
        ("add", {"templates": [{"id": "t", "subject": "s", "record": "AAAA" * 40_000}]}),
        ("add", {"subjects": [{"id": "s"}] * 1001}),
        ("add", {"subjects": [{"id": "\ud800"}]}),
        ("add", {"others": []}),
        ("blocks:replace", {"seen_version": 2**70}),
        ("blocks:replace", {"seen_version": -1}),
        ("blocks:replace", {"seen_version": 1, "facts": {"mode": "each", "x": "a" * 70_000}}),
        ("blocks:replace", {"seen_version": 1, "add": [{"digest": "x", "owners": []}]}),
        ("merge", {"subjects": "ann", "into": "bob"}),
    ],
)
def test_what_cannot_be_is_refused(anna: TestClient, path: str, body: Any) -> None:
    text = json.dumps(body)
    headers = {"Content-Type": "application/json"}
    problem(anna.post(f"{HOME}/{path}", content=text, headers=headers), 422, "invalid")


def test_unknown_people(anna: TestClient) -> None:
    problem(anna.get(f"{HOME}/subjects/nobody"), 404, "not-stored")
    problem(anna.get(f"{HOME}/templates", params={"subject": "nobody"}), 404, "not-stored")
    problem(anna.post(f"{HOME}/delete", json={"subjects": ["nobody"]}), 404, "not-stored")
    body = {"templates": [{"id": "t", "subject": "nobody", "record": ""}]}
    problem(anna.post(f"{HOME}/add", json=body), 404, "not-stored")


def test_other_tenants_have_no_such_gallery(world: kit.World, anna: TestClient) -> None:
    enrol(anna, ann=["a1"])
    ben = world.client("ben")
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/subjects"),
        ("GET", "/templates/a1"),
        ("GET", "/settings"),
        ("POST", "/searches"),
        ("POST", "/purge"),
        ("GET", "/blocks"),
    ):
        problem(ben.request(method, f"{HOME}{path}"), 404, "not-here")
    assert ben.get("/v1/galleries").json()["items"] == []
    assert anna.delete(HOME).status_code == 204
    problem(anna.get(HOME), 404, "not-here")
    assert not list((world.service.folder / "galleries").glob("*/*"))


def test_scopes_of_galleries(world: kit.World, anna: TestClient) -> None:
    reader = world.client(scopes=[Scope.READ])
    assert reader.get(HOME).status_code == 200
    problem(reader.post(f"{HOME}/add", json={}), 403, "forbidden")
    problem(reader.post(f"{HOME}/searches", content=b""), 403, "forbidden")
    searcher = world.client(scopes=[Scope.SEARCH])
    assert searcher.post(f"{HOME}/searches", content=b"x").status_code == 200
    problem(searcher.get(f"{HOME}/templates"), 403, "forbidden")
