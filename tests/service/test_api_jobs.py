"""Jobs over HTTP, what is written down of requests, and what strangers find out: nothing."""

from __future__ import annotations

import threading
import time

import anyio
from fastapi.testclient import TestClient

from fhe_face.service.audit import read_deeds
from fhe_face.service.rows import Quotas, Scope
from fhe_face.service.tenants import make_tenant
from tests.service import kit
from tests.service.kit import problem

# --- jobs ----------------------------------------------------------------------------------------


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


def test_a_name_that_is_taken_is_no_result(world: kit.World, ready: TestClient) -> None:
    kit.push(ready, "faces", "two", kit.files().faces)
    one = {"faces": "one", "key": "mine", "id": "taken"}
    job = ready.post("/v1/embeddings", json=one).json()
    world.queue.finish("anna", job["id"], kit.files().faces.path)
    # What has the name is a result of something else, perhaps: the queue must be asked.
    two = ready.post("/v1/scores", json={"left": "taken", "right": "taken", "key": "mine"})
    assert two.status_code == 202
    other = ready.post("/v1/embeddings", json={**one, "faces": "two"})
    assert (other.status_code, other.json()["state"]) == (202, "queued")
    assert world.queue.inputs[other.json()["id"]]["faces"] == "two"


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
        while not world.context.streams.borrowed_tokens:  # until somebody follows
            time.sleep(0.01)
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


def test_streams_of_clients_that_went_are_over(world: kit.World, ready: TestClient) -> None:
    job = ready.post("/v1/embeddings", json={"faces": "one", "key": "mine"}).json()
    path = f"/v1/jobs/{job['id']}/events"

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def nowhere(_message: object) -> None:
        raise OSError("the client went away")

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"authorization", ready.headers["authorization"].encode())],
        "asgi": {"spec_version": "2.4"},
        "client": ("127.0.0.1", 1),
    }
    anyio.run(world.app, scope, gone, nowhere)
    assert world.context.streams.borrowed_tokens == 0


def test_streams_are_bounded(world: kit.World, ready: TestClient) -> None:
    job = ready.post("/v1/embeddings", json={"faces": "one", "key": "mine"}).json()
    world.context.streams.total_tokens = 0
    problem(ready.get(f"/v1/jobs/{job['id']}/events"), 503, "busy")


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
