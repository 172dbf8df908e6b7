"""Guesses at what another tenant has: every route answers as if there were nothing, and as fast."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from fhe_face.service.jobs.inline import work
from fhe_face.service.jobs.queue import open_queue
from fhe_face.service.settings import Settings
from tests.service import kit
from tests.service.jobs.engine import TinyEngines
from tests.service.kit import problem

GUESSES = 1000
#: Standard deviations: by chance once in about two million.
UNLIKELY = 5.0
#: What anna has is called so, and nothing is called so.
HERS, NOBODYS = "hers", "none"
_DIGEST = "0" * 64
#: Bodies of routes that want one; files are too short to be any.
_BODIES: Mapping[str, Any] = {
    "settings": {"settings": "AAAA"},
    "add": {},
    "delete": {},
    "undelete": {},
    "templates:of": {"owners": ["x"]},
    "move": {"templates": ["x"], "subject": "y"},
    "rename": {"subject": "x", "name": "AAAA"},
    "merge": {"subjects": ["x"], "into": "y"},
    "blocks:replace": {"seen_version": 1},
}


def routes(world: kit.World) -> list[tuple[str, str]]:
    """Every method and path that is about something of a tenant's; PUT of a new thing is none."""
    document = world.client().get("/openapi.json").json()
    found = [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if "{id}" in path and not (method == "put" and path.endswith("/{id}"))
    ]
    inputs = [("POST", "/v1/embeddings"), ("POST", "/v1/scores")]
    return sorted(found + inputs)


def ask(client: TestClient, method: str, path: str, name: str, job: str) -> Any:
    """One guess."""
    id = job if path.startswith("/v1/jobs") else name
    last, headers = path.rpartition("/")[2], {"If-Match": '"1"'}
    body = _BODIES.get(last)
    if path == "/v1/embeddings":
        body = {"faces": name, "key": name}
    elif path == "/v1/scores":
        body = {"left": name, "right": name, "key": name}
    place = path.replace("{id}", id).replace("{sha256}", _DIGEST)
    for one in ("digest", "subject", "template"):
        place = place.replace("{" + one + "}", _DIGEST)
    if body is not None:
        return client.request(method, place, json=body, headers=headers)
    content = b"x" if method in ("PUT", "POST") else None
    return client.request(method, place, content=content, headers=headers)


@contextmanager
def statements() -> Iterator[list[str]]:
    """What any database is asked, meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        seen.append(text)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture(scope="module")
def hers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[kit.World, str]]:
    """A service where anna has one of everything; her job's id."""
    service = kit.make(tmp_path_factory.mktemp("service") / "data")
    queue = open_queue(service, Settings())
    work(service, TinyEngines())
    world = kit.World(service, queue=queue)
    anna = world.client()
    kit.push(anna, "keys", HERS, kit.files().keys)
    kit.push(anna, "faces", HERS, kit.files().faces)
    kit.push(anna, "gallery-keys", HERS, kit.files().gallery_keys)
    asked = {"faces": HERS, "key": HERS, "id": HERS}
    job = anna.post("/v1/embeddings", json=asked).json()["id"]
    work(service, TinyEngines())
    assert anna.get(f"/v1/embeddings/{HERS}").status_code == 200
    body = {"facts": {"mode": "mean"}, "settings": "", "keys": HERS}
    assert anna.put(f"/v1/galleries/{HERS}", json=body).status_code == 201
    yield world, job
    queue.close()


def test_guesses_find_nothing(hers: tuple[kit.World, str]) -> None:
    """On every route: the same answer, and the same questions to the database."""
    world, job = hers
    ben, found = world.client("ben"), routes(world)
    assert len(found) >= 45
    for method, path in found:
        ask(ben, method, path, NOBODYS, "0" * 32)  # what is remembered of a route is by now
        with statements() as theirs:
            right = ask(ben, method, path, HERS, job)
        with statements() as nobodys:
            wrong = ask(ben, method, path, NOBODYS, "0" * 32)
        problem(right, 404, "not-here")
        problem(wrong, 404, "not-here")
        assert right.json()["detail"] == wrong.json()["detail"], path
        assert theirs == nobodys, f"{method} {path}"
        assert theirs, f"{method} {path}: nothing was looked up"
    anna = world.client()
    for room in ("keys", "faces", "gallery-keys", "embeddings", "galleries"):
        assert anna.get(f"/v1/{room}/{HERS}").status_code == 200


def test_guesses_take_the_same_time(hers: tuple[kit.World, str]) -> None:
    """1,000 guesses in random order, half of them right: their times rank alike.

    The order is random, so that whatever else the machine does falls on both halves: by chance
    alone the ranks differ so much once in two million runs.
    """
    world, job = hers
    ben, draw = world.client("ben"), random.Random(1)
    found = routes(world)
    each = 2 * math.ceil(GUESSES / len(found) / 2)
    times: dict[tuple[str, str], dict[bool, list[float]]] = {
        one: {True: [], False: []} for one in found
    }
    order = [(one, number % 2 == 0) for one in found for number in range(each)]
    draw.shuffle(order)
    for (method, path), right in order:
        name, id = (HERS, job) if right else (NOBODYS, "0" * 32)
        began = time.perf_counter()
        answer = ask(ben, method, path, name, id)
        times[method, path][right].append(time.perf_counter() - began)
        assert answer.status_code == 404
    assert len(order) >= GUESSES
    assert abs(deviation(list(times.values()))) < UNLIKELY


def deviation(groups: list[dict[bool, list[float]]]) -> float:
    """How far ranks of right guesses are from chance, in standard deviations.

    The rank-sum statistic of Wilcoxon, stratified by route (van Elteren 1960).
    """
    total = variance = 0.0
    for group in groups:
        ranked = sorted((seconds, right) for right, all_ in group.items() for seconds in all_)
        count, right = len(ranked), len(group[True])
        total += sum(rank for rank, one in enumerate(ranked, 1) if one[1])
        total -= right * (count + 1) / 2
        variance += right * (count - right) * (count + 1) / 12
    return total / math.sqrt(variance)


def test_the_statistic_can_fail() -> None:
    draw = random.Random(2)
    slower = [
        {right: [draw.expovariate(1) + 0.5 * right for _ in range(11)] for right in (True, False)}
        for _ in range(45)
    ]
    assert deviation(slower) > UNLIKELY
    alike = [
        {right: [draw.expovariate(1) for _ in range(11)] for right in (True, False)}
        for _ in range(45)
    ]
    assert abs(deviation(alike)) < UNLIKELY
