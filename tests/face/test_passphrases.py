"""Passphrases on the command line: from a file, from a terminal, wrong, missing."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fhe_core.files import FileError
from fhe_core.secret.files import save_secret_key
from fhe_core.secret.protection import Scheme
from fhe_face.client import passphrases
from fhe_face.client.passphrases import PassphraseError
from fhe_face.engine import compile_engine
from fhe_face.failures import UsageError
from tests.face.kit import CIRCUIT, Kit, Run

PASSPHRASE = b"correct horse"


@pytest.fixture
def locked(kit: Kit, tmp_path: Path) -> Path:
    """The kit's key under a passphrase."""
    path, facts = tmp_path / "locked.key", compile_engine(CIRCUIT).facts()
    save_secret_key(path, kit.key, facts, passphrase=PASSPHRASE, scheme=Scheme(14))
    return path


@pytest.fixture
def word(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase.txt"
    path.write_bytes(PASSPHRASE + b"\n")
    return path


def test_decrypt_and_encrypt(
    fhe_face: Run, kit: Kit, locked: Path, word: Path, tmp_path: Path
) -> None:
    arguments = ("decrypt", "--key", locked, kit.score_ct, "--json")
    answer = fhe_face(*arguments, "--passphrase-file", word).json()
    assert answer["cosine"] == pytest.approx(0.5, abs=1e-6)
    image, target = tmp_path / "a.npy", tmp_path / "a.ct"
    np.save(image, np.zeros((64, 64, 3), np.uint8))
    missing = fhe_face("encrypt", "--key", locked, image, "-o", target)
    assert "protected by a passphrase" in missing.refused()
    assert not target.exists()
    result = fhe_face(
        "encrypt", "--key", locked, image, "-o", target, "--passphrase-file", word, "--json"
    )
    assert result.json()["key_id"] == kit.key.key_id


def test_a_wrong_passphrase_is_one_clear_error(
    fhe_face: Run, kit: Kit, locked: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("battery staple\n")
    result = fhe_face("decrypt", "--key", locked, kit.score_ct, "--passphrase-file", wrong)
    text = result.refused()
    assert text == f"{locked}: wrong passphrase, or the file was altered"
    assert "battery" not in result.out + result.err


def test_no_passphrase_and_no_terminal(fhe_face: Run, kit: Kit, locked: Path) -> None:
    text = fhe_face("decrypt", "--key", locked, kit.score_ct).refused()
    assert "give --passphrase-file" in text


def test_a_terminal_is_asked(
    fhe_face: Run, kit: Kit, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return PASSPHRASE.decode()

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", ask)
    assert fhe_face("decrypt", "--key", locked, kit.score_ct).status == 0
    assert asked == [f"passphrase of {locked}: "]
    assert fhe_face("decrypt", "--key", kit.client_key, kit.score_ct).status == 0
    assert len(asked) == 1


def test_info_needs_no_passphrase(fhe_face: Run, kit: Kit, locked: Path) -> None:
    answer = fhe_face("info", locked, "--json").json()
    assert answer["protected"] is True
    assert answer["key_id"] == kit.key.key_id
    assert "needed to use it" in fhe_face("info", locked).out
    assert fhe_face("info", kit.client_key, "--json").json()["protected"] is False


def test_a_prompt_that_is_left(monkeypatch: pytest.MonkeyPatch, locked: Path) -> None:
    def end(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", end)
    with pytest.raises(PassphraseError, match="no passphrase was given"):
        passphrases.opener(None, locked)()


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"a\nb\n", b"x" * (passphrases.MAX_BYTES + 1), b"\r\n"]
)
def test_files_that_hold_no_passphrase(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(FileError, match="one line") as caught:
        passphrases.read(path)
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize("content", [b"a b", b"a b\n", b"a b\r\n"])
def test_line_ends_do_not_count(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert passphrases.chosen(path, False) == b"a b"


def typed(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    given: Iterator[str] = iter(answers)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(given))


def test_new_passphrases_are_asked_twice(monkeypatch: pytest.MonkeyPatch, word: Path) -> None:
    assert passphrases.chosen(None, False) is None
    typed(monkeypatch, "héllo", "héllo")
    assert passphrases.chosen(None, True) == "héllo".encode()
    typed(monkeypatch, "one", "two")
    with pytest.raises(PassphraseError, match="differ"):
        passphrases.chosen(None, True)
    typed(monkeypatch, "")
    with pytest.raises(PassphraseError, match="1 to"):
        passphrases.chosen(None, True)
    with pytest.raises(UsageError, match="one of them"):
        passphrases.chosen(word, True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    with pytest.raises(UsageError, match="needs a terminal"):
        passphrases.chosen(None, True)


def test_keygen_refuses_a_bad_file_before_it_works(fhe_face: Run, tmp_path: Path) -> None:
    out = tmp_path / "keys"
    missing = fhe_face("keygen", "--out", out, "--passphrase-file", tmp_path / "none")
    assert "no such file" in missing.refused()
    assert not out.exists()
