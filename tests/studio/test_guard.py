"""Who gets in: hosts, origins, the token of the terminal, tricks with paths, large uploads."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from fhe_face.studio.drawn import portraits
from fhe_face.studio.guard import MAX_BODY
from tests.studio.kit import Running, TinyEngine, png, running

PAGES = ("/", "/gallery", "/privacy", "/readiness", "/pictures/x", "/jobs/x/events")
CHANGES = (
    ("POST", "/photos/a"),
    ("DELETE", "/photos/a"),
    ("POST", "/photos/drawn"),
    ("POST", "/compare"),
    ("POST", "/jobs/cancel"),
    ("POST", "/gallery/enrol"),
    ("POST", "/gallery/identify"),
    ("DELETE", "/gallery/people/x"),
)


class Visitor:
    """Sends what it is told, as a browser would or would not."""

    def __init__(self, run: Running) -> None:
        self.run = run
        self.cookie: str | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        drop: tuple[str, ...] = (),
        **headers: str,
    ) -> tuple[int, str, dict[str, str]]:
        """Status, text and headers; drop: headers that are left out."""
        access = self.run.studio.access
        sent = {"host": f"127.0.0.1:{self.run.port}"}
        if self.cookie is not None:
            sent["cookie"] = f"{access.cookie}={self.cookie}"
        if method not in ("GET", "HEAD"):
            sent |= {"origin": self.run.origin, "x-studio": access.csrf}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection("127.0.0.1", self.run.port, timeout=20)) as line:
            line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if body is not None:
                sent.setdefault("content-length", str(len(body)))
            for name, value in sent.items():
                if name not in drop:
                    line.putheader(name, value)
            line.endheaders(body)
            answer = line.getresponse()
            text = answer.read().decode("utf-8", "replace")
            return answer.status, text, {k.lower(): v for k, v in answer.getheaders()}

    def enter(self) -> None:
        """With the token."""
        status, _, headers = self.ask("GET", f"/open?token={self.run.studio.access.token}")
        assert status == 200
        self.cookie = headers["set-cookie"].partition("=")[2].partition(";")[0]


@pytest.fixture
def visitor(engine: TinyEngine) -> Iterator[Visitor]:
    with running(engine) as run:
        yield Visitor(run)


@pytest.fixture
def inside(visitor: Visitor) -> Visitor:
    visitor.enter()
    assert visitor.ask("GET", "/")[0] == 200
    return visitor


def form(name: str, *files: tuple[str, bytes], **texts: str) -> dict[str, Any]:
    """Body and type of a form."""
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{text}\r\n'.encode()
        for key, text in texts.items()
    ]
    for file, content in files:
        head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        parts.append(head.encode() + b"Content-Type: image/png\r\n\r\n" + content + b"\r\n")
    return {
        "body": b"".join(parts) + b"--x--\r\n",
        "content_type": "multipart/form-data; boundary=x",
    }


# --- the token and the session -------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_no_page_without_the_session(visitor: Visitor, path: str) -> None:
    assert visitor.ask("GET", path)[0] == 403
    visitor.cookie = "guess"
    assert visitor.ask("GET", path)[0] == 403


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_no_change_without_the_session(visitor: Visitor, method: str, path: str) -> None:
    assert visitor.ask(method, path)[0] == 403


@pytest.mark.parametrize("query", ["", "?token=", "?token=guess", "?token=%00", "?token=%E2%82%AC"])
def test_another_token_opens_nothing(visitor: Visitor, query: str) -> None:
    status, text, headers = visitor.ask("GET", f"/open{query}")
    assert status == 403
    assert "used already" in text
    assert "set-cookie" not in headers


def test_the_token_is_used_once(visitor: Visitor) -> None:
    address = f"/open?token={visitor.run.studio.access.token}"
    assert visitor.ask("HEAD", address)[0] == 403  # a preview does not use it up
    status, text, headers = visitor.ask("GET", address)
    assert status == 200
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert visitor.run.studio.access.token not in text
    again, _, headers = visitor.ask("GET", address)
    assert again == 403
    assert "set-cookie" not in headers


def test_a_session_that_nobody_was_given_is_none(visitor: Visitor) -> None:
    visitor.cookie = visitor.run.studio.access._session
    assert visitor.ask("GET", "/")[0] == 403


# --- hosts and origins ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.evil.example:{port}",
        "[::1]:{port}",
        "",
    ],
)
def test_dns_rebinding_meets_a_closed_door(inside: Visitor, host: str) -> None:
    for method, path in (("GET", "/"), ("GET", "/static/studio.js"), *CHANGES):
        status, text, _ = inside.ask(method, path, host=host.format(port=inside.run.port))
        assert status == 421, (method, path)
        assert "fhe-face" not in text.partition("<main")[2]


def test_two_hosts_are_none(inside: Visitor) -> None:
    with socket.create_connection(("127.0.0.1", inside.run.port)) as line:
        own = f"127.0.0.1:{inside.run.port}"
        line.sendall(f"GET / HTTP/1.1\r\nHost: {own}\r\nHost: evil.example\r\n\r\n".encode())
        assert line.recv(100).split()[1] in (b"400", b"421")


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", None],
)
@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_forged_requests_change_nothing(
    inside: Visitor, method: str, path: str, origin: str | None
) -> None:
    sent: dict[str, Any] = {}
    if origin is not None:
        sent["origin"] = origin.format(port=inside.run.port)
    drop = ("origin",) if origin is None else ()
    assert inside.ask(method, path, drop=drop, **sent)[0] == 403


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_a_change_needs_the_pages_own_header(inside: Visitor, method: str, path: str) -> None:
    assert inside.ask(method, path, drop=("x-studio",))[0] == 403
    assert inside.ask(method, path, x_studio="guess")[0] == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_read_nothing(inside: Visitor, site: str) -> None:
    for path in PAGES:
        assert inside.ask("GET", path, sec_fetch_site=site)[0] == 403
    assert inside.ask("GET", "/", sec_fetch_site="same-origin")[0] == 200


def test_it_listens_on_the_loopback_only(visitor: Visitor) -> None:
    name = socket.gethostname()
    for address in {info[4][0] for info in socket.getaddrinfo(name, None, socket.AF_INET)}:
        if not str(address).startswith("127."):
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((str(address), visitor.run.port), timeout=2).close()


# --- what is answered ----------------------------------------------------------------------------


def test_every_answer_has_the_policy(inside: Visitor) -> None:
    for path in ("/", "/gallery", "/nothing", "/static/studio.js", "/open", "/privacy"):
        _, _, headers = inside.ask("GET", path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers
        if not path.startswith("/static/"):
            assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("page", ["/", "/gallery", "/privacy"])
def test_pages_name_no_other_host_and_hold_no_script(inside: Visitor, page: str) -> None:
    _, text, _ = inside.ask("GET", page)
    assert "http:" not in text
    assert "https:" not in text
    assert "//" not in text
    assert "style=" not in text
    assert "<style" not in text
    assert "onclick" not in text
    assert all("src=" in part for part in text.split("<script")[1:])


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/..%5c..%5capp.py",
        "/static//etc/passwd",
        "/static/studio.css%00.png",
        "/static/",
        "//evil.example/",
        "/pictures/..%2f..%2fapp.py",
        "/photos/..%2fa",
        "/.git/config",
    ],
)
def test_tricks_with_paths_find_nothing(inside: Visitor, path: str) -> None:
    status, text, _ = inside.ask("GET", path)
    assert status in (404, 405)
    assert "import" not in text


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "OPTIONS"])
def test_other_methods_do_nothing(inside: Visitor, method: str) -> None:
    assert inside.ask(method, "/photos/a")[0] in (400, 404, 405, 501)


# --- uploads -------------------------------------------------------------------------------------


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
