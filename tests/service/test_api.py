"""The HTTP service: who comes in, what is refused, and in which shape."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fhe_face.service import bodies, rates
from fhe_face.service.audit import read_deeds
from fhe_face.service.rows import Quotas, Room, Scope
from fhe_face.service.settings import Settings
from fhe_face.service.tenants import make_tenant
from tests.service import kit

PROBLEM = "application/problem+json"


@pytest.fixture
def world(tmp_path: Path) -> kit.World:
    """A service in SQLite."""
    return kit.World(kit.make(tmp_path / "data"))


@pytest.fixture
def anna(world: kit.World) -> TestClient:
    return world.client()


def problem(answer: object, status: int, code: str) -> None:
    """The answer is a problem of this kind."""
    assert getattr(answer, "status_code", None) == status, getattr(answer, "text", answer)
    content = answer.json()  # type: ignore[attr-defined]
    assert answer.headers["content-type"] == PROBLEM  # type: ignore[attr-defined]
    assert content["code"] == code
    assert content["type"] == f"urn:fhe-face:{code}"
    assert content["status"] == status
    assert content["request"] == answer.headers["x-request-id"]  # type: ignore[attr-defined]
    assert "/" not in content["detail"].replace("application/", "")  # no path of the server


# --- who comes in --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/about", "/v1/keys/x", "/metrics", "/openapi.json", "/no"])
def test_nothing_without_a_token(world: kit.World, path: str) -> None:
    answer = world.client(None).get(path)
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_life_needs_no_token(world: kit.World) -> None:
    stranger = world.client(None)
    assert stranger.get("/live").json() == {"live": True}
    assert stranger.get("/ready").json() == {"ready": True}
    world.queue.ready = False
    answer = stranger.get("/ready")
    problem(answer, 503, "busy")
    assert int(answer.headers["retry-after"]) >= 1


def test_scopes(world: kit.World) -> None:
    for scope, path in (
        (Scope.KEYS, "/v1/keys"),
        (Scope.KEYS, "/v1/gallery-keys"),
        (Scope.EMBED, "/v1/faces"),
        (Scope.EMBED, "/v1/jobs"),
        (Scope.READ, "/v1/galleries"),
        (Scope.ADMIN, "/metrics"),
    ):
        assert world.client(scopes=[scope]).get(path).status_code == 200
        others = set(Scope) - {scope, Scope.ADMIN}
        problem(world.client(scopes=others).get(path), 403, "forbidden")


def test_strangers_are_slowed_down(world: kit.World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "STRANGER", 3)
    stranger = world.client(None)
    for _ in range(3):
        problem(stranger.get("/v1/about"), 401, "unauthorized")
    answer = stranger.get("/v1/about")
    problem(answer, 429, "too-many-requests")
    assert 1 <= int(answer.headers["retry-after"]) <= 61


def test_each_tenant_has_its_own_rate(world: kit.World) -> None:
    make_tenant(world.service.database, "anna", Quotas(1, 1, 3))
    anna, ben = world.client("anna"), world.client("ben")
    for _ in range(3):
        assert anna.get("/v1/about").status_code == 200
    answer = anna.get("/v1/about")
    problem(answer, 429, "too-many-requests")
    assert int(answer.headers["retry-after"]) >= 1
    assert ben.get("/v1/about").status_code == 200


def test_about_says_what_a_client_needs(anna: TestClient) -> None:
    about = anna.get("/v1/about").json()
    assert about["tenant"] == "anna"
    assert about["scopes"] == ["admin"]
    assert about["circuits"] == [kit.engine().circuit.describe()]
    assert about["gallery"]["parameters"] == kit.RING.digest
    assert about["quota"]["bytes_used"] == 0
    kit.push(anna, "gallery-keys", "mine", kit.files().gallery_keys)
    used = anna.get("/v1/about").json()["quota"]["bytes_used"]
    assert used == kit.files().gallery_keys.header.total_bytes


# --- bodies --------------------------------------------------------------------------------------


def test_bodies_are_bounded_before_they_are_read(world: kit.World) -> None:
    settings = replace(world.context.settings, json_bytes=1000)
    small = kit.World(world.service, settings)
    anna = small.client()
    problem(anna.post("/v1/embeddings", content=b"x" * 1001), 413, "body-too-large")

    chunked = anna.post("/v1/embeddings", content=iter([b"x" * 100] * 20))  # tells no length
    problem(chunked, 413, "body-too-large")
    header = b"x" * (bodies.HEADER_BYTES + 1)
    problem(anna.put("/v1/keys/x", content=header), 413, "body-too-large")


def test_nothing_is_unpacked(anna: TestClient) -> None:
    for path in ("/v1/keys/x", f"/v1/keys/x/sections/{'0' * 64}"):
        answer = anna.put(path, content=b"x", headers={"Content-Encoding": "gzip"})
        problem(answer, 415, "encoded-body")


def test_a_section_tells_its_length(anna: TestClient) -> None:
    sent = kit.files().gallery_keys
    anna.put("/v1/gallery-keys/mine", content=sent.front)
    digest, content = next(iter(sent.sections.items()))
    path = f"/v1/gallery-keys/mine/sections/{digest}"
    problem(anna.put(path, content=iter([content])), 411, "length-required")
    problem(anna.put(path, content=content[:-1]), 422, "corrupt")
    problem(anna.put(path, content=content + b"\0"), 413, "body-too-large")
    problem(anna.put(path, content=bytes(len(content))), 422, "corrupt")
    problem(anna.put(path[:-1] + "x", content=content), 422, "invalid")
    problem(anna.put(path[:-64] + "0" * 64, content=content), 404, "not-here")
    assert anna.put(path, content=content).status_code == 204


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"faces": 1}', b'{"faces": "a", "key": "b", "x": 1}']
)
def test_what_is_no_request_is_invalid(anna: TestClient, body: bytes) -> None:
    answer = anna.post("/v1/embeddings", content=body, headers={"Content-Type": "application/json"})
    problem(answer, 422, "invalid")
    assert answer.json()["errors"]


def test_routes_that_are_none(anna: TestClient) -> None:
    problem(anna.get("/v1/nothing"), 404, "not-found")
    problem(anna.put("/v1/jobs"), 405, "method-not-allowed")
    problem(anna.put("/v1/scores/x", content=b""), 405, "method-not-allowed")


# --- files ---------------------------------------------------------------------------------------


def test_files_over_http(anna: TestClient) -> None:
    sent = kit.files()
    answer = anna.put("/v1/keys/mine", content=sent.keys.front)
    assert answer.status_code == 201
    assert answer.json()["state"] == "partial"
    problem(anna.get("/v1/keys/mine/content"), 409, "not-complete")
    kit.push(anna, "keys", "mine", sent.keys)
    kit.push(anna, "faces", "one", sent.faces)
    answer = anna.put("/v1/keys/mine", content=sent.keys.front)
    assert answer.status_code == 200
    file = answer.json()
    assert (file["state"], file["missing"]) == ("complete", [])
    content = anna.get("/v1/keys/mine/content")
    assert content.content == sent.keys.path.read_bytes()
    assert content.headers["etag"] == f'"{file["digest"]}"'
    part = anna.get("/v1/keys/mine/content", headers={"Range": "bytes=8-15"})
    assert part.status_code == 206
    assert part.content == sent.keys.path.read_bytes()[8:16]
    far = anna.get("/v1/keys/mine/content", headers={"Range": "bytes=999999999-"})
    problem(far, 416, "range")
    problem(anna.get("/v1/keys/mine/content", headers={"Range": "bytes=x"}), 416, "range")
    problem(anna.put("/v1/keys/mine", content=kit.files(1).keys.front), 409, "other-content")
    assert anna.delete("/v1/keys/mine").status_code == 204
    problem(anna.get("/v1/keys/mine"), 404, "not-here")


def test_lists_come_in_pages(anna: TestClient) -> None:
    for number in range(5):
        anna.put(f"/v1/gallery-keys/k{number}", content=kit.files().gallery_keys.front)
    names, after = [], ""
    while True:
        page = anna.get("/v1/gallery-keys", params={"limit": 2, "after": after}).json()
        names += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert names == [f"k{number}" for number in range(5)]


def test_refusals_of_headers_name_no_path(anna: TestClient) -> None:
    front = kit.files().keys.front
    problem(anna.put("/v1/faces/x", content=kit.files().faces.front), 422, "key-mismatch")
    problem(anna.put("/v1/keys/x", content=b"nonsense"), 422, "not-a-container")
    problem(anna.put("/v1/keys/x", content=front[:-1]), 422, "truncated")
    problem(anna.put("/v1/gallery-keys/x", content=front), 422, "wrong-kind")
    problem(anna.put("/v1/keys/.x", content=front), 422, "invalid")


def test_quotas_of_bytes(world: kit.World) -> None:
    make_tenant(world.service.database, "anna", Quotas(10, 1, 1000))
    anna = world.client()
    answer = anna.put("/v1/gallery-keys/x", content=kit.files().gallery_keys.front)
    problem(answer, 429, "over-quota")
    assert "retry-after" not in answer.headers  # it does not pass by itself


def test_a_full_disk(tmp_path: Path) -> None:
    world = kit.World(kit.make(tmp_path / "data"), Settings(free_bytes=1 << 60))
    answer = world.client().put("/v1/gallery-keys/x", content=kit.files().gallery_keys.front)
    problem(answer, 507, "disk-full")


# --- jobs ----------------------------------------------------------------------------------------


@pytest.fixture
def ready(world: kit.World) -> TestClient:
    """A client whose keys and faces are there."""
    anna, sent = world.client(), kit.files()
    kit.push(anna, "keys", "mine", sent.keys)
    kit.push(anna, "faces", "one", sent.faces)
    return anna


def test_a_job_and_its_result(world: kit.World, ready: TestClient) -> None:
    answer = ready.post("/v1/embeddings", json={"faces": "one", "key": "mine"})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["position"]) == ("queued", 0)
    assert [one["id"] for one in ready.get("/v1/jobs").json()["items"]] == [job["id"]]
    world.queue.finish("anna", job["id"], kit.files().faces.path)
    done = ready.get(f"/v1/jobs/{job['id']}").json()
    assert done["state"] == "done"
    assert ready.get(done["result"]["location"] + "/content").status_code == 200
    # What is there is not computed again.
    again = ready.post("/v1/embeddings", json={"faces": "one", "key": "mine"})
    assert again.status_code == 200
    assert (again.json()["id"], again.json()["state"]) == (None, "done")
    assert again.json()["result"] == done["result"]
    assert len(ready.get("/v1/jobs").json()["items"]) == 1


def test_jobs_need_their_inputs(ready: TestClient) -> None:
    ask = {"faces": "none", "key": "mine"}
    problem(ready.post("/v1/embeddings", json=ask), 404, "not-here")
    ready.put("/v1/faces/part", content=kit.files().faces.front)
    whole = ready.get("/v1/faces/part").json()
    assert whole["state"] == "complete"  # its sections were there
    problem(
        ready.post("/v1/scores", json={"left": "a", "right": "b", "key": "mine"}), 404, "not-here"
    )


def test_jobs_are_cancelled(ready: TestClient) -> None:
    job = ready.post("/v1/embeddings", json={"faces": "one", "key": "mine"}).json()
    assert ready.delete(f"/v1/jobs/{job['id']}").json()["state"] == "cancelled"
    assert ready.get("/v1/jobs", params={"state": "cancelled"}).json()["items"]
    assert ready.get("/v1/jobs", params={"state": "queued"}).json()["items"] == []


def test_queues_are_bounded(world: kit.World, ready: TestClient) -> None:
    world.queue.full = True
    ask = {"faces": "one", "key": "mine"}
    answer = ready.post("/v1/embeddings", json=ask)
    problem(answer, 503, "busy")
    assert answer.headers["retry-after"] == "7"
    world.queue.full = False
    make_tenant(world.service.database, "anna", Quotas(1 << 40, 1, 1000))
    assert ready.post("/v1/embeddings", json=ask).status_code == 202
    answer = ready.post("/v1/embeddings", json={**ask, "id": "other"})
    problem(answer, 429, "too-many-requests")
    assert "retry-after" in answer.headers


def test_events_follow_a_job(world: kit.World, ready: TestClient) -> None:
    job = ready.post("/v1/embeddings", json={"faces": "one", "key": "mine"}).json()

    def work() -> None:
        time.sleep(0.6)
        world.queue.finish("anna", job["id"], kit.files().faces.path)

    worker = threading.Thread(target=work)
    worker.start()
    text = ready.get(f"/v1/jobs/{job['id']}/events").text
    worker.join()
    assert text.count("event: job\n") == 2
    assert '"state": "queued"' in text.split("\n\n")[0]
    assert '"state": "done"' in text.split("\n\n")[1]
    assert world.context.streams.borrowed_tokens == 0


def test_the_same_request_again(world: kit.World, ready: TestClient) -> None:
    ask, key = {"faces": "one", "key": "mine"}, {"Idempotency-Key": "k-1"}
    first = ready.post("/v1/embeddings", json=ask, headers=key)
    again = ready.post("/v1/embeddings", json=ask, headers=key)
    assert again.json() == first.json()
    assert again.status_code == 202
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replay"] == "true"
    assert len(world.queue.jobs) == 1
    other = ready.post("/v1/embeddings", json={**ask, "id": "x"}, headers=key)
    problem(other, 422, "idempotency-mismatch")
    problem(
        ready.post("/v1/embeddings", json=ask, headers={"Idempotency-Key": "x" * 129}),
        422,
        "invalid",
    )
    # Another tenant's keys are its own; what has failed may be tried again.
    ben = world.client("ben")
    problem(ben.post("/v1/embeddings", json=ask, headers=key), 404, "not-here")
    problem(ben.post("/v1/embeddings", json=ask, headers=key), 404, "not-here")


# --- what is written down ------------------------------------------------------------------------


def test_the_audit_log(world: kit.World) -> None:
    anna = world.client()
    kit.push(anna, "gallery-keys", "mine", kit.files().gallery_keys)
    anna.get("/v1/keys")
    world.client(None).get("/v1/keys")
    world.client("ben", [Scope.READ]).get("/v1/keys")
    deeds = read_deeds(world.service.database)
    assert [(d.tenant, d.status, d.action) for d in deeds] == [
        ("anna", 201, "PUT /v1/gallery-keys/{id}"),
        ("", 401, "GET -"),
        ("ben", 403, "GET /v1/keys"),
    ]
    assert deeds[0].object == "/v1/gallery-keys/mine"
    assert read_deeds(world.service.database, "ben") == deeds[2:]


def test_metrics_know_nobody(world: kit.World, ready: TestClient) -> None:
    ready.post("/v1/embeddings", json={"faces": "one", "key": "mine", "id": "secret-name"})
    ready.get("/v1/faces/other-name")
    ready.get("/v1/no-such-route")
    text = ready.get("/metrics").text
    assert 'fhe_face_requests_total{route="/v1/faces/{id}",status="404"} 1.0' in text
    assert 'fhe_face_refused_total{code="not-here"} 1.0' in text
    assert 'fhe_face_jobs{kind="embedding",state="queued"} 1.0' in text
    assert 'fhe_face_stored_bytes{room="keys"}' in text
    for name in ("anna", "secret-name", "other-name", "no-such-route", "mine"):
        assert name not in text


def test_another_tenants_things_are_not_here(world: kit.World, ready: TestClient) -> None:
    job = ready.post("/v1/embeddings", json={"faces": "one", "key": "mine"}).json()["id"]
    ben = world.client("ben")
    digest = next(iter(kit.files().keys.sections))
    for method, path in (
        ("GET", "/v1/keys/mine"),
        ("GET", "/v1/keys/mine/content"),
        ("PUT", f"/v1/keys/mine/sections/{digest}"),
        ("DELETE", "/v1/keys/mine"),
        ("GET", f"/v1/jobs/{job}"),
        ("GET", f"/v1/jobs/{job}/events"),
        ("DELETE", f"/v1/jobs/{job}"),
    ):
        theirs = ben.request(method, path, content=b"x" if method == "PUT" else None)
        nobodys = ben.request(
            method, path.replace("mine", "none").replace(job, "0" * 32), content=b"x"
        )
        problem(theirs, 404, "not-here")
        assert theirs.json()["detail"] == nobodys.json()["detail"]
    assert ben.get("/v1/keys").json()["items"] == []
    assert ready.get("/v1/keys/mine").status_code == 200


def test_guesses_take_the_same_time(world: kit.World, ready: TestClient) -> None:
    """1,000 guesses at another tenant's names, half of them right: all 404, all alike."""
    blobs = world.service.blobs
    for number in range(20):
        kit.uploads(world.service).begin(
            "anna", Room.GALLERY_KEYS, f"k{number}", kit.files().gallery_keys.front
        )
    assert len(blobs.page("anna", Room.GALLERY_KEYS, 100)) == 20
    ben, times = world.client("ben"), {True: list[float](), False: list[float]()}
    for number in range(1000):
        right = number % 2 == 0
        name = f"k{number % 20}" if right else f"x{number % 20}"
        began = time.perf_counter()
        answer = ben.get(f"/v1/gallery-keys/{name}")
        times[right].append(time.perf_counter() - began)
        assert answer.status_code == 404
    middles = [sorted(found)[len(found) // 2] for found in times.values()]
    assert abs(middles[0] - middles[1]) < 0.25 * min(middles), middles
