"""Keys appear together or not at all, and an interruption leaves nothing."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fhe_core.compiler import BATCH, SAFE
from fhe_core.compiler.architecture import architecture_of
from fhe_core.container import read_header
from fhe_core.files import FileError
from fhe_core.files import publish as publish_file
from fhe_core.parameters import Specification, Tier, build
from fhe_core.secret import files as key_files
from fhe_core.secret.protection import Scheme
from fhe_face.circuit import Circuit, circuit_of, normalisation_of, packings_for
from fhe_face.client import keymaking
from fhe_face.client.keymaking import make_keys, make_more_keys
from fhe_face.engine import Engine, key_bytes
from fhe_face.models.synthetic import random_fused
from fhe_face.places import Packing

NAMES = ["client.key", "evaluation.key"]
MADE = ["client.key", "client.ledger", "evaluation.key"]


@pytest.fixture(scope="module")
def engine() -> Engine:
    """A plan of one block at ring dimension 2048, which protects nothing."""
    parameters = build(
        Specification("insecure-face-test", 11, (50,) + (43,) * 12, (50,) * 3, (Tier(13, 3, 3),))
    )
    network = random_fused(0, channels=(4, 4), strides=(1,))
    circuit = Circuit(parameters.name, normalisation_of(None))
    shape = architecture_of(network)
    return Engine(circuit, parameters, shape, SAFE, BATCH, 8, (Packing.ALONE,))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_new_keys(engine: Engine, tmp_path: Path) -> None:
    stages: list[tuple[str, int, int]] = []
    folder = tmp_path / "new" / "keys"
    make_keys(folder, engine, stage=lambda *stage: stages.append(stage))
    assert files(folder) == MADE
    assert stat.S_IMODE((folder / "client.key").stat().st_mode) == 0o600
    for name in NAMES:
        assert circuit_of(read_header(folder / name)) == engine.circuit
    expected = key_bytes(engine.keys(), engine.parameters)
    assert expected < (folder / "evaluation.key").stat().st_size < expected * 1.05
    count = len(engine.keys())
    assert stages[-1] == ("making evaluation keys", count, count)


def test_keys_with_a_passphrase(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as cheap:
        cheap.setattr(key_files, "Scheme", lambda: Scheme(14))
        key = make_keys(tmp_path, engine, passphrase=b"word")
    path = tmp_path / "client.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(key_files.LockedKey, match="none was given"):
        key_files.load_secret_key(path, lambda _name: engine.parameters)
    loaded = key_files.load_secret_key(path, lambda _name: engine.parameters, passphrase=b"word")
    assert loaded.key_id == key.key_id
    assert circuit_of(read_header(path)) == engine.circuit


def test_existing_keys_stay(engine: Engine, tmp_path: Path) -> None:
    first = make_keys(tmp_path, engine)
    before = {name: (tmp_path / name).read_bytes() for name in NAMES}
    with pytest.raises(FileError, match=r"client\.key exists already"):
        make_keys(tmp_path, engine)
    (tmp_path / "client.key").rename(tmp_path / "moved.key")
    with pytest.raises(FileError, match=r"evaluation\.key exists already"):
        make_keys(tmp_path, engine)
    (tmp_path / "moved.key").rename(tmp_path / "client.key")
    assert {name: (tmp_path / name).read_bytes() for name in NAMES} == before
    second = make_keys(tmp_path, engine, overwrite=True)
    assert first.key_id != second.key_id
    assert files(tmp_path) == MADE


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("step", ["write_evaluation_keys", "save_secret_key", "_publish"])
def test_a_failure_leaves_nothing(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, overwrite: bool
) -> None:
    folder = tmp_path / "keys"
    before: dict[str, bytes] = {}
    if overwrite:
        make_keys(folder, engine)
        before = {name: (folder / name).read_bytes() for name in NAMES}

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(keymaking, step, fail)
    with pytest.raises(KeyboardInterrupt):
        make_keys(folder, engine, overwrite=overwrite)
    if overwrite:
        assert files(folder) == MADE
        assert {name: (folder / name).read_bytes() for name in NAMES} == before
    else:
        assert not folder.exists()


def test_a_full_disk(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keymaking, "key_bytes", lambda *_: 1 << 60)
    with pytest.raises(FileError, match="not enough disk space"):
        make_keys(tmp_path / "keys", engine)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot create"):
        make_keys(tmp_path / "file" / "keys", engine)
    with pytest.raises(FileError, match="the name is not valid"):
        make_keys("a\0b", replace(engine))


@pytest.mark.slow
@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupting_keygen(repository: Path, tmp_path: Path, number: int, status: int) -> None:
    folder = tmp_path / "keys"
    command = [sys.executable, "-m", "fhe_face.cli", "keygen", "--out", str(folder)]
    process = subprocess.Popen(
        command, cwd=repository, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob(".keygen-*/.evaluation.key*")):  # it is being written
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err == (b"error: interrupted\n" if status == 130 else b"")
    assert not list(tmp_path.iterdir())


def test_further_keys_for_an_existing_secret(engine: Engine, tmp_path: Path) -> None:
    """What was encrypted before stays readable, and both files say what the keys are for."""
    keys, more = tmp_path / "keys", tmp_path / "more"
    key = make_keys(keys, engine)
    both = engine.only([Packing.ALONE, Packing.BATCH])
    make_more_keys(keys / "client.key", key, more, both)
    assert files(more) == ["evaluation.key"]
    again = key_files.load_secret_key(keys / "client.key", lambda _name: engine.parameters)
    assert again.key_id == key.key_id == read_header(more / "evaluation.key").key_id
    for path in (keys / "client.key", more / "evaluation.key"):
        assert packings_for(read_header(path)) == (Packing.ALONE, Packing.BATCH)
    with pytest.raises(FileError, match="exists already"):
        make_more_keys(keys / "client.key", key, more, both)
    assert stat.S_IMODE((keys / "client.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_replacement_that_fails_keeps_the_old_pair(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    make_keys(tmp_path, engine)
    before = {name: (tmp_path / name).read_bytes() for name in NAMES}
    calls: list[int] = []

    def publish(*arguments: Path, overwrite: bool) -> None:
        calls.append(1)
        if len(calls) == fails_at:
            raise OSError("the disk is gone")
        publish_file(*arguments, overwrite=overwrite)

    monkeypatch.setattr(keymaking, "publish", publish)
    with pytest.raises(FileError, match="the disk is gone"):
        make_keys(tmp_path, engine, overwrite=True)
    assert files(tmp_path) == MADE
    assert {name: (tmp_path / name).read_bytes() for name in NAMES} == before


def test_what_a_crash_left_is_told(engine: Engine, tmp_path: Path) -> None:
    make_keys(tmp_path, engine)
    (tmp_path / "client.key").rename(tmp_path / ".client.key.previous")
    for overwrite in (True, False):
        (tmp_path / "evaluation.key").unlink(missing_ok=True)
        with pytest.raises(FileError, match=r"\.client\.key\.previous: a replacement of keys"):
            make_keys(tmp_path, engine, overwrite=overwrite)


def test_nothing_else_is_replaced_by_keys(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "client.key").write_text("the only copy of a poem")
    with pytest.raises(FileError, match="exists and is not a secret key"):
        make_keys(tmp_path, engine, overwrite=True)
    assert files(tmp_path) == ["client.key"]


def test_a_file_system_without_private_modes(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keymaking, "keeps_modes_private", lambda _: False)
    stages: list[object] = []
    with pytest.raises(FileError, match="keeps no private modes"):
        make_keys(tmp_path / "keys", engine, stage=lambda *stage: stages.append(stage))
    assert not stages
    assert not list(tmp_path.iterdir())
