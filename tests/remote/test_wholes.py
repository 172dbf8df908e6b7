"""Galleries at a server as wholes: a new key, another network, copies; over the real service."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.gallery import Gallery
from fhe_face.remote import rows
from fhe_face.remote.answers import Fields
from fhe_face.remote.errors import BadAnswer, Refused, Unreachable
from fhe_face.remote.gallery import RemoteGallery
from fhe_face.remote.listing import TamperedError
from fhe_face.remote.place import Place
from fhe_face.remote.replacing import Sending
from fhe_face.remote.resources import Room, every
from fhe_face.remote.saving import restore_remote
from fhe_face.remote.store import RemoteStore
from fhe_face.store import Added, Conflict, Replacement, Resealed, Store, StoreError
from tests.gallery import kit as galleries
from tests.gallery.kit import ALIGNED, THRESHOLDS, Painted, face, people, photo
from tests.remote import kit
from tests.remote.live import Live, live


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("live") / "data") as found:
        yield found


class Heard(list[str]):
    """What the client was told of changes by others."""

    def __call__(self, text: str) -> None:
        self.append(text)


def make(service: Live, folder: Path, **options: Any) -> RemoteGallery:
    given: dict[str, Any] = {"names": True, "gallery": f"g{uuid4().hex[:12]}", **options}
    kit.create(service, folder, **given)
    return reopen(service, folder)


def reopen(service: Live, folder: Path, embedder: Painted | None = None) -> RemoteGallery:
    return kit.reopen(service, folder, embedder, warn=Heard())


def heard(gallery: RemoteGallery) -> list[str]:
    assert isinstance(gallery.remote.tell, Heard)
    return gallery.remote.tell


def filled(service: Live, tmp_path: Path, **options: Any) -> RemoteGallery:
    """Five people of three photos each; one merged, one deleted, one photo refused."""
    gallery = make(service, tmp_path / "g", **options)
    gallery.enroll(people(tmp_path / "photos", 5, 3))
    gallery.enroll(photo(face(9, 0, diverges=True)), subject="person03")
    gallery.merge(["person01"], "person00")
    gallery.delete(["person04"])
    return gallery


def require_whole(gallery: Gallery) -> None:
    """What `filled` has made."""
    (found,) = gallery.identify(photo(face(2, 7)))
    assert found.answer is Answer.MATCH
    assert found.best is not None
    assert found.best.name == "person02"
    assert gallery.subject("person01").name == "person00"
    (gone,) = gallery.identify(photo(face(4, 0)))
    assert gone.answer is Answer.UNKNOWN


def records(store: Store) -> dict[str, bytes]:
    return {row.id: row.record for row in store.templates(include_deleted=True)}


def at_the_server(service: Live, gallery: RemoteGallery) -> Store:
    return service.service.galleries.open("anna", gallery.name)


@pytest.mark.parametrize("mode", ["mean", "each"])
def test_a_new_key_seals_everything(service: Live, tmp_path: Path, mode: str) -> None:
    with filled(service, tmp_path / mode, template=mode) as gallery:
        old, folder = gallery.facts.key_id, gallery.opened.folder
        with at_the_server(service, gallery) as store:
            before = records(store)
        gallery.rekey()
        assert gallery.facts.key_id != old
        assert Place.load(folder.root).facts == gallery.facts
        with at_the_server(service, gallery) as store:
            after = records(store)
            assert store.facts["key_id"] == gallery.facts.key_id
        assert after.keys() < before.keys()  # what was deleted is gone
        assert not set(after.values()) & set(before.values())
        assert service.service.galleries.find("anna", gallery.name).key_id == gallery.facts.key_id
        kept = {one.id for one in every(service.connect(), Room.GALLERY_KEYS)}
        assert old not in kept
        require_whole(gallery)
        assert gallery.check() == []
        gallery.seen()
        assert heard(gallery) == []
        assert gallery.enroll(people(tmp_path / mode / "more", 1, 2, start=7)).enrolled
    with reopen(service, folder.root) as gallery:
        require_whole(gallery)
        gallery.seen()
        assert heard(gallery) == []
    assert sorted(path.name for path in folder.client.iterdir()) == [
        "gallery.key", "gallery.ledger", "gallery.witness",
    ]  # fmt: skip


def test_the_witness_knows_new_records(service: Live, tmp_path: Path) -> None:
    with filled(service, tmp_path) as gallery:
        with at_the_server(service, gallery) as store:
            before = records(store)
        gallery.rekey()
        with at_the_server(service, gallery) as store:
            id = next(iter(records(store)))
            with store._database.locked() as connection:
                text = "UPDATE templates SET record = ? WHERE id = ?"
                connection.exec_driver_sql(text, (before[id], id))
        with pytest.raises(TamperedError, match="1 records replaced"):
            gallery.seen()


@pytest.mark.parametrize("done", [False, True])
def test_a_new_key_whose_answer_is_lost(service: Live, tmp_path: Path, done: bool) -> None:
    """The request gets there, or does not; either way the folder opens what the server has."""
    gallery = filled(service, tmp_path)
    folder, old = gallery.opened.folder.root, gallery.facts.key_id
    request = gallery.remote.connection.request

    def lost(method: str, path: str, *rest: Any, **more: Any) -> Any:
        if path.endswith("records:replace"):
            if done:
                request(method, path, *rest, **more)
            gallery.remote.connection.request = gone  # type: ignore[method-assign]
            raise Unreachable("gone")
        return request(method, path, *rest, **more)

    def gone(*_: Any, **__: Any) -> Any:
        raise Unreachable("gone")

    gallery.remote.connection.request = lost  # type: ignore[method-assign]
    with pytest.raises(Unreachable):
        gallery.rekey()
    gallery.close()
    with reopen(service, folder) as again:
        assert (again.facts.key_id != old) is done
        require_whole(again)
        again.compact()
        assert again.check() == []
    assert not (folder / "remote.json.next").exists()
    assert not (folder / "client" / "gallery.key.next").exists()


def test_a_second_attempt_is_the_first(service: Live, tmp_path: Path) -> None:
    """An answer that got lost is asked for again; it was done once."""
    with filled(service, tmp_path) as gallery:
        old = gallery.facts.key_id
        send = gallery.remote.connection._client.send
        lost: list[int] = []

        def sending(asked: httpx.Request, **options: Any) -> httpx.Response:
            answer = send(asked, **options)
            if asked.url.path.endswith("records:replace") and not lost:
                lost.append(answer.status_code)
                answer.close()
                raise httpx.ReadError("cut off")
            return answer

        gallery.remote.connection._client.send = sending  # type: ignore[assignment,method-assign]
        gallery.rekey()
        assert lost == [200]
        assert gallery.facts.key_id != old
        require_whole(gallery)


def test_another_network(service: Live, tmp_path: Path) -> None:
    with filled(service, tmp_path) as gallery:
        other = Painted(model="cd" * 32, spread=0.2)
        with pytest.raises(GalleryError, match=r"templates? ha(s|ve) no photo"):
            gallery.rebuild(
                people(tmp_path / "few", 2, 3), embedder=other, preparation=ALIGNED,
                thresholds=THRESHOLDS,
            )  # fmt: skip
        assert gallery.facts.model == galleries.MODEL
        require_whole(gallery)
        done = gallery.rebuild(
            tmp_path / "photos", embedder=other, preparation=ALIGNED, thresholds=THRESHOLDS,
            drop=True,
        )  # fmt: skip
        assert done.embedded + done.before >= 12
        assert gallery.facts.model == other.model
        require_whole(gallery)
        assert gallery.check() == []
        gallery.seen()
        assert heard(gallery) == []
        folder = gallery.opened.folder.root
    with reopen(service, folder, other) as gallery:
        require_whole(gallery)


def test_what_was_refused_is_not_seen_in_a_rebuild(service: Live, tmp_path: Path) -> None:
    """A face that another network refuses keeps its place, as a blank."""
    with make(service, tmp_path / "g") as gallery:
        photos = people(tmp_path / "photos", 2, 2)
        galleries.save(photos / "person00" / "bad.png", photo(face(0, 5, diverges=True)))
        gallery.enroll(photos)
        count = gallery.counts()["templates"]
        other = Painted(model="cd" * 32)
        done = gallery.rebuild(photos, embedder=other, preparation=ALIGNED, thresholds=THRESHOLDS)
        assert done.refused == []
        assert gallery.counts()["templates"] == count == 5


def test_a_copy_opens_here_and_there(service: Live, tmp_path: Path) -> None:
    with filled(service, tmp_path) as gallery:
        gallery.backup(tmp_path / "copy")
        counts = gallery.counts()
    Gallery.restore(tmp_path / "copy", tmp_path / "here")
    with galleries.reopen(tmp_path / "here") as local:
        local.seal()
        require_whole(local)
        assert local.check() == []
        assert local.counts()["templates"] == counts["templates"]
        assert local.counts()["refusals"] == counts["refusals"]
        assert local.undelete(["person04"]) == 1
        (found,) = local.identify(photo(face(4, 7)))
        assert found.answer is Answer.MATCH
        local.delete(["person04"])
        local.backup(tmp_path / "local copy")
    for source, name in ((tmp_path / "copy", "again"), (tmp_path / "local copy", "moved")):
        restore_remote(source, tmp_path / name, connection=service.connect())
        with reopen(service, tmp_path / name) as remote:
            remote.seal()
            require_whole(remote)
            remote.seen()
            assert heard(remote) == []
            assert remote.check() == []
            assert remote.counts()["templates"] == counts["templates"]
            assert remote.counts()["deleted_subjects"] == 1
            assert remote.enroll(tmp_path / "photos" / "person02").enrolled == []


def test_a_copy_says_what_this_client_knows(
    service: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a server that names another key made it useless, which is found when it is needed."""
    with filled(service, tmp_path) as gallery:
        lie = {**gallery.facts.to_json(), "key_id": "0" * 32}
        monkeypatch.setattr(RemoteStore, "facts", property(lambda _store: lie))
        gallery.backup(tmp_path / "copy")
        monkeypatch.undo()
    restore_remote(tmp_path / "copy", tmp_path / "known", connection=service.connect())
    assert Place.load(tmp_path / "known").facts == gallery.facts


def test_a_server_that_says_who_is_there_was_merged(service: Live, tmp_path: Path) -> None:
    """A copy would give one person's templates to another."""
    with filled(service, tmp_path) as gallery:
        lie = (gallery.subject("person02").id, gallery.subject("person00").id)
        said = gallery.remote.merged()
        gallery.remote.merged = lambda: [*said, lie]  # type: ignore[method-assign]
        gallery.backup(tmp_path / "copy")
    Gallery.restore(tmp_path / "copy", tmp_path / "here")
    with galleries.reopen(tmp_path / "here") as local:
        local.seal()
        require_whole(local)


def test_a_server_that_takes_less_than_the_copy(
    service: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says it has not taken would be missed by nobody."""
    with filled(service, tmp_path) as gallery:
        gallery.backup(tmp_path / "copy")
    said = rows.added

    def less(fields: Fields, most: int) -> Added:
        found = said(fields, most)
        return found._replace(templates=found.templates[1:])

    monkeypatch.setattr(rows, "added", less)
    connection = service.connect()
    with pytest.raises(BadAnswer, match="did not take all of the backup: 1 templates gone"):
        restore_remote(tmp_path / "copy", tmp_path / "less", connection=connection)
    assert not (tmp_path / "less").exists()
    with pytest.raises(Refused):
        connection.get("v1/galleries/less")


def test_a_copy_is_not_put_over_another(service: Live, tmp_path: Path) -> None:
    with filled(service, tmp_path) as gallery:
        gallery.backup(tmp_path / "copy")
    with pytest.raises(Exception, match="name"):
        restore_remote(
            tmp_path / "copy", tmp_path / "second", connection=service.connect(), gallery="a b"
        )
    assert not (tmp_path / "second").exists()
    make(service, tmp_path / "taken", gallery="taken").close()
    for name in ("taken", gallery.name):
        with pytest.raises(GalleryError, match=f"has a gallery {name} already"):
            restore_remote(
                tmp_path / "copy", tmp_path / "third", connection=service.connect(), gallery=name
            )
    assert not (tmp_path / "third").exists()
    with reopen(service, tmp_path / "taken") as kept:
        assert kept.counts()["templates"] == 0


def test_a_copy_of_what_was_altered_is_refused(service: Live, tmp_path: Path) -> None:
    with filled(service, tmp_path) as gallery:
        gallery.seen()
        with at_the_server(service, gallery) as store, store._database.locked() as connection:
            connection.exec_driver_sql("UPDATE templates SET deleted = 1 WHERE number = 1")
        with pytest.raises(TamperedError):
            gallery.backup(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


# --- what is sent ---------------------------------------------------------------------------------


def b64(text: bytes) -> str:
    return base64.b64encode(text).decode()


def test_lines_that_make_no_sense(service: Live, tmp_path: Path) -> None:
    with filled(service, tmp_path) as gallery:
        version, facts = gallery.remote.version, gallery.remote.facts
        head = {"seen_version": version, "settings": b64(b"s"), "facts": facts, "keys": None}
        long = "A" * 300_000
        forget, name = {"forget": "t"}, {"subject": "s", "name": b64(b"n")}
        for rows, words in (
            ([], "cut off"),
            ([head], "cut off"),
            ([{**head, "more": 1}, {"end": 1}], "more"),
            ([head, {"end": 2}], "end"),
            ([head, {"end": 1}, forget], "end"),
            ([head, name, forget, {"end": 3}], "belongs"),
            ([head, {"what": 1}, {"end": 2}], "belongs"),
            ([head, {"subject": "s", "name": "?"}, {"end": 2}], "base64"),
            ([head, {"template": "t", "source": None, "record": long}, {"end": 2}], "line 2"),
            ([{**head, "facts": {**facts, "key_id": "0" * 32}}, {"end": 1}], "key_id"),
            ([{**head, "keys": "nothing"}, {"end": 1}], "nothing of this name"),
            ([{**head, "seen_version": version + 7}, {"end": 1}], "version"),
            ([head, {"end": 1}], "no new record"),
        ):  # fmt: skip
            body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
            with pytest.raises(Exception, match=words):
                gallery.remote.connection.request(
                    "POST", gallery.remote.path("records:replace"), body
                )
        assert gallery.remote.version == version
        require_whole(gallery)


def test_blocks_go_another_way(service: Live) -> None:
    new = Replacement([Resealed("t", None, b"r")], [], [], [object()], b"", {}, [])  # type: ignore[list-item]
    with pytest.raises(StoreError, match="blocks"):
        Sending.of(1, new, None)


def test_somebody_else_was_quicker(service: Live, tmp_path: Path) -> None:
    with filled(service, tmp_path) as gallery:
        new = Replacement([], [], [], [], b"other", gallery.remote.facts, [])
        with pytest.raises(Conflict):
            gallery.remote.replace_all(gallery.remote.version + 5, new)
        assert not (gallery.opened.folder.root / "remote.json").with_suffix(".x").exists()
        require_whole(gallery)


def test_another_tenant_has_no_such_gallery(service: Live, tmp_path: Path) -> None:
    with filled(service, tmp_path) as gallery:
        ben = service.connect("ben")
        for method, what in (("POST", "records:replace"), ("GET", "merged")):
            with pytest.raises(Exception, match="there is no gallery"):
                ben.request(method, gallery.remote.path(what), b"")


def test_a_gallery_without_blocks_is_searched(service: Live, tmp_path: Path) -> None:
    with make(service, tmp_path / "g") as gallery:
        (nobody,) = gallery.identify(photo(face(2, 7)))
        assert nobody.answer is Answer.UNKNOWN
