"""The HTTP service: who comes in, what is refused, and in which shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fhe_face.service import bodies, rates
from fhe_face.service.rows import Quotas, Scope
from fhe_face.service.settings import Settings
from fhe_face.service.tenants import make_tenant
from tests.service import kit
from tests.service.kit import problem

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
    assert world.client().get("/v1/about").status_code == 200  # from the same address


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
