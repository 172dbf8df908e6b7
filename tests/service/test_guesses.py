"""A thousand guesses at another tenant's names, of every kind of thing: nothing is to be seen.

Times are of this process's processors, where the service runs as well: what others compute beside
it does not count.
"""

from __future__ import annotations

import time
from statistics import median

import pytest
from fastapi.testclient import TestClient

from fhe_face.service.jobs.queue import open_queue
from fhe_face.service.rows import Room, Scope
from fhe_face.service.settings import Settings
from tests.service import kit

GUESSES = 1000
KEYS = kit.files().gallery_keys

#: What is asked for, and with what body; `{}` is the name that is guessed.
ASKED = (
    ("GET", "/v1/gallery-keys/{}", b""),
    ("GET", "/v1/gallery-keys/{}/content", b""),
    ("DELETE", "/v1/gallery-keys/{}", b""),
    ("PUT", f"/v1/gallery-keys/{{}}/sections/{next(iter(KEYS.sections))}", b"x"),
    ("GET", "/v1/galleries/{}", b""),
    ("GET", "/v1/galleries/{}/templates", b""),
    ("POST", "/v1/galleries/{}/purge", b""),
    ("POST", "/v1/galleries/{}/records:replace", b"x"),
    ("POST", "/v1/galleries/{}/searches", b"x"),
    ("PUT", f"/v1/galleries/{{}}/blocks/{'0' * 64}", b"x"),
)


@pytest.fixture
def stocked(world: kit.World, anna: TestClient) -> list[str]:
    """Names of galleries and of their keys, which anna has."""
    names = [f"k{number}" for number in range(8)]
    for name in names:
        kit.push(anna, "gallery-keys", name, KEYS)
        facts = {"mode": "mean", "key_id": KEYS.header.key_id}
        body = {"facts": facts, "settings": "", "keys": name}
        assert anna.put(f"/v1/galleries/{name}", json=body).status_code == 201
    return names


def test_a_thousand_guesses_look_alike(world: kit.World, stocked: list[str]) -> None:
    ben = world.client("ben", tuple(Scope))
    times: dict[tuple[str, str], dict[bool, list[float]]] = {}
    for number in range(GUESSES):
        method, path, body = ASKED[number // 2 % len(ASKED)]
        right = number % 2 == 0
        name = stocked[number % len(stocked)] if right else f"x{number % len(stocked)}"
        began = time.process_time()
        answer = ben.request(method, path.format(name), content=body or None)
        took = time.process_time() - began
        kit.problem(answer, 404, "not-here")
        assert name not in answer.json()["detail"]
        times.setdefault((method, path), {True: [], False: []})[right].append(took)
    assert len(times) == len(ASKED)
    for what, found in times.items():
        middles = [median(found[right]) for right in (True, False)]
        assert abs(middles[0] - middles[1]) < 0.35 * min(middles), (what, middles)


def test_guesses_at_jobs_look_alike(world: kit.World, ready: TestClient) -> None:
    """The real queue, which looks in a database of its own."""
    queue = open_queue(world.service, Settings())
    try:
        inputs = {"faces": "one", "key": "mine", "model": "default"}
        job = queue.submit("anna", "embedding", inputs, (Room.EMBEDDINGS, "r"))
        times: dict[bool, list[float]] = {True: [], False: []}
        for number in range(400):
            right = number % 2 == 0
            began = time.process_time()
            with pytest.raises(Exception, match="no such job"):
                queue.status("ben", job if right else "0" * len(job))
            times[right].append(time.process_time() - began)
        middles = [median(found) for found in times.values()]
        assert abs(middles[0] - middles[1]) < 0.35 * min(middles), middles
    finally:
        queue.close()
