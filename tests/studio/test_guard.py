"""Who gets in: hosts, origins, the token of the terminal, tricks with paths."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.studio.visitor import Visitor

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
