"""The authority over HTTP: who may ask, what is refused, and that no number leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhe_face.authority import app as module
from fhe_face.authority import log
from fhe_face.authority.app import build_app
from fhe_face.authority.tokens import all_tokens, create_token, revoke_token
from fhe_face.authority.words import Scope
from fhe_face.service.rates import Rates
from tests.authority import kit
from tests.service.kit import problem

Scopes = set[Scope]
DEVICE = {Scope.ASK, Scope.DELIVER}


def client(world: kit.World, device: str = "door", scopes: Scopes | None = None) -> TestClient:
    """Somebody with a token; an empty set of scopes: without one."""
    chosen = DEVICE if scopes is None else scopes
    headers = {"Authorization": f"Bearer {world.secret(device, chosen)}"} if chosen else {}
    return TestClient(build_app(world.authority), headers=headers)


@pytest.fixture
def door(world: kit.World) -> Iterator[TestClient]:
    with client(world) as one:
        yield one


def announce(door: TestClient, subject: str = "ann") -> tuple[str, str]:
    """A token, and the request's id."""
    face = kit.token()
    told = door.post("/v1/requests", json={"kind": "match", "token": face, "subject": subject})
    assert told.status_code == 201, told.text
    return face, told.json()["request"]


def deliver(door: TestClient, face: str, known: str, cosine: float, **more: Any) -> Response:
    data = kit.score(face, known, cosine, **more).to_bytes()
    answer: Response = door.post("/v1/results", content=data)
    return answer


def test_a_device_asks_and_is_told(world: kit.World, door: TestClient) -> None:
    known = world.enrolled()
    face, request = announce(door)
    assert door.get(f"/v1/requests/{request}").json() == {
        "request": request,
        "kind": "match",
        "state": "waiting",
    }
    told = deliver(door, face, known, 0.9)
    assert told.json() == {
        "request": request,
        "kind": "match",
        "state": "answered",
        "answer": "match",
    }
    assert door.get(f"/v1/requests/{request}").json() == told.json()
    problem(deliver(door, face, known, 0.1), 409, "other-content")


def test_enrolment_over_http(world: kit.World) -> None:
    with client(world, "desk", {Scope.ENROL, Scope.DELIVER}) as desk:
        face = kit.token()
        body = {"kind": "enrol", "token": face, "subject": "ann"}
        assert desk.post("/v1/requests", json=body).status_code == 201
        told = desk.post("/v1/results", content=kit.embedding(face).to_bytes())
        assert told.json()["answer"] == "healthy"
        assert desk.delete("/v1/subjects/ann").status_code == 204
        assert not world.authority.requests.enrolled("ann", face)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/about"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("POST", "/v1/requests"),
        ("POST", "/v1/results"),
        ("GET", "/v1/requests/" + "0" * 32),
        ("DELETE", "/v1/subjects/ann"),
    ],
)
def test_nothing_without_a_token(world: kit.World, method: str, path: str) -> None:
    with client(world, scopes=set()) as nobody:
        problem(nobody.request(method, path), 401, "unauthorized")
        for header in ("Bearer fhe_" + "A" * 43, "Basic x", "Bearer "):
            refused = nobody.request(method, path, headers={"Authorization": header})
            problem(refused, 401, "unauthorized")


def test_open_doors_say_nothing(world: kit.World) -> None:
    with client(world, scopes=set()) as nobody:
        assert nobody.get("/live").json() == {"live": True}
        assert nobody.get("/ready").json() == {"ready": True}


def test_tokens_end(world: kit.World, monkeypatch: pytest.MonkeyPatch) -> None:
    with client(world) as door:
        assert door.get("/v1/about").status_code == 200
        revoke_token(world.database, all_tokens(world.database)[-1].id)
        problem(door.get("/v1/about"), 401, "unauthorized")
    token, secret = create_token(world.database, "door", {Scope.ASK}, seconds=60)
    monkeypatch.setattr("fhe_face.authority.tokens.now", lambda: token.created + 60)
    with client(world, scopes=set()) as late:
        refused = late.get("/v1/about", headers={"Authorization": f"Bearer {secret}"})
        problem(refused, 401, "unauthorized")


def test_scopes_over_http(world: kit.World) -> None:
    with client(world, "server", {Scope.DELIVER}) as server:
        body = {"kind": "match", "token": kit.token(), "subject": "ann"}
        problem(server.post("/v1/requests", json=body), 403, "forbidden")
        problem(server.get("/metrics"), 403, "forbidden")
        problem(server.delete("/v1/subjects/ann"), 403, "forbidden")
        assert server.get("/v1/about").json()["scopes"] == ["deliver"]
    with client(world, "watch", {Scope.WATCH}) as watch:
        text = watch.get("/metrics").text
        assert "fhe_face_authority_alarms 0.0" in text
        problem(watch.post("/v1/results", content=b"x"), 403, "forbidden")


def test_bodies_are_bounded(world: kit.World, door: TestClient) -> None:
    headers = {"Content-Length": str(world.policy.result_bytes + 1)}
    problem(door.post("/v1/results", content=b"", headers=headers), 413, "body-too-large")
    problem(door.post("/v1/requests", content=b"x" * 70_000), 413, "body-too-large")
    packed = {"Content-Encoding": "gzip"}
    problem(door.post("/v1/results", content=b"x", headers=packed), 415, "encoded-body")
    for nonsense in (b"", b"nonsense", b"FHEF" * 100):
        refused = door.post("/v1/results", content=nonsense)
        assert refused.status_code == 422, refused.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "match"},
        {"kind": "guess", "token": "ab" * 48, "subject": "ann"},
        {"kind": "match", "token": "zz" * 48, "subject": "ann"},
        {"kind": "match", "token": "ab" * 32, "subject": "ann"},
        {"kind": "match", "token": "ab" * 48, "subject": "a/b"},
        {"kind": "match", "token": "ab" * 48, "subject": "ann\n"},
        {"kind": "match", "token": "ab" * 48, "subject": "ann", "more": 1},
        {"kind": "search", "token": "ab" * 40, "gallery": "office"},
    ],
)
def test_announcements_that_make_no_sense(
    world: kit.World, door: TestClient, body: dict[str, Any]
) -> None:
    world.keep_gallery()
    problem(door.post("/v1/requests", json=body), 422, "invalid")


def test_a_device_asks_so_often_in_a_minute(
    world: kit.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    class Counting(Rates):
        def count(self, tenant: str, per_minute: int) -> None:
            asked.append((tenant, per_minute))
            super().count(tenant, 1)

    monkeypatch.setattr(module, "Rates", Counting)
    with client(world) as door:
        assert door.get("/v1/about").status_code == 200
        problem(door.get("/v1/about"), 429, "too-many-requests")
    assert asked[0] == ("door", world.policy.calls_minute)


# --- no number ------------------------------------------------------------------------------------


def everything(answers: list[Response]) -> str:
    """All that a device sees, without ids that are made at random."""
    seen = [
        (one.status_code, sorted(k for k in one.headers if k != "x-request-id"), one.text)
        for one in answers
    ]
    return re.sub(r"[0-9a-f]{16,}", "ID", json.dumps(seen))


REGIONS = st.sampled_from([(0.43, 0.95), (0.23, 0.37), (-0.9, 0.17)])


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(region=REGIONS, places=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_scores_that_mean_the_same_look_the_same(
    world: kit.World, region: tuple[float, float], places: tuple[float, float]
) -> None:
    """Whatever the score is: answers, headers, and the log depend on the word alone."""
    seen, logs = [], []
    for place in places:
        cosine = region[0] + place * (region[1] - region[0])
        with client(world) as door:
            known = world.enrolled()
            face, request = announce(door)
            answers = [deliver(door, face, known, cosine), door.get(f"/v1/requests/{request}")]
            answers.append(deliver(door, face, known, cosine))  # a replay, under fresh noise
        seen.append(everything(answers))
        own = [w.line for w in log.read(world.database) if w.line.request == request]
        logs.append(re.sub(r"[0-9a-f]{12,}", "ID", repr(own)))
    assert seen[0] == seen[1]
    assert logs[0] == logs[1]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(norm=st.floats(230.0, 900.0), cosine=st.floats(-1, 1))
def test_a_refusal_is_always_the_same(world: kit.World, norm: float, cosine: float) -> None:
    with client(world) as door:
        known = world.enrolled()
        face, _ = announce(door)
        told = deliver(door, face, known, cosine, norm=norm).json()
    assert {**told, "request": "-"} == {
        "request": "-",
        "kind": "match",
        "state": "answered",
        "answer": "refused",
        "reason": "the result is not healthy: take another photo",
    }


def test_what_is_refused_says_no_number_of_what_was_opened(
    world: kit.World, door: TestClient
) -> None:
    """Refusals come before anything is opened, but for health: their texts are of the file."""
    known = world.enrolled()
    face, _ = announce(door)
    first = deliver(door, face, known, 0.31).json()
    again = deliver(door, face, known, 0.32)
    assert not re.search(r"\d", again.json()["detail"])
    assert not re.search(r"\d", json.dumps({k: v for k, v in first.items() if k != "request"}))
