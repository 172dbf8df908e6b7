"""The files of a device: whole, private, of one kind each, and hostile ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core import container
from fhe_core.container import (
    ContainerError,
    Corrupt,
    KeyMismatch,
    ParameterMismatch,
    Section,
    WrongKind,
)
from fhe_core.formats.ciphertexts import key_layout, load_evaluation_keys
from fhe_core.formats.devices import load_switching_key, require_switching, switching_bytes
from fhe_core.keys.evaluation import device_specification
from fhe_core.parameters import Parameters
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.device_files import load_device_key, save_device_key, save_switching_key
from fhe_core.secret.files import save_secret_key
from fhe_core.secret.key import SecretKey
from tests.core import tiny


@dataclass(frozen=True)
class Files:
    """A device's own key, its switching key, and their owner's."""

    owner: SecretKey
    device: SecretKey
    own: Path
    switching: Path
    main: Path


TOKENS = bytes(range(32))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, short_key: SecretKey) -> Files:
    device = SecretKey.generate(short_key.parameters)
    folder = tmp_path_factory.mktemp("devices")
    own, switching, main = (folder / name for name in ("device.key", "switching.key", "client.key"))
    save_device_key(own, device, short_key.key_id, TOKENS, {"label": "door"})
    save_switching_key(switching, short_key, device)
    save_secret_key(main, short_key, {})
    return Files(short_key, device, own, switching, main)


def test_files_come_back(files: Files, short: Parameters) -> None:
    evaluator = Evaluator(short, tiny.make_keys(files.owner, []), 1)
    key, owner, tokens = load_device_key(files.own, tiny.load)
    assert (key.key_id, owner, tokens) == (files.device.key_id, files.owner.key_id, TOKENS)
    assert files.own.stat().st_mode & 0o777 == 0o600
    read = load_switching_key(files.switching, short, files.owner.key_id, key.key_id)
    fresh, _ = key.encrypt(np.ones(short.slots), tiny.SCALE)
    switched = evaluator.from_device(fresh, read)
    assert files.owner.decrypt(switched) == pytest.approx(1.0, abs=1e-6)
    assert files.switching.stat().st_size < switching_bytes(short) + 2000


def test_no_file_of_a_device_holds_its_owners_secret(files: Files) -> None:
    """Neither as it is stored, nor as numbers, nor what is derived from it."""
    secret = files.owner.secret_coefficients()
    forms = [
        (secret + 1).astype(np.uint8).tobytes(),
        secret.tobytes(),
        files.owner.derive("request tokens, version 1"),
    ]
    assert forms[0][:64] in files.main.read_bytes()
    for file in (files.own, files.switching):
        content = file.read_bytes()
        for form in forms:
            pieces = [form[i : i + 32] for i in range(0, len(form) - 31, 32)]
            assert not any(piece in content for piece in pieces), file


def test_a_devices_key_replaces_nothing(files: Files) -> None:
    before = files.own.read_bytes()
    with pytest.raises(ContainerError, match="exists already"):
        save_device_key(files.own, files.device, files.owner.key_id, TOKENS, {})
    with pytest.raises(ContainerError, match="exists already"):
        save_switching_key(files.switching, files.owner, files.device)
    assert files.own.read_bytes() == before


def test_key_files_do_not_stand_in_for_each_other(files: Files, short: Parameters) -> None:
    owner, device = files.owner.key_id, files.device.key_id
    for file, expected in ((files.main, "of a device"), (files.switching, "evaluation-keys")):
        with pytest.raises(WrongKind, match=expected):
            load_device_key(file, tiny.load)
    for file in (files.own, files.main):
        with pytest.raises(WrongKind, match="evaluation-keys"):
            load_switching_key(file, short, owner, device)
    with pytest.raises(ContainerError):
        load_evaluation_keys(files.switching, load=tiny.load)


def test_another_owner_device_or_ring(files: Files, short: Parameters) -> None:
    owner, device = files.owner.key_id, files.device.key_id
    with pytest.raises(KeyMismatch, match="belongs to key"):
        load_switching_key(files.switching, short, "0" * 32, device)
    with pytest.raises(KeyMismatch, match="is of device"):
        load_switching_key(files.switching, short, owner, "0" * 32)
    with pytest.raises(ParameterMismatch):
        load_switching_key(files.switching, tiny.load(tiny.HALVES.name), owner, device)


Change = Callable[[dict[str, Any]], None]


def rewritten(source: Path, target: Path, change: Change, sections: Any = None) -> Path:
    """The file with other metadata, and digests that fit."""
    with container.open(source) as reader:
        header = reader.header
        metadata: dict[str, Any] = json.loads(json.dumps(dict(header.metadata)))
        change(metadata)
        given = [Section.from_array(name, reader.array(name, mmap=False)) for name in reader.names]
        container.write(
            target,
            header.kind,
            header.parameter_hash,
            header.key_id,
            metadata,
            given if sections is None else sections(given),
            private=True,
        )
    return target


SWITCHING: dict[str, Change] = {
    "no purpose": lambda m: m.pop("purpose"),
    "of a gallery": lambda m: m.update(purpose="gallery"),
    "a purpose that is no text": lambda m: m.update(purpose=["device"]),
    "no device": lambda m: m.pop("device"),
    "a device that is no id": lambda m: m.update(device="../../x"),
    "a device that is a number": lambda m: m.update(device=7),
    "a long device": lambda m: m.update(device="0" * 64),
    "another level": lambda m: m.update(level=1),
    "a level that is true": lambda m: m.update(level=True),
    "more": lambda m: m.update(keys=[[0, 0, 1]]),
    "other parameters": lambda m: m.update(parameters="lean"),
}


@pytest.mark.parametrize("what", SWITCHING)
def test_hostile_switching_keys(files: Files, short: Parameters, tmp_path: Path, what: str) -> None:
    def change(metadata: dict[str, Any]) -> None:
        SWITCHING[what](metadata)

    bad = rewritten(files.switching, tmp_path / "bad.key", change)
    with pytest.raises((Corrupt, WrongKind, KeyMismatch)) as caught:
        load_switching_key(bad, short, files.owner.key_id, files.device.key_id)
    assert str(bad) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_switching_keys_with_other_sections(
    files: Files, short: Parameters, tmp_path: Path
) -> None:
    """Refused from the header: nothing is read."""
    more = Section.from_array("more", np.zeros(8, np.uint8))
    forms: dict[str, Any] = {
        "more": lambda s: [*s, more],
        "fewer": lambda s: s[1:],
        "short": lambda s: [s[0], Section.from_array("key/0", np.zeros(8, np.uint8))],
    }
    for name, sections in forms.items():
        bad = rewritten(files.switching, tmp_path / name, lambda _m: None, sections)
        with pytest.raises(Corrupt, match="sections are not those"):
            load_switching_key(bad, short, files.owner.key_id)
        with pytest.raises(Corrupt, match="sections are not those"):
            require_switching(container.read_header(bad), short)


def test_a_residue_beyond_its_modulus_is_refused(
    files: Files, short: Parameters, tmp_path: Path
) -> None:
    size = key_layout(device_specification(short), short).bytes

    def sections(given: list[Section]) -> list[Section]:
        return [given[0], Section.from_array("key/0", np.full(size, 255, np.uint8))]

    bad = rewritten(files.switching, tmp_path / "bad.key", lambda _m: None, sections)
    with pytest.raises(Corrupt, match="not below its modulus"):
        load_switching_key(bad, short, files.owner.key_id)


OWN: dict[str, Change] = {
    "no purpose": lambda m: m.pop("purpose"),
    "no owner": lambda m: m.pop("owner"),
    "an owner that is no id": lambda m: m.update(owner="x"),
    "an owner that is a list": lambda m: m.update(owner=["0" * 32]),
}


@pytest.mark.parametrize("what", OWN)
def test_hostile_keys_of_devices(files: Files, tmp_path: Path, what: str) -> None:
    bad = rewritten(files.own, tmp_path / "bad.key", lambda m: OWN[what](m))
    with pytest.raises((Corrupt, WrongKind), match=str(bad)):
        load_device_key(bad, tiny.load)


def test_keys_of_devices_with_other_sections(files: Files, tmp_path: Path) -> None:
    forms: dict[str, Any] = {
        "fewer": lambda s: s[:1],
        "more": lambda s: [*s, Section.from_array("more", np.zeros(8, np.uint8))],
        "short": lambda s: [s[0], Section.from_array("requests", np.zeros(31, np.uint8))],
    }
    for name, sections in forms.items():
        bad = rewritten(files.own, tmp_path / name, lambda _m: None, sections)
        with pytest.raises(Corrupt, match="sections are not those"):
            load_device_key(bad, tiny.load)

    def not_ternary(given: list[Section]) -> list[Section]:
        return [Section.from_array("secret", np.full(256, 7, np.uint8)), given[1]]

    bad = rewritten(files.own, tmp_path / "no", lambda _m: None, not_ternary)
    with pytest.raises(Corrupt, match="not a ternary secret"):
        load_device_key(bad, tiny.load)


@pytest.mark.parametrize("name", ["own", "switching"])
def test_truncated_and_damaged_files(
    files: Files, short: Parameters, tmp_path: Path, name: str
) -> None:
    load: dict[str, Callable[[Path], object]] = {
        "own": lambda path: load_device_key(path, tiny.load),
        "switching": lambda path: load_switching_key(path, short, files.owner.key_id),
    }
    content = getattr(files, name).read_bytes()
    bad = tmp_path / "bad.key"
    places = np.random.default_rng(5).integers(0, len(content), 12)
    damaged = [content[:n] for n in (0, 7, 40, len(content) // 2, len(content) - 1)]
    damaged += [content[:p] + bytes([content[p] ^ 1]) + content[p + 1 :] for p in map(int, places)]
    for one in damaged:
        bad.write_bytes(one)
        with pytest.raises(ContainerError) as caught:
            load[name](bad)
        assert "\n" not in str(caught.value)
