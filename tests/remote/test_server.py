"""RemoteServer in the shape of FaceServer: what comes back is untrusted, and health stays here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from fhe_core.ciphertext import Ciphertext
from fhe_core.container import ContainerError
from fhe_core.formats.ciphertexts import Bundle, load_bundle, save_bundle
from fhe_core.secret.files import save_evaluation_keys
from fhe_face.client.decryption import Embedding, Score
from fhe_face.client.health import HealthReport
from fhe_face.client.ledger import MemoryLedger
from fhe_face.remote import jobs, waiting
from fhe_face.remote.errors import BadAnswer, JobFailed, Refused
from fhe_face.remote.pushing import push_keys
from fhe_face.remote.server import RemoteServer
from tests.core.tiny import World, cancelling, faces, make_world
from tests.remote.fake import Fake, answered


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(images=3)


@pytest.fixture(scope="module")
def evaluation_key(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "evaluation.key"
    save_evaluation_keys(path, world.key, world.specifications, {})
    return path


@pytest.fixture
def fake(tmp_path: Path, world: World, evaluation_key: Path) -> Fake:
    fake = Fake(tmp_path, world.server)
    push_keys(fake.connect(), evaluation_key)
    fake.calls.clear()
    return fake


@pytest.fixture
def server(fake: Fake, world: World) -> RemoteServer:
    return RemoteServer(fake.connect(), world.client)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for a job takes no time."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


def test_faces_become_embeddings(world: World, fake: Fake, server: RemoteServer) -> None:
    found = world.client.embed(faces(world.images), server)
    wanted = world.reference(world.images)
    for own, right in zip(found.results, wanted, strict=True):
        assert isinstance(own, Embedding)
        assert np.abs(own.values - right).max() < 0.05
    assert len(found.rounds) == 1
    assert fake.files.keys() == {("keys", world.key.key_id)}, "something was left behind"


def test_embeddings_become_scores(world: World, server: RemoteServer) -> None:
    one, two = (server.embed(world.client.encrypt(faces(world.images[n]))) for n in (0, 1))
    answer = server.match(one, two)
    (score,) = world.client.decrypt(answer, [one, two])
    assert isinstance(score, Score)
    left, right = world.reference(world.images[:2])
    assert abs(score.value - left @ right) < 0.05


def test_a_server_sees_the_same_whether_a_face_diverges_or_not(
    world: World, tmp_path: Path
) -> None:
    seen = []
    for number, network in enumerate(
        (world.network, cancelling(world.network, world.images[1], 3e4))
    ):
        fake = Fake(tmp_path / str(number), world.server_for(network))
        fake.files["keys", world.key.key_id] = None  # type: ignore[assignment]
        found = world.client.embed(faces(world.images), RemoteServer(fake.connect(), world.client))
        assert len(found.results) == 3
        seen.append([re.sub("[0-9a-f]{40,64}", "#", call) for call in fake.calls])
        kinds = {type(result) for result in found.results}
        assert (HealthReport in kinds) == bool(number)
    assert seen[0] == seen[1]


def test_a_job_can_be_taken_up_again(
    world: World, fake: Fake, server: RemoteServer, tmp_path: Path
) -> None:
    bundle = world.client.encrypt(faces(world.images[:1]))
    path = tmp_path / "faces.ct"
    bundle.save(path)
    fake.slow = 10**9
    server.patience = 0.0
    server.keep = True
    job = jobs.submit(fake.connect(), "embeddings", {"faces": _pushed(fake, path), "key": "k"})
    fake.slow = 1
    again = RemoteServer(fake.connect(), world.client)
    assert job.id is not None
    out = tmp_path / "out.ct"
    found = again.resume(job.id, [path], out)
    assert world.client.decrypt(found, [bundle])
    assert out.stat().st_mode & 0o077 == 0


def _pushed(fake: Fake, path: Path) -> str:
    from fhe_face.remote.pushing import push
    from fhe_face.remote.resources import Room

    fake.files["keys", "k"] = next(iter(fake.files.values()))
    return push(fake.connect(), Room.FACES, path).id


def test_asking_again_sends_nothing_twice(
    world: World, fake: Fake, server: RemoteServer, tmp_path: Path
) -> None:
    path = tmp_path / "faces.ct"
    world.client.encrypt(faces(world.images[:1])).save(path)
    server.keep = True
    server.embed_file(path, tmp_path / "one.ct")
    fake.calls.clear()
    server.embed_file(path, tmp_path / "two.ct")
    assert not [call for call in fake.calls if "/sections/" in call]


def test_an_answer_to_another_request_is_refused(
    world: World, fake: Fake, server: RemoteServer, tmp_path: Path
) -> None:
    bundles = [world.client.encrypt(faces(world.images[:1])) for _ in range(2)]
    server.keep = True
    server.embed(bundles[0])

    def swap(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith("result-job1/content"):
            return fake.content(request, b"", "embeddings", "result-job0")
        return None

    fake.before.append(swap)
    with pytest.raises(ContainerError, match="request"):
        server.embed(bundles[1])


def _each(bundle: Bundle, **changes: Any) -> Bundle:
    items = {name: replace(item, **changes) for name, item in bundle.items.items()}
    return replace(bundle, items=items)


def _lower(bundle: Bundle, item: Ciphertext) -> Ciphertext:
    return item.drop_to(item.level - 1, bundle.parameters)


CRAFTED: dict[str, Callable[[Bundle], Bundle]] = {
    "limbs": lambda b: replace(b, items={n: _lower(b, c) for n, c in b.items.items()}),
    "scale": lambda b: _each(b, scale=2.0**20),
    "number": lambda b: replace(b, items=dict(list(b.items.items())[:1])),
    "names": lambda b: replace(b, items={f"{name}x": c for name, c in b.items.items()}),
    "kind": lambda b: replace(b, what="score"),
    "key": lambda b: replace(b, key_id="00" * 16),
    "tokens": lambda b: replace(b, facts={**b.facts, "requests": ["0" * 96]}),
    "runs": lambda b: replace(b, facts={**b.facts, "runs": [["alone", 1], ["alone", 1]]}),
    "weights": lambda b: replace(b, facts={**b.facts, "embedding": 1}),
}


@pytest.mark.parametrize("change", CRAFTED.values(), ids=list(CRAFTED))
def test_crafted_answers_are_refused_before_they_are_opened(
    world: World,
    fake: Fake,
    tmp_path: Path,
    change: Callable[[Bundle], Bundle],
) -> None:
    client = copy(world.client)
    client.ledger = MemoryLedger(1 << 20)
    fake.before.append(_crafting(world, fake, tmp_path, change))
    with pytest.raises((ContainerError, BadAnswer)):
        client.embed(faces(world.images[:1]), RemoteServer(fake.connect(), client))
    assert client.ledger.answers == 0


def test_a_server_sees_the_same_whatever_it_has_put_into_an_answer(
    world: World, fake: Fake, server: RemoteServer, tmp_path: Path
) -> None:
    """Any values, in ciphertexts of the right shape: healthy, huge, or noise."""
    slots = world.key.parameters.slots
    seen, kinds = [], set()
    for value in (None, 0.0, 30.0, 1e5):

        def change(bundle: Bundle, value: float | None = value) -> Bundle:
            if value is None:
                return bundle
            items = {
                name: world.key.encrypt(np.full(slots, value), item.scale)[0].drop_to(
                    item.level, bundle.parameters
                )
                for name, item in bundle.items.items()
            }
            return replace(bundle, items=items)

        fake.calls.clear()
        fake.before[:] = [_crafting(world, fake, tmp_path, change)]
        found = world.client.embed(faces(world.images[:1]), server)
        kinds |= {type(one) for one in found.results}
        seen.append([re.sub("[0-9a-f]{40,64}|job[0-9]+", "#", call) for call in fake.calls])
    assert kinds == {Embedding, HealthReport}
    assert all(calls == seen[0] for calls in seen)


def _crafting(
    world: World, fake: Fake, folder: Path, change: Callable[[Bundle], Bundle]
) -> Callable[[httpx.Request], httpx.Response | None]:
    """A hook that changes embeddings on their way to the client."""

    def hook(request: httpx.Request) -> httpx.Response | None:
        *_, room, id, last = request.url.path.split("/")
        if last != "content":
            return None
        file = folder / "answer.ct"
        file.write_bytes(fake.content(request, b"", room, id).content)
        honest = load_bundle(file, "embedding", lambda _name: world.key.parameters)
        file.unlink()
        save_bundle(file, change(honest))
        return httpx.Response(200, content=file.read_bytes())

    return hook


def test_a_larger_answer_is_not_read(world: World, fake: Fake, server: RemoteServer) -> None:
    def hook(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/content"):
            return None
        return httpx.Response(200, content=b"", headers={"content-length": str(1 << 40)})

    fake.before.append(hook)
    with pytest.raises(BadAnswer, match="at most"):
        server.embed(world.client.encrypt(faces(world.images[:1])))


class Torn(httpx.SyncByteStream):
    def __init__(self, data: bytes) -> None:
        self.data = data

    def __iter__(self) -> Iterator[bytes]:
        yield self.data
        raise httpx.ReadError("reset")


def test_a_torn_download_is_taken_up(world: World, fake: Fake, server: RemoteServer) -> None:
    ranges: list[str | None] = []

    def hook(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/content"):
            return None
        ranges.append(request.headers.get("range"))
        if len(ranges) > 1:
            return None
        id = request.url.path.split("/")[3]
        data = fake.kept("embeddings", id).content()
        headers = {"etag": '"v"', "content-length": str(len(data))}
        return httpx.Response(200, headers=headers, stream=Torn(data[:1000]))

    fake.before.append(hook)
    bundle = world.client.encrypt(faces(world.images[:1]))
    assert world.client.decrypt(server.embed(bundle), [bundle])
    assert ranges == [None, "bytes=1000-"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_an_interruption_cancels_the_job(
    world: World,
    fake: Fake,
    server: RemoteServer,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    def interrupted(_seconds: float) -> None:
        raise error

    bundle = world.client.encrypt(faces(world.images[:1]))
    monkeypatch.setattr(waiting.wait, "__kwdefaults__", {**_defaults(), "sleep": interrupted})
    with pytest.raises(type(error)):
        server.embed(bundle)
    assert [job["state"] for job in fake.jobs.values()] == ["cancelled"]


def _defaults() -> dict[str, Any]:
    found = waiting.wait.__kwdefaults__
    assert found is not None
    return dict(found)


def test_a_job_that_never_ends_is_given_up(world: World, fake: Fake, server: RemoteServer) -> None:
    fake.slow = 10**9
    server.patience = 0.2
    with pytest.raises(JobFailed, match="took longer"):
        server.embed(world.client.encrypt(faces(world.images[:1])))
    assert [job["state"] for job in fake.jobs.values()] == ["cancelled"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (
            {"state": "failed", "error": {"code": "memory", "title": "t", "detail": "no\nroom"}},
            JobFailed,
        ),
        ({"state": "failed", "error": None}, JobFailed),
        ({"state": "cancelled"}, JobFailed),
        ({"state": "done", "result": None}, BadAnswer),
        ({"state": "done", "result": {"room": "scores", "id": "a"}}, BadAnswer),
        ({"state": "done", "result": {"room": "embeddings", "id": "../x"}}, BadAnswer),
        ({"state": "done", "result": {"room": "embeddings", "id": "gone"}}, Refused),
        ({"state": "melted"}, BadAnswer),
        ({"progress": None}, BadAnswer),
        ({"id": None}, BadAnswer),
        ({"eta_seconds": float("1e99")}, BadAnswer),
    ],
)
def test_what_is_said_of_a_job(
    world: World, fake: Fake, server: RemoteServer, change: dict[str, Any], kind: type[Exception]
) -> None:
    def hook(request: httpx.Request) -> httpx.Response | None:
        path = request.url.path
        if "/v1/jobs/" not in path or request.method == "DELETE" or path.endswith("/events"):
            return None
        id = request.url.path.rpartition("/")[2]
        return answered({**json.loads(fake.job(request, b"", id).content), **change})

    fake.before.append(hook)
    with pytest.raises(kind) as caught:
        server.embed(world.client.encrypt(faces(world.images[:1])))
    assert str(caught.value).isprintable()
