"""Photos in forms: too large, too many, no forms, no photos; nothing is written to a disk."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from fhe_face.studio.drawn import portraits
from fhe_face.studio.guard import MAX_BODY
from tests.studio.kit import png
from tests.studio.visitor import Visitor, form


def test_an_oversized_upload_is_refused_before_it_is_read(inside: Visitor) -> None:
    with socket.create_connection(("127.0.0.1", inside.run.port), timeout=10) as line:
        access = inside.run.studio.access
        head = (
            f"POST /photos/a HTTP/1.1\r\nHost: 127.0.0.1:{inside.run.port}\r\n"
            f"Cookie: {access.cookie}={inside.cookie}\r\nOrigin: {inside.run.origin}\r\n"
            f"X-Studio: {access.csrf}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            f"Content-Length: {MAX_BODY + 1}\r\n\r\n"
        )
        line.sendall(head.encode())  # and not a byte of the body
        assert line.recv(100).split()[1] == b"413"


def test_an_upload_without_a_length_is_refused(inside: Visitor) -> None:
    sent: dict[str, Any] = {
        "transfer_encoding": "chunked",
        "content_type": "multipart/form-data; boundary=x",
    }
    assert inside.ask("POST", "/photos/a", **sent)[0] == 411


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"body": b"{}", "content_type": "application/json"}, "multipart/form-data"),
        ({"body": b"x", "content_type": "multipart/form-data"}, "cannot be read"),
        ({"body": b"x" * 100, "content_type": "multipart/form-data; boundary=x"}, "cannot be read"),
        (form("photo", *[("a.png", b"x")] * 41), "cannot be read"),
        (form("photo", ("a.png", b"x"), ("b.png", b"x")), "one photo"),
        (form("photo", ("a.png", b"x"), text="y" * 5000), "cannot be read"),
        (form("photo"), "one photo"),
    ],
)
def test_other_forms_get_one_sentence(inside: Visitor, sent: dict[str, Any], said: str) -> None:
    status, text, headers = inside.ask("POST", "/photos/a", hx_request="true", **sent)
    assert status == 422
    assert said in text.lower()
    assert headers["hx-retarget"] == "#alert"
    assert "Traceback" not in text


def test_photos_are_never_spooled_to_a_disk(
    inside: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a photo was written to a file")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", refuse)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    large = png(portraits()[0]) + b"\0" * (3 << 20)
    status, text, _ = inside.ask("POST", "/photos/a", **form("photo", ("large.png", large)))
    assert status == 200
    assert "One face found" in text


def test_names_of_files_are_escaped(inside: Visitor) -> None:
    evil = "<img src=x onerror=alert(1)>.png"
    sent = form("photo", (evil, png(portraits()[0])))
    status, text, _ = inside.ask("POST", "/photos/a", **sent)
    assert status == 200
    assert "<img src=x" not in text
    assert "&lt;img src=x" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "some.png"),
        (b"<html>", "web page"),
        (png(portraits()[0])[:2000], "damaged"),
        (png(portraits()[0][:40]), "No face found"),
    ],
)
def test_a_photo_that_cannot_be_used_gets_one_sentence(
    inside: Visitor, content: bytes, said: str
) -> None:
    status, text, _ = inside.ask("POST", "/photos/a", **form("photo", ("some.png", content)))
    assert status == 200
    note = text.partition('role="alert">')[2].partition("</p>")[0]
    assert said.lower() in note.lower()
    assert note.count(". ") == 0
    assert note.endswith(".")
    assert "--" not in note
