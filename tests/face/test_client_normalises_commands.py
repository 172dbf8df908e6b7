"""Keys whose client normalises, on the command line: the key file says it all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fhe_face.circuit import NoScoresError
from fhe_face.engine import compile_engine
from fhe_face.server import job
from tests.face.kit import LENGTH, RAW_CIRCUIT, SQUARED_NORM, Kit, Run, make_raw_kit

INSTEAD = "decrypt both and compare them in the clear, as fhe-face verify --keys does"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return make_raw_kit(tmp_path_factory.mktemp("raw"))


def test_decrypt_gives_vectors_of_length_one(fhe_face: Run, raw: Kit, tmp_path: Path) -> None:
    target = tmp_path / "e.npy"
    ran = fhe_face("decrypt", raw.embedding_ct, "--key", raw.client_key, "-o", target, "--json")
    assert ran.status == 0
    answer = ran.json()
    assert (answer["kind"], answer["healthy"], answer["length"]) == ("embedding", True, LENGTH)
    assert answer["squared_norms"] == pytest.approx([SQUARED_NORM], rel=1e-4)
    assert answer["interval"] == list(RAW_CIRCUIT.normalisation.interval)
    assert np.linalg.norm(answer["embedding"]) == pytest.approx(1, abs=1e-12)
    assert np.load(target) == pytest.approx(np.array(answer["embedding"]))


@pytest.mark.parametrize(("name", "least"), [("bad_ct", 5e3), ("wrapped_ct", 2.0**60)])
def test_decrypt_refuses_what_is_not_healthy(
    fhe_face: Run, raw: Kit, name: str, least: float
) -> None:
    ran = fhe_face("decrypt", getattr(raw, name), "--key", raw.client_key, "--json")
    answer = ran.json()
    assert ran.status == 3
    (face,) = answer["faces"]
    assert face["squared_norms"][0] > least
    assert answer["output"] is None
    assert "outside [100, 3000]: the network diverged on this image" in ran.refused(3)


def test_info_says_who_normalises(fhe_face: Run, raw: Kit) -> None:
    for key in (raw.client_key, raw.evaluation_key):
        ran = fhe_face("info", key)
        assert "the client normalises" in " ".join(ran.out.split())


def test_match_refuses_before_any_work(fhe_face: Run, raw: Kit, tmp_path: Path) -> None:
    target, face = tmp_path / "s.ct", raw.embedding_ct
    ran = fhe_face("match", face, face, "--keys", raw.evaluation_key, "-o", target)
    said = ran.refused()
    assert said.startswith(f"{raw.evaluation_key}: keys whose client normalises")
    assert INSTEAD in said
    assert not target.exists()


def test_a_job_with_scores_is_refused_before_any_work(raw: Kit) -> None:
    work = job.Job(str(raw.evaluation_key), None, 1, (), (("a.ct", "b.ct", "c.ct"),))
    with pytest.raises(NoScoresError, match=INSTEAD):
        job.run(work, lambda *_: None)


def test_an_authority_takes_no_such_key(fhe_face: Run, raw: Kit, tmp_path: Path) -> None:
    """It decides about scores."""
    folder = tmp_path / "authority"
    assert fhe_face("authority", "create", folder).status == 0
    said = fhe_face("authority", "serve", folder, "--key", raw.client_key).refused()
    assert said.startswith(f"{raw.client_key}: keys whose client normalises")


def test_a_key_keeps_its_circuit(fhe_face: Run, raw: Kit, tmp_path: Path) -> None:
    ran = fhe_face(
        "keygen", "--key", raw.client_key, "--client-normalises", "--out", tmp_path / "more"
    )
    assert "leave out --size, --flip, --coefficients and --client-normalises" in ran.refused(2)


def test_the_plan(fhe_face: Run) -> None:
    answer = fhe_face("plan", "--client-normalises", "--json").json()
    (plan,) = answer["plans"]
    assert answer["circuit"] == compile_engine(RAW_CIRCUIT).circuit.describe()
    assert plan["totals"]["key_switches"] == 181
    usual = fhe_face("plan", "--json").json()
    assert answer["evaluation_key_bytes"] < 0.8 * usual["evaluation_key_bytes"]
    times = [one["plans"][0]["totals"]["estimated_seconds"] for one in (answer, usual)]
    assert times[0] < 0.85 * times[1]
