"""Certificates are verified, always; proxies of the environment are used, but not for oneself."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from fhe_face.remote.backoff import Backoff
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import Unreachable

TOKEN = "fhe_" + "t" * 43


class Hello(BaseHTTPRequestHandler):
    """Says one thing; keeps what it was asked."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"{self.path} {self.headers.get('authorization')}")
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_CONNECT(self) -> None:
        self.asked.append(f"CONNECT {self.path}")
        self.send_error(502)

    def log_message(self, *_: object) -> None:
        pass


def serve(context: ssl.SSLContext | None) -> tuple[HTTPServer, list[str]]:
    handler = type("Own", (Hello,), {"asked": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, handler.asked  # type: ignore[attr-defined]


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    made = trustme.CA()
    path = tmp_path / "ca.pem"
    made.cert_pem.write_to_path(str(path))
    return made, path


@pytest.fixture
def server(authority: tuple[trustme.CA, Path]) -> Iterator[tuple[int, list[str]]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("localhost").configure_cert(context)
    made, asked = serve(context)
    yield made.server_port, asked
    made.shutdown()
    made.server_close()


def ask(url: str, ca: Path | None = None) -> None:
    waits: list[float] = []
    with Connection(url, TOKEN, ca=ca, backoff=Backoff(3, 0.01), sleep=waits.append) as connection:
        connection.get("v1/about").fields()


def test_an_own_authority_is_taken(
    server: tuple[int, list[str]], authority: tuple[trustme.CA, Path]
) -> None:
    ask(f"https://localhost:{server[0]}", authority[1])
    assert server[1] == [f"/v1/about Bearer {TOKEN}"]


def test_an_unknown_authority_is_refused_before_the_token_is_sent(
    server: tuple[int, list[str]],
) -> None:
    with pytest.raises(Unreachable, match="--ca FILE"):
        ask(f"https://localhost:{server[0]}")
    assert server[1] == []


def test_a_certificate_of_another_name_is_refused(
    server: tuple[int, list[str]], authority: tuple[trustme.CA, Path]
) -> None:
    with pytest.raises(Unreachable, match="certificate"):
        ask(f"https://127.0.0.1:{server[0]}", authority[1])
    assert server[1] == []


def test_another_authority_is_refused(server: tuple[int, list[str]], tmp_path: Path) -> None:
    path = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    with pytest.raises(Unreachable):
        ask(f"https://localhost:{server[0]}", path)
    assert server[1] == []


def test_nobody_there_is_told_after_some_attempts() -> None:
    with pytest.raises(Unreachable, match="cannot be reached"):
        ask("http://127.0.0.1:9")


def test_a_proxy_is_used_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = serve(None)
    proxy, through = serve(None)
    address = f"http://127.0.0.1:{proxy.server_port}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, address)
    try:
        ask(f"http://127.0.0.1:{made.server_port}")
        assert len(asked) == 1
        assert through == []
        with pytest.raises(Unreachable):
            ask("https://faces.example")
        assert set(through) == {"CONNECT faces.example:443"}
    finally:
        for server in (made, proxy):
            server.shutdown()
            server.server_close()
