"""`fhe-face serve token`, `tenant`, `audit`, `backup` and `restore` as people use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fhe_face.cli import main
from fhe_face.service.opening import open_service
from fhe_face.service.rows import Room, Scope
from fhe_face.service.tokens import authenticate
from tests.service import kit

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """A command; status, stdout and stderr."""

    def command(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["serve", *map(str, words)])
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return command


def test_a_token_from_the_command_line(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    status, secret, told = run("token", "create", "--folder", data, "--tenant", "office")
    assert status == 0
    assert "office" in told
    with open_service(data) as service:
        caller = authenticate(service.database, f"Bearer {secret.strip()}")
        assert caller.scopes == set(Scope) - {Scope.ADMIN, Scope.SUBMIT}
    status, out, _ = run("token", "list", "--folder", data, "--json")
    (token,) = json.loads(out)["tokens"]
    assert token["state"] == "valid"
    assert secret.strip() not in out
    assert run("token", "revoke", token["id"], "--folder", data)[0] == 0
    assert "revoked" in run("token", "list", "--folder", data)[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--tenant", "Office"), "tenant's name"),
        (("--tenant", "office", "--scopes", "all"), "--scopes"),
        (("--tenant", "office", "--scopes", ""), "scope"),
        (("--tenant", "office", "--days", "0"), "second"),
        (("--tenant", "office", "--days", "inf"), "--days"),
        (("--tenant", "office", "--days", "nan"), "--days"),
        (("--tenant", "office", "--days", "1e300"), "--days"),
    ],
)
def test_tokens_that_cannot_be(run: Run, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    status, out, err = run("token", "create", "--folder", tmp_path / "data", *words)
    assert status in (1, 2)
    assert out == ""
    assert told in err
    assert len(err.splitlines()) == 1


def test_quotas_from_the_command_line(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    run("token", "create", "--folder", data, "--tenant", "office")
    assert run("tenant", "set", "--folder", data, "--tenant", "office", "--bytes", 5)[0] == 0
    (tenant,) = json.loads(run("tenant", "list", "--folder", data, "--json")[1])["tenants"]
    assert (tenant["bytes"], tenant["bytes_used"]) == (5, 0)
    assert tenant["jobs"] > 0


@pytest.mark.parametrize("name", ["bytes", "jobs", "requests"])
def test_a_quota_that_no_database_holds(run: Run, tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    run("token", "create", "--folder", data, "--tenant", "office")
    told = run("tenant", "set", "--folder", data, "--tenant", "office", f"--{name}", 10**24)
    assert (told[0], len(told[2].splitlines())) == (1, 1)
    assert "a quota is at most" in told[2]


def test_a_tenant_is_removed_from_the_command_line(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with kit.make(data) as service:
        kit.send(kit.uploads(service), "anna", Room.GALLERY_KEYS, "x", kit.files().gallery_keys)
    assert run("tenant", "remove", "--folder", data, "--tenant", "carl", "--yes")[0] == 1
    assert run("tenant", "remove", "--folder", data, "--tenant", "anna", "--yes")[0] == 0
    assert not list((data / "blobs").rglob("*.fhec"))
    assert "anna" not in run("tenant", "list", "--folder", data)[1]


def test_backup_and_restore_from_the_command_line(run: Run, tmp_path: Path) -> None:
    data, backup, again = tmp_path / "data", tmp_path / "backup", tmp_path / "again"
    with kit.make(data) as service:
        kit.send(kit.uploads(service), "anna", Room.GALLERY_KEYS, "x", kit.files().gallery_keys)
    assert run("backup", "--folder", data, backup)[0] == 0
    assert run("backup", "--folder", data, backup)[0] == 1
    assert run("restore", backup, "--folder", again)[0] == 0
    with open_service(again) as service:
        assert service.blobs.find("anna", Room.GALLERY_KEYS, "x").complete
    status, _, told = run("restore", data, "--folder", tmp_path / "third")
    assert status == 1
    assert "no backup" in told


def test_the_audit_log_from_the_command_line(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    world = kit.World(kit.make(data))
    kit.push(world.client(), "gallery-keys", "x", kit.files().gallery_keys)
    world.client(None).get("/v1/keys")
    world.service.close()
    status, out, _ = run("audit", "--folder", data)
    assert status == 0
    assert "anna" in out.splitlines()[0]
    assert " 401 " in out.splitlines()[1]
    (deed,) = json.loads(run("audit", "--folder", data, "--tenant", "anna", "--json")[1])["deeds"]
    assert deed["status"] == 201


def test_a_folder_must_be_named(run: Run) -> None:
    status, _, told = run()
    assert status == 2
    assert "--folder" in told
