"""The client against the real service: over a socket, with its database, queue and admission."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fhe_face.client.decryption import Embedding, Score
from fhe_face.gallery.decisions import Answer
from fhe_face.models.reference import embed, squared_norm
from fhe_face.remote import jobs
from fhe_face.remote.errors import JobFailed, PushError, Refused
from fhe_face.remote.login import about
from fhe_face.remote.pushing import push, push_keys
from fhe_face.remote.resources import Room, every
from fhe_face.remote.server import RemoteServer
from fhe_face.remote.store import RemoteStore
from fhe_face.store import Conflict, NotStored, StoreError, Subject, Template
from tests.core import tiny
from tests.gallery.kit import SMALL, face, people, photo
from tests.remote.kit import make, other_client, reopen
from tests.remote.live import Live, live
from tests.service import kit


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("live") / "data") as found:
        push_keys(found.connect(), kit.files().keys.path)
        yield found


def test_the_server_says_who_it_is(service: Live) -> None:
    found = about(service.connect())
    assert found.tenant == "anna"
    assert "embed" in found.scopes
    assert found.gallery == SMALL.digest
    assert found.used_bytes is not None


def test_faces_become_embeddings_and_scores(service: Live) -> None:
    client = service.client()
    server = RemoteServer(service.connect(), client)
    images = tiny.images_for(kit.NETWORK, 2)
    found = client.embed(tiny.faces(images), server)
    raw = embed(kit.NETWORK, images)
    expected = raw * tiny.ROOT.evaluate(squared_norm(raw))[:, None]
    for own, right in zip(found.results, expected, strict=True):
        assert isinstance(own, Embedding)
        assert np.abs(own.values - right).max() < 0.05
    one, two = (server.embed(client.encrypt(tiny.faces(image))) for image in images)
    (score,) = client.decrypt(server.match(one, two), [one, two])
    assert isinstance(score, Score)
    assert abs(score.value - expected[0] @ expected[1]) < 0.05
    assert not [one for room in (Room.FACES, Room.SCORES) for one in every(service.connect(), room)]


def test_a_job_is_resumed_and_cancelled(service: Live, tmp_path: Path) -> None:
    client, connection = service.client(), service.connect()
    bundle = client.encrypt(tiny.faces(tiny.images_for(kit.NETWORK, 1, 7)))
    bundle.save(tmp_path / "face.ct")
    pushed = push(connection, Room.FACES, tmp_path / "face.ct")
    service.working.clear()
    try:
        inputs = {"faces": pushed.id, "key": kit.files().key.key_id, "model": "default"}
        job = jobs.submit(connection, "embeddings", inputs)
        assert job.id is not None
        assert job.id in [one.id for one in jobs.every(connection)]
        assert jobs.cancel(connection, job.id).state is jobs.State.CANCELLED
        server = RemoteServer(connection, client, patience=0.3)
        with pytest.raises(JobFailed, match="longer"):
            server.embed(client.encrypt(tiny.faces(tiny.images_for(kit.NETWORK, 1, 8))))
        again = jobs.submit(connection, "embeddings", inputs)
    finally:
        service.working.set()
    assert again.id is not None
    found = RemoteServer(service.connect(), client).resume(again.id, [tmp_path / "face.ct"])
    assert client.decrypt(found, [bundle])


def test_tenants_do_not_see_each_other(service: Live) -> None:
    ben = service.connect("ben")
    assert list(every(ben, Room.KEYS)) == []
    with pytest.raises(Refused) as caught:
        RemoteServer(ben, service.client()).embed(
            service.client().encrypt(tiny.faces(tiny.images_for(kit.NETWORK, 1)))
        )
    assert caught.value.status in (404, 422)


def test_keys_are_sent_once(service: Live) -> None:
    assert push_keys(service.connect(), kit.files().keys.path).sent == 0
    with pytest.raises(PushError):
        push(service.connect(), Room.FACES, kit.files().keys.path)


@pytest.mark.parametrize("mode", ["mean", "each"])
def test_people_are_enrolled_and_found(service: Live, tmp_path: Path, mode: str) -> None:
    photos = people(tmp_path / "photos", 5, 3)
    with make(service, tmp_path / mode, template=mode, names=True) as gallery:
        assert len(gallery.enroll(photos).enrolled) == 15
        (found,) = gallery.identify(photo(face(2, 7)))
        assert found.answer is Answer.MATCH
        assert found.best is not None
        assert found.best.name == "person02"
        (stranger,) = gallery.identify(photo(face(20, 1)))
        assert stranger.answer is Answer.UNKNOWN
        gallery.enroll(photo(face(9, 0, diverges=True)), subject="Nobody")
        gallery.rename("person00", "Ann")
        gallery.merge(["person01"], "Ann")
        assert gallery.subject("person01").name == "Ann"
        assert gallery.delete(["person02"]) == 1
        (gone,) = gallery.identify(photo(face(2, 7)))
        assert gone.answer is Answer.UNKNOWN
        gallery.compact()
        assert gallery.verify(photo(face(3, 9)), "person03").answer is Answer.MATCH
        assert gallery.check() == []
        count, digest = gallery.seen()
        assert count == 13
    with reopen(service, other_client(tmp_path / mode, tmp_path / "other")) as gallery:
        assert gallery.seen() == (13, digest)
        assert gallery.enroll(photos).enrolled[0].name == "person02"


def test_changes_of_two_clients_at_once(service: Live, tmp_path: Path) -> None:
    with make(service, tmp_path / "both", names=True) as gallery:
        gallery.enroll(people(tmp_path / "photos", 2, 1))
    other_client(tmp_path / "both", tmp_path / "second")
    failures: list[BaseException] = []

    def enroll(folder: Path, start: int) -> None:
        try:
            with reopen(service, folder) as gallery:
                gallery.remote.tell = lambda _text: None
                gallery.enroll(people(tmp_path / folder.name / "more", 6, 1, start=start))
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=enroll, args=(tmp_path / name, start))
        for name, start in (("both", 2), ("second", 8))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with reopen(service, tmp_path / "both") as gallery:
        gallery.remote.tell = lambda _text: None
        assert {row.name for row in gallery.subjects()} == {f"person{n:02}" for n in range(14)}
        assert gallery.check() == []
        (found,) = gallery.identify(photo(face(13, 5)))
        assert found.best is not None
        assert found.best.name == "person13"


def test_the_store_raises_what_a_store_raises(service: Live, tmp_path: Path) -> None:
    make(service, tmp_path / "errors", names=True).close()
    store = RemoteStore(service.connect(), "errors", 1 << 24, SMALL.templates)
    for ask in (
        lambda: store.subject("ab" * 16),
        lambda: store.template("nothing"),
        lambda: store.entries("ab" * 32),
        lambda: store.read_block("ab" * 32),
        lambda: store.delete_templates(["nothing"]),
        lambda: store.move(["nothing"], "nobody"),
        lambda: store.add([], [Template("t", "nobody", None, b"r")]),
    ):
        with pytest.raises((NotStored, StoreError)):
            ask()
    with pytest.raises(Conflict):
        store.replace_blocks(99)
    with pytest.raises(Refused):
        RemoteStore(service.connect("ben"), "errors", 1 << 24, SMALL.templates).counts()
    named = [Subject(f"s{n}", b"n" * 50) for n in range(2500)]
    assert len(store.add(named, []).subjects) == 2500
    assert len(list(store.subjects())) == 2500
