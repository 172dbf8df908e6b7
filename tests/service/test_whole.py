"""From a face to a score over HTTP, with the durable queue, in both databases."""

from __future__ import annotations

import os
import time
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from fhe_core.formats.ciphertexts import Bundle, load_bundle
from fhe_face.client.client import FaceClient
from fhe_face.models.reference import embed, squared_norm
from fhe_face.service.jobs.inline import work
from fhe_face.service.jobs.queue import open_queue
from fhe_face.service.opening import Service
from fhe_face.service.removal import remove_tenant
from fhe_face.service.settings import Settings
from fhe_face.service.upkeep import tidy
from tests.core import tiny
from tests.service import kit
from tests.service.jobs.engine import TinyEngines


@pytest.fixture
def anna(service: Service) -> Any:
    """A client whose keys are there, of a service with a real queue."""
    queue = open_queue(service, Settings())
    work(service, TinyEngines())  # from now on it is known who computes
    client = kit.World(service, queue=queue).client()
    kit.push(client, "keys", "mine", kit.files().keys)
    yield client
    queue.close()


def wait_for(service: Service, answer: Any) -> dict[str, Any]:
    """The job, when it has ended."""
    assert answer.status_code == 202, answer.text
    work(service, TinyEngines())
    return dict(answer.json())


def content(client: TestClient, location: str, folder: Any) -> Bundle:
    file = folder / "result"
    file.write_bytes(client.get(f"{location}/content").content)
    return load_bundle(file, None, tiny.load)


def test_faces_become_scores(service: Service, anna: TestClient, tmp_path: Any) -> None:
    owner = FaceClient(kit.files().key, kit.engine())
    images = tiny.images_for(kit.NETWORK, 2)
    for number, image in enumerate(images):
        path = tmp_path / f"face-{number}"
        owner.encrypt(tiny.faces(image)).save(path)
        kit.push(anna, "faces", f"f{number}", kit.Sent.of(path))
    jobs = [
        wait_for(service, anna.post("/v1/embeddings", json={"faces": f"f{n}", "key": "mine"}))
        for n in range(2)
    ]
    done = [anna.get(f"/v1/jobs/{job['id']}").json() for job in jobs]
    assert [job["state"] for job in done] == ["done", "done"], done
    results = [job["result"] for job in done]
    embedded = [content(anna, result["location"], tmp_path) for result in results]
    found = [owner.embedding(one).values for one in embedded]
    expected = reference(images)
    assert np.abs(np.array(found) - expected).max() < 1e-2
    ask = {"left": results[0]["id"], "right": results[1]["id"], "key": "mine"}
    score = wait_for(service, anna.post("/v1/scores", json=ask))
    result = anna.get(f"/v1/jobs/{score['id']}").json()["result"]
    opened = owner.score(content(anna, result["location"], tmp_path))
    assert abs(opened.value - float(expected[0] @ expected[1])) < 1e-2
    # The same again is there at once, under the same name.
    again = anna.post("/v1/embeddings", json={"faces": "f0", "key": "mine"})
    assert (again.status_code, again.json()["result"]) == (200, results[0])


def reference(images: Any) -> Any:
    embedding = embed(kit.NETWORK, images)
    return embedding * tiny.ROOT.evaluate(squared_norm(embedding))[:, None]


def test_a_tenant_is_removed_with_all_it_has(service: Service, anna: TestClient) -> None:
    kit.push(anna, "faces", "one", kit.files().faces)
    kit.push(anna, "gallery-keys", "ring", kit.files().gallery_keys)
    body = {"facts": {"mode": "mean"}, "settings": "", "keys": "ring"}
    assert anna.put("/v1/galleries/home", json=body).status_code == 201
    job = anna.post("/v1/embeddings", json={"faces": "one", "key": "mine"})
    assert job.status_code == 202
    remove_tenant(service, "anna")
    assert anna.get("/v1/about").status_code == 401
    assert work(service, TinyEngines()) == []
    left = [path for path in service.folder.rglob("*") if path.is_file() and "anna" in str(path)]
    assert left == []
    with closing(open_queue(service, Settings())) as queue:
        assert queue.list("anna", 10) == []


def test_what_is_old_goes(service: Service, anna: TestClient) -> None:
    sent = kit.files()
    kit.push(anna, "faces", "one", sent.faces)
    anna.put("/v1/gallery-keys/begun", content=sent.gallery_keys.front)
    stray = service.blobs.scratch() / "stray"
    stray.write_bytes(b"x")
    tidy(service, Settings())
    assert anna.get("/v1/gallery-keys/begun").status_code == 200
    assert stray.exists()
    os.utime(stray, (0, 0))
    time.sleep(1.1)
    tidy(service, Settings(partial_seconds=0, face_days=0))
    assert not stray.exists()
    assert anna.get("/v1/gallery-keys/begun").status_code == 404
    assert anna.get("/v1/faces/one").status_code == 404
    assert anna.get("/v1/keys/mine").status_code == 200  # keys stay
