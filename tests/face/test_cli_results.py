"""``decrypt`` and ``info``: right answers in both forms, refusals in both forms."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from fhe_face.failures import plain
from tests.face.kit import CIRCUIT, LENGTH, SQUARED_NORM, Kit, Run, bundled_thresholds

NORM = float(np.sqrt(SQUARED_NORM) * CIRCUIT.normalisation.evaluate(SQUARED_NORM))


def test_a_score(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    target = tmp_path / "score.npy"
    result = fhe_face("decrypt", "--key", kit.client_key, kit.score_ct, "-o", target, "--json")
    assert result.status == 0
    answer = result.json()
    assert answer["kind"] == "score"
    assert answer["healthy"] is True
    assert answer["score"] == pytest.approx(0.5 * NORM**2, abs=1e-6)
    assert answer["cosine"] == pytest.approx(0.5, abs=1e-6)
    assert answer["verdict"] == "not sure"
    judged = bundled_thresholds()
    assert answer["threshold"] == judged.same_from
    assert answer["different_below"] == judged.different_below
    assert answer["weights"].endswith("cryptofacenet4.safetensors")
    assert answer["squared_norms"] == pytest.approx([SQUARED_NORM] * 2, abs=1e-3)
    assert answer["interval"] == [100.0, 3000.0]
    assert float(np.load(target)) == answer["score"]
    text = fhe_face("decrypt", "--key", kit.client_key, kit.score_ct)
    assert text.status == 0
    assert text.out.startswith("not sure: cosine 0.500, between the thresholds ")
    assert "0.500000" in text.out
    assert f"{answer['score']:.6f}" not in text.out
    assert text.err.startswith("warning: judged by the thresholds of the bundled weights")
    assert text.err.count("\n") == 1
    given = fhe_face("decrypt", "--key", kit.client_key, kit.score_ct, "--threshold", "0.4")
    assert given.out.startswith("same person: cosine 0.500, threshold 0.400, as given\n")
    assert given.err == ""


def test_an_embedding(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    target = tmp_path / "embedding.npy"
    result = fhe_face("decrypt", "--key", kit.client_key, kit.embedding_ct, "-o", target, "--json")
    answer = result.json()
    assert answer["kind"] == "embedding"
    assert answer["healthy"] is True
    assert len(answer["embedding"]) == LENGTH
    assert np.linalg.norm(answer["embedding"]) == pytest.approx(NORM, rel=1e-6)
    assert np.array_equal(np.load(target), answer["embedding"])
    assert "Do not share" in fhe_face("decrypt", "--key", kit.client_key, kit.embedding_ct).out


@pytest.mark.parametrize("name", ["bad.ct", "noise.ct"])
def test_an_unhealthy_result_is_no_result(
    fhe_face: Run, kit: Kit, tmp_path: Path, name: str
) -> None:
    target = tmp_path / "x.npy"
    arguments = ("decrypt", "--key", kit.client_key, kit.folder / name, "-o", target)
    assert "no result" in fhe_face(*arguments).refused(3)
    result = fhe_face(*arguments, "--json")
    result.refused(3)
    answer = result.json()
    assert answer["healthy"] is False
    assert answer["reason"]
    assert answer["reason"] in answer["error"]
    assert not {"score", "cosine", "embedding"} & answer.keys()
    assert not list(tmp_path.iterdir())


def test_info_of_a_ciphertext(fhe_face: Run, kit: Kit) -> None:
    answer = fhe_face("info", kit.score_ct, "--json").json()
    assert (answer["kind"], answer["what"]) == ("ciphertext", "score")
    assert answer["bytes"] == kit.score_ct.stat().st_size
    assert answer["key_id"] == kit.key.key_id
    assert answer["ring_dimension"] == 65536
    assert answer["log2_qp"] <= answer["log2_qp_bound"] == 1747
    assert answer["margin_bits"] == pytest.approx(1747 - answer["log2_qp"])
    names = ["face 1 score", "face 1 left squared norm", "face 1 right squared norm"]
    assert [item["name"] for item in answer["items"]] == names
    assert [len(request) for request in answer["requests"]] == [16, 16]
    assert answer["items"][0] | {"level": 0, "limbs": 1, "log2_scale": 43.0} == answer["items"][0]


def test_info_of_evaluation_keys(fhe_face: Run, kit: Kit) -> None:
    answer = fhe_face("info", kit.evaluation_key, "--json").json()
    assert answer["kind"] == "evaluation-keys"
    assert answer["evaluation_keys"] == 1
    assert answer["memory_bytes"] == 2 * 7 * 65536 * 8
    assert "1 (per tier: 0, 0, 1)" in fhe_face("info", kit.evaluation_key).out


def test_info_tells_nothing_of_the_secret(fhe_face: Run, kit: Kit) -> None:
    answer = fhe_face("info", kit.client_key, "--json").json()
    assert answer["kind"] == "secret-key"
    expected = {"file", "kind", "format_version", "bytes", "intact", "key_id", "parameter_hash"}
    expected |= {"ring_dimension", "log2_q", "log2_qp", "log2_qp_bound", "margin_bits"}
    expected |= {"parameters", "circuit", "packings", "summary", "protected", "answers"}
    assert answer.keys() == expected
    assert "1747" in fhe_face("info", kit.client_key).out
    assert stat.S_IMODE(kit.client_key.stat().st_mode) == 0o600


def test_numbers_that_json_does_not_have() -> None:
    given = {"a": (float("nan"), float("inf"), 1.5), "b": {"c": [True, None, "x"]}}
    assert plain(given) == {"a": [None, None, 1.5], "b": {"c": [True, None, "x"]}}
