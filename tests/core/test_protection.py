"""Secret keys under a passphrase: right, wrong, missing, altered, hostile."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core import container
from fhe_core.container import Corrupt, Kind, Section
from fhe_core.secret import files, protection
from fhe_core.secret.files import LockedKey, load_secret_key, save_secret_key
from fhe_core.secret.key import SecretKey
from fhe_core.secret.protection import ProtectionError, Scheme, WrongPassphrase, protect, unprotect
from tests.core import tiny

PASSPHRASE = b"correct horse battery staple"
CHEAP = Scheme(14)


@pytest.fixture
def protected(short_key: SecretKey, tmp_path: Path) -> Path:
    path = tmp_path / "client.key"
    save_secret_key(path, short_key, {"about": "x"}, passphrase=PASSPHRASE, scheme=CHEAP)
    return path


def test_the_default_cost() -> None:
    assert Scheme().describe() == {
        "scheme": "scrypt, aes-256-gcm",
        "log2_n": 17,
        "r": 8,
        "p": 1,
    }


def test_a_protected_key_comes_back(protected: Path, short_key: SecretKey) -> None:
    assert stat.S_IMODE(protected.stat().st_mode) == 0o600
    asked = []

    def ask() -> bytes:
        asked.append(1)
        return PASSPHRASE

    for given in (PASSPHRASE, ask):
        key = load_secret_key(protected, tiny.load, passphrase=given)
        assert np.array_equal(key.secret_coefficients(), short_key.secret_coefficients())
    assert asked == [1]


def test_the_header_stays_readable(protected: Path, short_key: SecretKey) -> None:
    header = container.read_header(protected, expect_kind=Kind.SECRET_KEY)
    assert header.key_id == short_key.key_id
    assert header.metadata["about"] == "x"
    assert {s.name for s in header.sections} == {"salt", "nonce", "sealed"}


def test_the_secret_is_not_in_the_file(protected: Path, short_key: SecretKey) -> None:
    stored = (short_key.secret_coefficients() + 1).astype(np.uint8).tobytes()
    data = protected.read_bytes()
    assert stored[:16] not in data
    assert PASSPHRASE not in data


def test_a_key_without_protection_asks_for_nothing(short_key: SecretKey, tmp_path: Path) -> None:
    path = tmp_path / "plain.key"
    save_secret_key(path, short_key, {})

    def ask() -> bytes:
        raise AssertionError("asked")

    assert load_secret_key(path, tiny.load, passphrase=ask).key_id == short_key.key_id
    assert files.PROTECTION not in container.read_header(path).metadata


@pytest.mark.parametrize("given", [b"wrong", b"", PASSPHRASE + b" ", None])
def test_wrong_or_missing_passphrases(protected: Path, given: bytes | None) -> None:
    with pytest.raises(LockedKey) as caught:
        load_secret_key(protected, tiny.load, passphrase=given)
    text = str(caught.value)
    assert text.startswith(str(protected))
    assert ("wrong passphrase" in text) == (given is not None)
    assert "\n" not in text
    assert "horse" not in text
    assert caught.value.__cause__ is None


def rewritten(path: Path, metadata: Mapping[str, Any], **replaced: Any) -> Path:
    """The same file with other facts and sections, and digests that fit."""
    with container.open(path) as reader:
        header = reader.header
        sections = {name: reader.array(name, mmap=False).copy() for name in reader.names}
    sections |= replaced
    target = path.with_name("altered.key")
    container.write(
        target,
        Kind.SECRET_KEY,
        header.parameter_hash,
        header.key_id,
        {**header.metadata, **metadata},
        [Section.from_array(name, a) for name, a in sections.items() if a is not None],
        private=True,
    )
    return target


@pytest.mark.parametrize("name", ["salt", "nonce", "sealed"])
def test_altered_bytes_do_not_open(protected: Path, name: str) -> None:
    with container.open(protected) as reader:
        changed = reader.array(name, mmap=False).copy()
    changed[-1] ^= 1
    with pytest.raises(LockedKey, match="wrong passphrase, or the file was altered"):
        load_secret_key(
            rewritten(protected, {}, **{name: changed}), tiny.load, passphrase=PASSPHRASE
        )


def test_an_altered_header_does_not_open(protected: Path) -> None:
    """Another circuit, say, under the same secret."""
    altered = rewritten(protected, {"about": "y"})
    with pytest.raises(LockedKey, match="altered"):
        load_secret_key(altered, tiny.load, passphrase=PASSPHRASE)


HOSTILE = [
    {"log2_n": 60},
    {"log2_n": 20},
    {"log2_n": 13},
    {"log2_n": -1},
    {"log2_n": True},
    {"log2_n": "17"},
    {"r": 1 << 40},
    {"p": 1 << 40},
    {"scheme": "none"},
    {"more": 1},
]


@pytest.mark.parametrize("change", HOSTILE)
def test_hostile_costs_are_refused_before_anything_is_computed(
    protected: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    def refuse(*_: object) -> bytes:
        raise AssertionError("computed")

    monkeypatch.setattr(Scheme, "key", refuse)
    altered = rewritten(protected, {"protection": {**CHEAP.describe(), **change}})
    with pytest.raises(Corrupt, match=r"protected in a way|asks for scrypt"):
        load_secret_key(altered, tiny.load, passphrase=PASSPHRASE)


@pytest.mark.parametrize("content", [None, "x", [], 17])
def test_protection_that_is_none(protected: Path, content: Any) -> None:
    with pytest.raises(Corrupt, match="protected in a way"):
        load_secret_key(rewritten(protected, {"protection": content}), tiny.load)


@pytest.mark.parametrize("name", ["salt", "nonce", "sealed"])
def test_sections_of_another_shape(protected: Path, name: str) -> None:
    for array in (None, np.zeros(7, np.uint8), np.zeros(2, np.uint64)):
        with pytest.raises(Corrupt, match=name):
            load_secret_key(
                rewritten(protected, {}, **{name: array}), tiny.load, passphrase=PASSPHRASE
            )


def test_an_empty_passphrase_protects_nothing(short_key: SecretKey, tmp_path: Path) -> None:
    with pytest.raises(ProtectionError, match="empty"):
        save_secret_key(tmp_path / "client.key", short_key, {}, passphrase=b"")
    assert not list(tmp_path.iterdir())


def test_each_protection_is_fresh() -> None:
    protected = [protect(b"secret", b"p", b"bound", CHEAP) for _ in range(2)]
    assert len({(s.salt, s.nonce, s.data) for s in protected}) == 2
    assert len({s.salt for s in protected}) == 2
    assert unprotect(protected[0], b"p", b"bound", CHEAP) == b"secret"
    with pytest.raises(WrongPassphrase):
        unprotect(protected[0], b"p", b"other", CHEAP)
    assert len(protected[0].data) == len(b"secret") + protection.TAG_BYTES
