"""``decrypt --decision-only`` and ``--share``: what was asked for leaves, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fhe_core.formats.ciphertexts import load_bundle
from fhe_face.client.client import FaceClient
from fhe_face.client.health import UnhealthyResultError
from tests.face.kit import SQUARED_NORM, Kit, Result, Run, bundled_thresholds

COSINE = 0.5  # of the kit's score


def numbers_of(result: Result) -> str:
    return result.out + result.err


def assert_silent(result: Result, *allowed: str) -> None:
    """No number that was decrypted: scores, squared norms, in any form."""
    text = numbers_of(result)
    for word in allowed:
        text = text.replace(word, "")
    digits = f"{SQUARED_NORM:.0f}"
    assert digits not in text
    assert "5000" not in text
    assert "e+" not in text
    assert "0.4999" not in text
    assert "0.5000" not in text


@pytest.mark.parametrize(("threshold", "same"), [("0.4", True), ("0.6", False)])
def test_a_decision(fhe_face: Run, kit: Kit, threshold: str, same: bool) -> None:
    decide = ("decrypt", "--key", kit.client_key, kit.score_ct, "--decision-only")
    arguments = (*decide, "--threshold", threshold)
    text = fhe_face(*arguments)
    assert text.status == (0 if same else 4)
    assert text.out.strip() == ("same" if same else "different")
    assert text.err == ""
    result = fhe_face(*arguments, "--json")
    assert result.status == text.status
    answer = result.json()
    assert answer == {
        "kind": "score",
        "healthy": True,
        "threshold": float(threshold),
        "same": same,
    }


def test_a_decision_by_the_weights(fhe_face: Run, kit: Kit) -> None:
    """The kit's cosine is 0.5, from which on the bundled weights do not say same."""
    arguments = ("decrypt", "--key", kit.client_key, kit.score_ct, "--decision-only")
    for named in ((), ("--weights", "bundled")):
        text = fhe_face(*arguments, *named)
        assert (text.status, text.out) == (4, "different\n")
        assert ("judged by the thresholds of the bundled weights" in text.err) is (not named)
        assert "is a demonstration" in text.err
        answer = fhe_face(*arguments, *named, "--json").json()
        assert answer.keys() == {"kind", "healthy", "threshold", "same", "weights"}
        assert answer["threshold"] == bundled_thresholds().same_from > 0.5
        assert answer["weights"].endswith("cryptofacenet4.safetensors")


@pytest.mark.parametrize("how", [("--decision-only", "--threshold", "0.2"), ("--share", "round")])
def test_an_unhealthy_result_tells_no_numbers(
    fhe_face: Run, kit: Kit, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]
) -> None:
    monkeypatch.setenv("FHE_FACE_TRACEBACK", "1")
    arguments = ("decrypt", "--key", kit.client_key, kit.bad_ct, *how)
    for extra in ((), ("--json",)):
        result = fhe_face(*arguments, *extra)
        assert result.status == 3
        assert_silent(result)
        assert "error: no result: the health check failed" in result.err
        if extra:
            answer = result.json()
            assert answer["healthy"] is False
            assert answer.keys() == {"error", "error_type", "kind", "healthy", "reason"}


def test_a_batch_of_decisions(fhe_face: Run, kit: Kit) -> None:
    """The three scores are 0.1, 0.2 and 0.3."""
    score = ("decrypt", "--key", kit.folder / "many.key", kit.scores_ct)
    exact = [face["cosine"] for face in fhe_face(*score, "--json").json()["faces"]]
    threshold = str(np.mean(exact[:2]))
    result = fhe_face(*score, "--decision-only", "--threshold", threshold, "--json")
    assert result.status == 0
    answer = result.json()
    assert [face["same"] for face in answer["faces"]] == [False, True, True]
    expected = {"number", "name", "healthy", "threshold", "same"}
    assert all(face.keys() == expected for face in answer["faces"])
    text = fhe_face(*score, "--decision-only", "--threshold", threshold)
    assert text.out.count("same") == 2
    assert text.out.count("different") == 1
    assert_silent(text)


def test_a_rounded_score(fhe_face: Run, kit: Kit) -> None:
    arguments = ("decrypt", "--key", kit.client_key, kit.score_ct, "--share", "round")
    answer = fhe_face(*arguments, "--json").json()
    assert answer["cosine"] == COSINE
    assert answer.keys() == {"kind", "healthy", "cosine", "digits", "crossing_probability"}
    assert answer["digits"] == 1
    text = fhe_face(*arguments, "--digits", "2")
    assert text.status == 0
    assert "in up to 31%" in text.out
    assert_silent(text, "0.50")


def test_a_flooded_score(fhe_face: Run, kit: Kit) -> None:
    arguments = ("decrypt", "--key", kit.client_key, kit.score_ct, "--share", "flood")
    options = ("--queries", "1", "--bits", "4", "--json")
    answers = [fhe_face(*arguments, *options).json() for _ in range(2)]
    for answer in answers:
        assert answer["deviation"] == pytest.approx(0.866, abs=0.001)
        assert abs(answer["cosine"] - COSINE) < 9 * answer["deviation"]
    text = fhe_face(*arguments, "--queries", "1", "--bits", "30").refused()
    assert "leaves nothing of a cosine" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threshold", "0.5", "--share", "round"), "--threshold and --weights decide"),
        (("--weights", "bundled", "--share", "round"), "--threshold and --weights decide"),
        (("--threshold", "0.5", "--weights", "bundled"), "choose one of --threshold and"),
        (("--decision-only", "--threshold", "0.5", "--share", "round"), "shares no value"),
        (("--share", "all"), "must be round or flood"),
        (("--digits", "1"), "goes with --share round"),
        (("--queries", "1"), "go with --share flood"),
        (("--share", "flood"), "takes --queries and --bits"),
        (("--share", "round", "-o", "x.npy"), "writes exact numbers"),
    ],
)
def test_wrong_usage(fhe_face: Run, kit: Kit, options: tuple[str, ...], message: str) -> None:
    result = fhe_face("decrypt", "--key", kit.client_key, kit.score_ct, *options)
    assert message in result.refused(2)
    assert_silent(result)
    assert not Path("x.npy").exists()


@pytest.mark.parametrize("name", ["embedding.ct", "embeddings.ct"])
def test_embeddings_are_never_shared(fhe_face: Run, kit: Kit, name: str) -> None:
    arguments = ("decrypt", "--key", kit.client_key, kit.folder / name)
    for options in (("--share", "round"), ("--decision-only", "--threshold", "0.5")):
        assert "never shared" in fhe_face(*arguments, *options).refused(2)


def test_bad_thresholds_and_digits(fhe_face: Run, kit: Kit) -> None:
    arguments = ("decrypt", "--key", kit.client_key, kit.score_ct)
    bad = fhe_face(*arguments, "--decision-only", "--threshold", "nan")
    assert "between -1 and 1" in bad.refused()
    assert "must be 1 to 2" in fhe_face(*arguments, "--share", "round", "--digits", "3").refused()


def test_raw_values_warn_and_say_how_to_share(fhe_face: Run, kit: Kit) -> None:
    text = fhe_face("decrypt", "--key", kit.client_key, kit.score_ct).out
    assert "Do not share" in text
    assert "--decision-only" in text


def test_the_client_object_decides(kit: Kit) -> None:
    client = FaceClient.load(kit.client_key)
    score = load_bundle(kit.score_ct)
    assert client.decide(score, 0.4) is True
    assert client.decide(score, 0.6) is False
    with pytest.raises(UnhealthyResultError):
        client.decide(load_bundle(kit.bad_ct), 0.4)
