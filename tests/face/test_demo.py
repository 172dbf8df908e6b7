"""The demo: what it promises in JSON, what it shows, and that it leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fhe_face.client.verification import told
from fhe_face.local.demonstration import Demonstration
from tests.face.kit import Run, bundled_thresholds

BUNDLED = bundled_thresholds()

PROMISED = {
    "embed_seconds",
    "match_seconds",
    "keygen_seconds",
    "cosine_to_cleartext",
    "relative_l2_error",
    "score",
    "score_cleartext",
    "squared_norms",
    "healthy",
    "server_peak_rss_bytes",
    "evaluation_key_bytes",
    "ciphertext_bytes",
    "packed_weight_bytes",
    "ring_dimension",
    "log2_qp",
    "log2_qp_bound",
    "threads",
}


def measured() -> dict[str, Any]:
    """What a healthy run returns."""
    return {
        "keygen_seconds": 18.2,
        "evaluation_key_bytes": 3_234_353_728,
        "evaluation_keys": 116,
        "encrypt_seconds": [0.25, 0.24],
        "ciphertext_bytes": 60_819_584,
        "server_load_seconds": 9.4,
        "embed_seconds": [13.0, 12.9],
        "match_seconds": 0.1,
        "server_peak_rss_bytes": 10_288_930_816,
        "packed_weight_bytes": 82_514_512,
        "evaluation_key_memory_bytes": 6_468_665_344,
        "threads": 2,
        "squared_norms": [382.5, 361.2],
        "interval": [100.0, 3000.0],
        "healthy": True,
        "decrypt_seconds": 0.4,
        "score": 1.12357,
        "score_cleartext": 1.12394,
        "cosine": 0.97973,
        "cosine_cleartext": 0.97972,
        "cosine_to_cleartext": [0.9999991, 0.9999990],
        "relative_l2_error": [0.00134, 0.00136],
        "parameters": "safe",
        "ring_dimension": 65536,
        "log2_qp": 1704.0,
        "log2_qp_bound": 1747,
        "margin_bits": 43.0,
        "half": None,
        "client_peak_rss_bytes": 819_433_472,
        **told(0.97973, BUNDLED),
    }


def pretend(monkeypatch: pytest.MonkeyPatch, data: dict[str, Any]) -> None:
    monkeypatch.setattr(Demonstration, "run", lambda *_: data)


def test_it_shows_the_smaller_ring(fhe_face: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    half = {"ring_dimension": 32768, "log2_qp": 867.0, "log2_qp_bound": 868, "margin_bits": 1.0}
    pretend(monkeypatch, measured() | {"half": half})
    out = fhe_face("demo").out
    assert "ring dimension 32768, log2(QP) 867 of at most 868 for 128 bits, margin 1" in out


def test_what_it_shows(fhe_face: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, measured())
    result = fhe_face("demo")
    assert result.status == 0
    strict = f"{BUNDLED.same_from:.3f}"
    assert result.out.startswith(f"same person: cosine 0.980, threshold {strict}, at which 1 stran")
    assert "1.123570" not in result.out  # a score above 1 beside a cosine looks broken
    for text in ("0.979730", "0.979720", "13.0 s", "3.23 GB", "10 GB", "0.99999910", "1747"):
        assert text in result.out, text
    assert "drawn by this project" in result.err
    assert "the bundled weights" in result.err
    assert fhe_face("demo", "--json").json()["bundled_weights"] is True
    answer = fhe_face("demo", "--weights", tmp_path / "w.ckpt", "--json").json()
    assert answer["verdict"] == "same"
    assert answer["score"] == 1.12357
    assert answer.keys() >= PROMISED
    assert answer["bundled_weights"] is False


def test_weights_without_thresholds_give_no_answer(
    fhe_face: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unknown = told(0.0, BUNDLED)
    pretend(monkeypatch, {name: v for name, v in measured().items() if name not in unknown})
    result = fhe_face("demo", "--weights", tmp_path / "w.ckpt")
    assert result.status == 0
    assert result.out.startswith("no answer: these weights have no thresholds")


def test_a_face_on_which_the_network_diverges(
    fhe_face: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"healthy": False, "reason": "face 2: diverged", "squared_norms": [380.0, float("nan")]}
    pretend(monkeypatch, facts)
    assert "face 2: diverged" in fhe_face("demo").refused(3)
    answer = fhe_face("demo", "--json").json()
    assert answer["healthy"] is False
    assert answer["reason"] == "face 2: diverged"
    assert answer["squared_norms"] == [380.0, None]
    assert "score" not in answer


def test_a_folder_to_keep_is_new(fhe_face: Run, tmp_path: Path) -> None:
    assert "exists already" in fhe_face("demo", "--keep", tmp_path).refused()
    assert not list(tmp_path.iterdir())


@pytest.mark.full
def test_the_demo_as_it_comes(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(repository)!r})\n{DEMO}"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout)
    with capsys.disabled():
        print(f"\ndemo, bundled weights: {process.stdout}", end="")
    assert answer.keys() >= PROMISED
    assert answer["healthy"] is True
    assert min(answer["cosine_to_cleartext"]) >= 0.9999
    assert max(answer["relative_l2_error"]) <= 0.01
    assert abs(answer["score"] - answer["score_cleartext"]) <= 0.005
    assert answer["log2_qp"] <= answer["log2_qp_bound"]
    assert not list(tmp_path.iterdir())


DEMO = "from fhe_face.cli import main\nmain(['demo', '--json'])"
