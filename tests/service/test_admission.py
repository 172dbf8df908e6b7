"""What the service takes, decided by headers alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fhe_core import container
from fhe_core.container import Corrupt, KeyMismatch, Limits, TooLarge, Truncated, WrongKind
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.secret.files import save_evaluation_keys
from fhe_face.service.admission import NotServed
from fhe_face.service.errors import (
    DiskFull,
    Invalid,
    OverQuota,
)
from fhe_face.service.opening import Service
from fhe_face.service.rows import Quotas, Room
from fhe_face.service.tenants import make_tenant
from tests.service import kit

#: Where nothing but the way of uploading matters: small files.
SMALL = Room.GALLERY_KEYS


@pytest.mark.parametrize("id", ["", ".", "..", "a/b", "a" * 129, "-a", "a\n", "ä", "a b"])
def test_names_that_cannot_be(service: Service, id: str) -> None:
    with pytest.raises(Invalid):
        kit.uploads(service).begin("anna", SMALL, id, kit.files().gallery_keys.front)


def test_faces_need_their_keys_first(service: Service) -> None:
    part, sent = kit.uploads(service), kit.files()
    with pytest.raises(KeyMismatch, match="send them first"):
        part.begin("anna", Room.FACES, "one", sent.faces.front)
    part.begin("anna", Room.KEYS, "mine", sent.keys.front)
    with pytest.raises(KeyMismatch):  # those of another tenant are not hers
        part.begin("ben", Room.FACES, "one", sent.faces.front)
    kit.send(part, "anna", Room.FACES, "one", sent.faces)
    assert service.blobs.find("anna", Room.FACES, "one").facts == {"runs": [["alone", 1]]}


def test_files_of_other_kinds_are_refused(service: Service) -> None:
    part, sent = kit.uploads(service), kit.files()
    part.begin("anna", Room.KEYS, "mine", sent.keys.front)
    for room, front in (
        (Room.KEYS, sent.faces.front),
        (Room.KEYS, sent.gallery_keys.front),
        (SMALL, sent.keys.front),
        (Room.FACES, sent.keys.front),
        (Room.EMBEDDINGS, sent.faces.front),
        (Room.SCORES, sent.faces.front),
    ):
        with pytest.raises(WrongKind):
            part.begin("anna", room, "x", front)
    kit.send(part, "anna", SMALL, "mine", sent.gallery_keys)


def test_circuits_that_are_not_served(service: Service) -> None:
    part = replace(kit.uploads(service), admission=replace(kit.circuits(), served=()))
    with pytest.raises(NotServed):
        part.begin("anna", Room.KEYS, "mine", kit.files().keys.front)


def test_keys_that_no_memory_holds(service: Service) -> None:
    sent = kit.files().keys
    expanded = 2 * (sent.header.total_bytes - sent.header.payload_offset)
    for memory, fits in ((expanded // 2, False), (4 * expanded, True)):
        circuits = replace(kit.circuits(), memory=memory)
        part = replace(kit.uploads(service), admission=circuits)
        if fits:
            part.begin("anna", Room.KEYS, "mine", sent.front)
        else:
            with pytest.raises(NotServed, match="in memory"):
                part.begin("anna", Room.KEYS, "mine", sent.front)


def test_keys_that_nothing_needs_are_storage(service: Service, tmp_path: Path) -> None:
    key = kit.files().key
    specifications = kit.engine().keys()
    names = {s.name for s in specifications}
    top = key.parameters.top
    spare = next(
        KeySpecification(KeyName(r, 0), (top,)) for r in range(1, 9) if KeyName(r, 0) not in names
    )
    part = kit.uploads(service)
    for wrong, error in (([*specifications, spare], Corrupt), (specifications[:-1], KeyMismatch)):
        save_evaluation_keys(tmp_path / "wrong", key, wrong, kit.engine().facts())
        with pytest.raises(error):
            part.begin("anna", Room.KEYS, "x", kit.Sent.of(tmp_path / "wrong").front)


def test_headers_that_are_damaged(service: Service) -> None:
    part, front = kit.uploads(service), kit.files().keys.front
    for data, error in (
        (b"", container.ContainerError),
        (front[:-1], Truncated),
        (front[:-1] + bytes([front[-1] ^ 1]), Corrupt),
        (front + b"\1", Corrupt),
        (front + bytes(64), Corrupt),
        (b"\0" + front[1:], container.NotAContainer),
    ):
        with pytest.raises(error):
            part.begin("anna", Room.KEYS, "x", data)
    assert service.blobs.page("anna", Room.KEYS, 10) == []
    padded = front.ljust(kit.files().keys.header.payload_offset, b"\0")
    assert part.begin("anna", Room.KEYS, "x", padded)[0].digest == (
        part.begin("anna", Room.KEYS, "y", front)[0].digest
    )


def test_limits_come_before_everything(service: Service) -> None:
    sent = kit.files().gallery_keys
    with pytest.raises(TooLarge):
        kit.uploads(service, limits=Limits(total_bytes=1000)).begin("anna", SMALL, "x", sent.front)
    with pytest.raises(DiskFull):
        kit.uploads(service, free_bytes=1 << 60).begin("anna", SMALL, "x", sent.front)
    make_tenant(service.database, "anna", Quotas(sent.header.total_bytes, 1, 1))
    part = kit.uploads(service)
    part.begin("anna", SMALL, "x", sent.front)
    with pytest.raises(OverQuota, match="delete"):  # what was promised counts
        part.begin("anna", SMALL, "y", kit.files(1).gallery_keys.front)
    service.blobs.delete("anna", SMALL, "x")
    part.begin("anna", SMALL, "y", kit.files(1).gallery_keys.front)
