"""Uploads by section: what is asked for, what is refused, and what a cut costs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fhe_core import container
from fhe_core.container import Corrupt
from fhe_core.files import FileError
from fhe_face.service.errors import (
    NotComplete,
    NotHere,
    OtherContent,
    StillRunning,
)
from fhe_face.service.opening import Service
from fhe_face.service.rows import Room
from tests.service import kit

#: Where nothing but the way of uploading matters: small files.
SMALL = Room.GALLERY_KEYS


def test_a_file_comes_in_sections(service: Service) -> None:
    part, sent = kit.uploads(service), kit.files().keys
    resource, new = part.begin("anna", Room.KEYS, "mine", sent.front)
    assert new
    assert not resource.complete
    missing = part.missing(resource)
    assert [m.digest for m in missing] == [s.digest for s in sent.header.sections]
    assert sum(m.bytes for m in missing) == sum(len(c) for c in sent.sections.values())
    with pytest.raises(NotComplete):
        service.blobs.path("anna", Room.KEYS, "mine")
    for one in reversed(missing):  # in any order
        assert kit.send_section(
            part, "anna", Room.KEYS, "mine", one.digest, sent.sections[one.digest]
        )
    done = service.blobs.find("anna", Room.KEYS, "mine")
    assert done.complete
    assert part.missing(done) == []
    path = service.blobs.path("anna", Room.KEYS, "mine")
    assert path.read_bytes() == sent.path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    with container.open(path) as reader:
        reader.verify_all()
    assert not list(service.blobs.partial("anna", 0).parent.iterdir())


def test_only_what_is_missing_is_sent_again(service: Service) -> None:
    part, sent = kit.uploads(service), kit.files().gallery_keys
    part.begin("anna", SMALL, "mine", sent.front)
    first, second, *_ = sent.sections
    kit.send_section(part, "anna", SMALL, "mine", first, sent.sections[first])
    cut = part.receive("anna", SMALL, "mine", second)  # killed in the middle
    assert cut is not None
    cut.write(sent.sections[second][:100])
    cut.abort()
    again, new = kit.uploads(service).begin("anna", SMALL, "mine", sent.front)
    assert not new
    assert first not in {m.digest for m in part.missing(again)}
    assert second in {m.digest for m in part.missing(again)}
    assert part.receive("anna", SMALL, "mine", first) is None
    kit.send(part, "anna", SMALL, "mine", sent)
    assert service.blobs.path("anna", SMALL, "mine").read_bytes() == sent.path.read_bytes()


@pytest.mark.parametrize("how", ["wrong", "short", "long"])
def test_wrong_bytes_count_for_nothing(service: Service, how: str) -> None:
    part, sent = kit.uploads(service), kit.files().gallery_keys
    part.begin("anna", SMALL, "mine", sent.front)
    digest, content = next(iter(sent.sections.items()))
    wrong = content[:-1] + bytes([content[-1] ^ 1])
    other = {"wrong": wrong, "short": content[:-1], "long": content + b"\0"}[how]
    with pytest.raises(Corrupt):
        kit.send_section(part, "anna", SMALL, "mine", digest, other)
    # A later one of the same section is not in its way, and nothing else was touched.
    kit.send(part, "anna", SMALL, "mine", sent)
    assert service.blobs.path("anna", SMALL, "mine").read_bytes() == sent.path.read_bytes()


def test_one_section_is_written_by_one(service: Service) -> None:
    part, sent = kit.uploads(service), kit.files().gallery_keys
    part.begin("anna", SMALL, "mine", sent.front)
    first, second, *_ = sent.sections
    slow = part.receive("anna", SMALL, "mine", first)
    assert slow is not None
    with pytest.raises(StillRunning):
        part.receive("anna", SMALL, "mine", first)
    other = part.receive("anna", SMALL, "mine", second)  # others go on beside it
    assert other is not None
    other.abort()
    slow.write(sent.sections[first])
    slow.finish()
    assert part.receive("anna", SMALL, "mine", first) is None


def test_many_at_once(service: Service) -> None:
    part, sent = kit.uploads(service), kit.files().gallery_keys
    part.begin("anna", SMALL, "mine", sent.front)
    failed: list[BaseException] = []

    def work(digests: list[str]) -> None:
        try:
            for digest in digests:
                kit.send_section(part, "anna", SMALL, "mine", digest, sent.sections[digest])
        except BaseException as error:
            failed.append(error)

    digests = list(sent.sections)
    threads = [threading.Thread(target=work, args=(digests[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert service.blobs.path("anna", SMALL, "mine").read_bytes() == sent.path.read_bytes()


def test_what_was_sent_is_not_sent_again_under_another_name(service: Service) -> None:
    part, sent = kit.uploads(service), kit.files().gallery_keys
    kit.send(part, "anna", SMALL, "mine", sent)
    again, new = part.begin("anna", SMALL, "other", sent.front)
    assert new
    assert again.complete
    paths = [service.blobs.path("anna", SMALL, id) for id in ("mine", "other")]
    assert paths[0] == paths[1]
    service.blobs.delete("anna", SMALL, "mine")
    assert paths[1].is_file()
    service.blobs.delete("anna", SMALL, "other")
    assert not paths[1].exists()


def test_sections_are_shared_within_a_tenant_and_never_beyond(
    service: Service, tmp_path: Path
) -> None:
    part, sent = kit.uploads(service), kit.files().gallery_keys
    kit.send(part, "anna", SMALL, "mine", sent)
    # The same keys with one fact more in the header: another file of the same sections.
    changed = {**sent.header.metadata, "note": "x"}
    rebuilt = [
        container.Section(s.name, s.dtype, s.shape, (sent.sections[s.digest],))
        for s in sent.header.sections
    ]
    container.write(
        tmp_path / "changed",
        sent.header.kind,
        sent.header.parameter_hash,
        sent.header.key_id,
        changed,
        rebuilt,
    )
    other = kit.Sent.of(tmp_path / "changed")
    assert other.front != sent.front
    resource, _ = part.begin("anna", SMALL, "second", other.front)
    assert resource.complete
    path = service.blobs.path("anna", SMALL, "second")
    assert path.read_bytes() == other.path.read_bytes()
    foreign, _ = part.begin("ben", SMALL, "second", other.front)
    assert len(part.missing(foreign)) == len(sent.sections)


def test_tenants_do_not_see_each_other(service: Service) -> None:
    part, sent = kit.uploads(service), kit.files().gallery_keys
    kit.send(part, "anna", SMALL, "mine", sent)
    digest = next(iter(sent.sections))
    for attempt in (
        lambda: service.blobs.find("ben", SMALL, "mine"),
        lambda: service.blobs.path("ben", SMALL, "mine"),
        lambda: service.blobs.delete("ben", SMALL, "mine"),
        lambda: part.receive("ben", SMALL, "mine", digest),
    ):
        with pytest.raises(NotHere):
            attempt()
    assert service.blobs.page("ben", SMALL, 10) == []
    # A key id that somebody else has used is nobody's property.
    kit.send(part, "ben", SMALL, "mine", sent)
    assert service.blobs.path("anna", SMALL, "mine") != service.blobs.path("ben", SMALL, "mine")


def test_a_name_stays_what_it_is(service: Service) -> None:
    part = kit.uploads(service)
    part.begin("anna", SMALL, "mine", kit.files(0).gallery_keys.front)
    with pytest.raises(OtherContent):
        part.begin("anna", SMALL, "mine", kit.files(1).gallery_keys.front)
    service.blobs.delete("anna", SMALL, "mine")
    part.begin("anna", SMALL, "mine", kit.files(1).gallery_keys.front)


def test_a_lost_file_is_asked_for_again(service: Service) -> None:
    part, sent = kit.uploads(service), kit.files().gallery_keys
    resource, _ = part.begin("anna", SMALL, "mine", sent.front)
    digest = next(iter(sent.sections))
    kit.send_section(part, "anna", SMALL, "mine", digest, sent.sections[digest])
    service.blobs.partial("anna", resource.number).unlink()
    kit.send(part, "anna", SMALL, "mine", sent)
    assert not service.blobs.find("anna", SMALL, "mine").complete
    kit.send(part, "anna", SMALL, "mine", sent)
    assert service.blobs.path("anna", SMALL, "mine").read_bytes() == sent.path.read_bytes()


def test_a_crash_before_the_name_costs_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, sent = kit.uploads(service), kit.files().gallery_keys
    monkeypatch.setattr("fhe_face.service.uploads.Uploads.settle", lambda _self, one: one)
    kit.send(part, "anna", SMALL, "mine", sent)
    assert not service.blobs.find("anna", SMALL, "mine").complete
    monkeypatch.undo()
    again, _ = part.begin("anna", SMALL, "mine", sent.front)
    assert again.complete
    assert service.blobs.path("anna", SMALL, "mine").read_bytes() == sent.path.read_bytes()


def test_a_full_disk_loses_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    part, sent = kit.uploads(service), kit.files().gallery_keys
    part.begin("anna", SMALL, "mine", sent.front)
    digest, content = next(iter(sent.sections.items()))

    def full(_descriptor: int, _data: object, _place: int) -> int:
        raise OSError(28, "No space left on device")

    incoming = part.receive("anna", SMALL, "mine", digest)
    assert incoming is not None
    with monkeypatch.context() as patch:
        patch.setattr("fhe_face.service.sections.os.pwrite", full)
        with pytest.raises(FileError, match="no space left"):
            incoming.write(content)
        incoming.abort()
    kit.send(part, "anna", SMALL, "mine", sent)
    assert service.blobs.path("anna", SMALL, "mine").read_bytes() == sent.path.read_bytes()


def test_results_are_published_whole(service: Service) -> None:
    blobs, sent = service.blobs, kit.files().faces
    file = blobs.scratch() / "result"
    file.write_bytes(sent.path.read_bytes())
    made = blobs.publish("anna", Room.EMBEDDINGS, "e", file, {"job": "1"})
    assert made.complete
    assert made.facts == {"job": "1"}
    assert not file.exists()
    file.write_bytes(sent.path.read_bytes())
    assert blobs.publish("anna", Room.EMBEDDINGS, "e", file).number == made.number
    file.write_bytes(kit.files(1).faces.path.read_bytes())
    with pytest.raises(OtherContent):
        blobs.publish("anna", Room.EMBEDDINGS, "e", file)
    with pytest.raises(NotHere):
        blobs.publish("carl", Room.EMBEDDINGS, "e", file)
    file.write_bytes(b"no container")
    with pytest.raises(container.ContainerError):
        blobs.publish("anna", Room.EMBEDDINGS, "f", file)
