"""Results are bound to requests, and answers are counted, on the command line and in Python."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fhe_core.formats.ciphertexts import load_bundle, save_bundle
from fhe_core.secret.key import SecretKey
from fhe_face.client.client import FaceClient
from fhe_face.client.ledger import AnswerLimitError, MemoryLedger, beside
from fhe_face.client.requests import RequestMismatch
from tests.face.kit import CIRCUIT, Kit, Run

DECIDE = ("--decision-only", "--threshold", "0.4")


def image(kit: Kit, target: Path, token: str) -> Path:
    """An encrypted face with a request's token."""
    bundle = load_bundle(kit.image_ct)
    save_bundle(target, replace(bundle, facts={**bundle.facts, "requests": [token]}))
    return target


def test_sent_tells_requests_apart(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    tokens = load_bundle(kit.score_ct).facts["requests"]
    left, right = (image(kit, tmp_path / f"{n}.ct", t) for n, t in enumerate(tokens))
    command = ("decrypt", kit.score_ct, "--key", kit.client_key, *DECIDE)
    assert fhe_face(*command, "--sent", left, "--sent", right).out == "same\n"
    error = fhe_face(*command, "--sent", right, "--sent", left).refused()
    assert f"answers request {tokens[0][:16]}, not the one that was sent" in error
    error = fhe_face(*command, "--sent", left).refused()
    assert "answers 2 request(s), and 1 were named as sent" in error
    error = fhe_face(*command, "--sent", kit.client_key, "--sent", left).refused()
    assert "is of kind secret-key" in error
    shown = fhe_face("info", left, "--json").json()
    assert shown["requests"] == [tokens[0][:16]]


def test_older_files_are_refused(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    bundle = load_bundle(kit.score_ct)
    facts = {name: value for name, value in bundle.facts.items() if name != "requests"}
    old = tmp_path / "old.ct"
    save_bundle(old, replace(bundle, facts=facts))
    error = fhe_face("decrypt", old, "--key", kit.client_key).refused()
    assert "carries no request token: it was made by an older version" in error
    assert fhe_face("info", old, "--json").json()["requests"] == []


def test_answers_are_counted_and_limited(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    """Refusals count as well; the same file again does not."""
    key = tmp_path / "client.key"
    shutil.copy(kit.client_key, key)
    command = ("decrypt", "--key", key, "--answer-limit", "2")
    found = fhe_face(*command, kit.bad_ct, *DECIDE)
    assert found.status == 3
    assert "client.ledger is missing" in found.err  # a copied key without its ledger
    found = fhe_face(*command, kit.score_ct, *DECIDE)
    assert found.out == "same\n"
    assert "given 2 of the 2 answers" in found.err
    again = fhe_face(*command, kit.score_ct, *DECIDE)
    assert (again.out, again.err) == ("same\n", "")
    error = fhe_face(*command, kit.embedding_ct).refused()
    assert "the key has given 2 answers, 1 more would pass its limit of 2" in error
    assert fhe_face("info", key, "--json").json()["answers"] == 2
    assert fhe_face("decrypt", kit.embedding_ct, "--key", key).status == 0
    (tmp_path / "client.ledger").write_bytes(b"")
    error = fhe_face(*command, kit.embedding_ct).refused()
    assert "client.ledger: cannot be used to count the key's answers" in error


def test_a_client_reads_and_counts(kit: Kit) -> None:
    client = FaceClient(kit.key, CIRCUIT, ledger=MemoryLedger(1))
    score = client.read(kit.score_ct)
    with pytest.warns(UserWarning, match="given 1 of the 1 answers"):
        assert client.decide(score, 0.4) is True
    assert client.decide(score, 0.6) is False  # the same result
    with pytest.raises(AnswerLimitError):
        client.decide(client.read(kit.bad_ct), 0.4)
    with pytest.raises(RequestMismatch):
        client.read(kit.score_ct, [kit.image_ct, kit.image_ct])


def test_keys_derive_bytes_for_a_purpose(kit: Kit) -> None:
    one, two = kit.key.derive("a"), kit.key.derive("b")
    assert len(one) == len(two) == 32
    assert one != two
    assert one == kit.key.derive("a")
    other = SecretKey.generate(kit.key.parameters)
    assert other.derive("a") != one
    assert beside(kit.client_key, kit.key.key_id).path.name == "client.ledger"
