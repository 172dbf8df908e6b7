"""``fhe-face studio`` as a program: what it says, how it ends, what it leaves."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import urllib.parse
from contextlib import closing
from pathlib import Path

import pytest

from fhe_face import cli
from fhe_face.commands import studio as command

START = [sys.executable, "-m", "fhe_face", "studio", "--no-browser"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of an error, before any page is served."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["studio", "--no-browser", *arguments])
    printed = capsys.readouterr()
    assert ended.value.code in (1, 2)
    assert printed.out == ""
    lines = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_tells_its_address_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        START,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = urllib.parse.urlsplit(process.stdout.readline().strip())
        assert (address.hostname, address.path) == ("127.0.0.1", "/open")
        assert address.port
        with closing(http.client.HTTPConnection("127.0.0.1", address.port, timeout=30)) as line:
            line.request("GET", f"{address.path}?{address.query}")
            assert line.getresponse().status == 200
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in said
    assert "error" not in said
    assert process.returncode == (0 if number is signal.SIGINT else 128 + number)
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        said = refused(capsys, "--port", port)
    assert f"port {port} cannot be used" in said
    assert "--port 0" in said


def test_weights_that_are_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"none")
    assert str(file) in refused(capsys, "--weights", str(file))


def test_keys_that_are_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "client.key" in refused(capsys, "--keys", str(tmp_path))


def test_a_folder_that_is_no_gallery(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert str(tmp_path) in refused(capsys, "--gallery", str(tmp_path))


def test_missing_packages_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_PACKAGES", ("starlette", "no_such_package"))
    said = refused(capsys)
    assert "the studio needs no_such_package: pip install 'fhe-face[client,studio]'" in said
