"""The service as a process: killed, asked to end, behind TLS, and with clients that say nothing."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import trustme

from fhe_core.matching import gallery_parameters
from fhe_core.secret.gallery_files import save_gallery_keys
from fhe_core.secret.key import SecretKey
from fhe_face.failures import UsageError
from fhe_face.service import listening
from fhe_face.service.listening import Address, is_loopback
from fhe_face.service.opening import open_service
from fhe_face.service.rows import Scope
from fhe_face.service.settings import Settings, load_settings, save_settings
from fhe_face.service.tenants import make_tenant
from fhe_face.service.tokens import create_token
from tests.service import kit, running


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> kit.Sent:
    """A gallery's evaluation keys, at full size: 0.9 MB in eight sections."""
    path = tmp_path_factory.mktemp("keys") / "gallery.evaluation.key"
    ring = gallery_parameters()
    save_gallery_keys(path, SecretKey.generate(ring.parameters), ring, {})
    return kit.Sent.of(path)


def client(serving: running.Serving, folder: Path) -> httpx.Client:
    with open_service(folder) as service:
        make_tenant(service.database, "anna", kit.QUOTAS)
        _, secret = create_token(service.database, "anna", {Scope.ADMIN})
    return httpx.Client(
        base_url=serving.url, headers={"Authorization": f"Bearer {secret}"}, timeout=30
    )


def test_a_killed_upload_sends_one_section_again(tmp_path: Path, keys: kit.Sent) -> None:
    folder, sections = tmp_path / "data", list(keys.sections.items())
    half = len(sections) // 2
    with running.process(folder, "--no-worker") as serving, client(serving, folder) as anna:
        anna.put("/v1/gallery-keys/mine", content=keys.front).raise_for_status()
        for digest, content in sections[:half]:
            path = f"/v1/gallery-keys/mine/sections/{digest}"
            assert anna.put(path, content=content).status_code == 204
        digest, content = sections[half]
        secret = anna.headers["authorization"]
        with socket.create_connection(("127.0.0.1", serving.port)) as connection:
            connection.sendall(
                f"PUT /v1/gallery-keys/mine/sections/{digest} HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: {secret}\r\nContent-Length: {len(content)}\r\n\r\n".encode()
                + content[: len(content) // 2]
            )
            time.sleep(0.5)
            serving.child.kill()  # in the middle of a section
            serving.child.wait()
    with running.process(folder, "--no-worker") as serving, client(serving, folder) as anna:
        file = anna.put("/v1/gallery-keys/mine", content=keys.front).json()
        assert [one["digest"] for one in file["missing"]] == [d for d, _ in sections[half:]]
        kit.push(anna, "gallery-keys", "mine", keys)
        found = anna.get("/v1/gallery-keys/mine/content").content
        assert found == keys.path.read_bytes()


def test_the_process_stays_small(tmp_path: Path, keys: kit.Sent) -> None:
    folder = tmp_path / "data"
    with running.process(folder, "--no-worker") as serving, client(serving, folder) as anna:

        def work(number: int) -> None:
            kit.push(anna, "gallery-keys", f"k{number}", keys)
            for _ in range(20):
                anna.get("/v1/about").raise_for_status()
            assert anna.get(f"/v1/gallery-keys/k{number}/content").status_code == 200

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(16)))
        assert anna.get("/openapi.json").status_code == 200
        peak = serving.peak_bytes()
        print(f"peak of the API process: {peak / 1e6:.0f} MB")
        assert peak <= 250e6


def test_a_worker_runs_beside_and_ends_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with running.process(folder) as serving:
        wait(lambda: httpx.get(f"{serving.url}/ready").status_code == 200)
        (worker,) = serving.children()
        os.kill(worker, signal.SIGKILL)  # it comes again
        wait(lambda: [w for w in serving.children() if w != worker] != [])
        (worker,) = serving.children()
        serving.child.send_signal(signal.SIGTERM)
        assert serving.child.wait(running.SECONDS) == 0
        assert not Path(f"/proc/{worker}").exists()


def test_one_folder_has_one_process(tmp_path: Path) -> None:
    with running.process(tmp_path / "data", "--no-worker"):
        command = [sys.executable, "-m", "fhe_face", "serve", "--folder", str(tmp_path / "data")]
        second = subprocess.run([*command, "--port", "0"], capture_output=True, text=True)
        assert second.returncode == 2
        assert "another `fhe-face serve`" in second.stderr
    with running.process(tmp_path / "data", "--no-worker"):
        pass


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + running.SECONDS
    while not until():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    address = Address("0.0.0.0", 0, tmp_path / "cert.pem", tmp_path / "key.pem")
    address.check()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    world = kit.World(kit.make(tmp_path / "data"))
    with running.thread(world, address) as url:
        assert httpx.get(f"{url}/live", verify=trust).json() == {"live": True}
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/live")
        with pytest.raises(httpx.HTTPError):
            httpx.get(url.replace("https", "http") + "/live")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (Address("0.0.0.0"), "without TLS"),
        (Address("::"), "without TLS"),
        (Address("192.0.2.1"), "without TLS"),
        (Address("example.org"), "without TLS"),
        (Address(certificate=Path("cert.pem")), "both"),
        (Address(key=Path("key.pem")), "both"),
        (Address(certificate=Path("none.pem"), key=Path("none.pem")), "none.pem"),
    ],
)
def test_addresses_that_would_show_tokens(address: Address, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        address.check()


def test_addresses_that_may_be() -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        Address(host).check()
    Address("0.0.0.0", proxy=True).check()
    assert not is_loopback("localhost.example.org")
    with pytest.raises(UsageError, match="cannot listen"):
        Address("192.0.2.1", 0).bind()


def test_whoever_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HEADER_SECONDS", 0.5)
    world = kit.World(kit.make(tmp_path / "data"), Settings(free_bytes=0, idle_seconds=0.5))
    with running.thread(world) as url:
        place = ("127.0.0.1", int(url.rpartition(":")[2]))
        for beginning in (
            b"",
            b"GET /live HTTP/1.1\r\nHost:",
            b"GET /live HTTP/1.1\r\nHost: x\r\n",
        ):
            with socket.create_connection(place, timeout=10) as connection:
                connection.sendall(beginning)
                assert connection.recv(1000) == b""
        token = kit.token(world.service)
        with socket.create_connection(place, timeout=10) as connection:
            connection.sendall(
                b"PUT /v1/keys/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
                b"Authorization: Bearer " + token.encode() + b"\r\n\r\n12"
            )
            answer = connection.recv(10_000)
            assert answer.startswith(b"HTTP/1.1 408 ")
        assert httpx.get(f"{url}/live").status_code == 200


def test_too_many_at_once(tmp_path: Path) -> None:
    world = kit.World(kit.make(tmp_path / "data"), Settings(free_bytes=0, connections=0))
    answer = world.client().get("/v1/about")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


def test_too_many_connections_are_told_to_come_again(tmp_path: Path) -> None:
    world = kit.World(kit.make(tmp_path / "data"), Settings(free_bytes=0, connections=1))
    with running.thread(world) as url, ExitStack() as stack:
        port = int(url.rpartition(":")[2])
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in "1234"
        ]
        with httpx.Client(base_url=url) as client:
            answer = client.get("/live")
            assert answer.headers["connection"] == "close"
            kit.problem(answer, 503, "busy")
            assert int(answer.headers["retry-after"]) >= 1
            silent[0].close()
            wait(lambda: client.get("/live").status_code == 200)


def test_the_unit_for_systemd(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fhe_face", "serve", "--print-unit", "--folder"]
    made = subprocess.run(
        [*command, "/var/lib/faces", "--memory-max", "6G", "--behind-proxy"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Type=notify\n" in made
    assert "MemoryMax=6G\n" in made
    assert "NoNewPrivileges=yes\n" in made
    assert "StateDirectory=faces\n" in made
    assert "--behind-proxy" in made
    refused = subprocess.run(
        [*command, str(tmp_path), "--host", "0.0.0.0"], capture_output=True, text=True
    )
    assert refused.returncode == 2


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(place))
        channel.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(place))
        with running.thread(kit.World(kit.make(tmp_path / "data"))):
            assert channel.recv(100) == b"READY=1"
        assert channel.recv(100) == b"STOPPING=1"


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    assert load_settings(tmp_path) == Settings()
    save_settings(tmp_path, Settings(threads=2, weights="official"))
    assert load_settings(tmp_path) == Settings(threads=2, weights="official")
    for text in ("{", "[]", '{"x": 1}', '{"retries": "3"}', '{"retries": -1}', '{"retries": true}'):
        (tmp_path / "settings.json").write_text(text)
        with pytest.raises(Exception, match=r"settings\.json"):
            load_settings(tmp_path)


def test_help_loads_no_web_framework() -> None:
    code = (
        "import sys; from fhe_face.cli import app; import typer\n"
        "typer.main.get_command(app).main(['serve', '--help'], standalone_mode=False)\n"
        "bad = {'fastapi', 'sqlalchemy', 'uvicorn'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
