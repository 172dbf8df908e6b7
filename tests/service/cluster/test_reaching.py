"""``fhe-face worker --ray``: what is said before anything is started, and what it starts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhe_face.cli import app
from fhe_face.commands import worker as command
from fhe_face.extras import MissingExtra
from fhe_face.failures import UsageError
from fhe_face.service.cluster.lane import node_settings
from fhe_face.service.cluster.messages import (
    ENGINE,
    RING,
    named,
    settings_from,
    to_text,
)
from fhe_face.service.cluster.reaching import (
    AUTH_MODE,
    NoCluster,
    address_of,
    require_reachable,
)
from fhe_face.service.jobs.lane import LaneSettings
from fhe_face.service.jobs.worker import RAY, settings_for
from tests.service.jobs.test_imports import ENGINES, SECRETS, loaded


@pytest.mark.parametrize(
    ("text", "address"),
    [("10.0.0.1:6379", ("10.0.0.1", 6379)), ("[::1]:1", ("::1", 1)), ("h:65535", ("h", 65535))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "auto", "host", ":6379", "h:", "h:x", "h:0", "h:65536", "ray://h:1", "h:1/x", "h:²"],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="--ray"):
        address_of(text)


@pytest.fixture
def token_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AUTH_MODE, "token")


def test_nobody_listens(token_mode: None) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(NoCluster, match="no Ray cluster at"):
            require_reachable(f"127.0.0.1:{port}")


def test_somebody_listens(token_mode: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        require_reachable(f"127.0.0.1:{listening.getsockname()[1]}")


@pytest.mark.parametrize("mode", [None, "disabled"])
def test_without_a_token_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, mode: str | None
) -> None:
    monkeypatch.delenv(AUTH_MODE, raising=False)
    if mode is not None:
        monkeypatch.setenv(AUTH_MODE, mode)
    with pytest.raises(NoCluster, match="RAY_AUTH_MODE=token"):
        require_reachable("127.0.0.1:1")


def test_the_command_says_it_in_one_line(tmp_path: Path, token_mode: None) -> None:
    pytest.importorskip("ray", reason="no Ray: pip install 'fhe-face[ray]'")
    ended = CliRunner().invoke(app, ["worker", "--folder", str(tmp_path), "--ray", "nonsense"])
    assert isinstance(ended.exception, UsageError)


def test_without_ray_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhe_face.extras.find_spec", lambda _name: None)
    with pytest.raises(MissingExtra, match=r"fhe-face\[ray\]"):
        command.require_cluster("127.0.0.1:1")


def test_nodes_are_told_what_the_worker_was(tmp_path: Path) -> None:
    given = {"weights": "bundled", "threads": 3, "memory": 5, "blocks": 7}
    settings = settings_for(tmp_path, ray="h:1", **given)  # type: ignore[arg-type]
    assert LaneSettings.from_json(settings.to_json()) == settings
    node = node_settings(settings)
    assert (node.weights, node.threads, node.memory, node.blocks) == ("bundled", 3, 5, 7)
    assert (node.engine, node.ring) == (ENGINE, RING)
    assert settings_from(to_text(node)) == node


def test_the_named_functions_are_there() -> None:
    assert named(ENGINE)(None, 1).name == "fhe-face"
    assert named(RING)().templates == 8192


@pytest.mark.parametrize("module", RAY)
def test_the_lanes_load_no_engine_and_nothing_that_decrypts(module: str) -> None:
    pytest.importorskip("ray", reason="no Ray: pip install 'fhe-face[ray]'")
    found = loaded(module)
    assert not [name for name in found if name.startswith(SECRETS)]
    engines = {"fhe_face.server.server", "fhe_core.runtime", "scipy"}
    assert not found & (engines if module.endswith("search_lane") else set(ENGINES))
