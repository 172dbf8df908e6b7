"""The server process can compute, report and fail; it has nothing that decrypts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fhe_face.local.process import ServerError, run_job, started
from fhe_face.server.job import Job, JobError
from fhe_face.service.jobs.children import Lane
from fhe_face.service.jobs.lane import LaneSettings
from fhe_face.service.jobs.records import Limits
from tests.face.kit import Kit
from tests.face.witness import CLIENT_ONLY, serve_and_witness


def job(kit: Kit, folder: Path, weights: str | None = None) -> Job:
    return Job(
        evaluation_key=str(kit.evaluation_key),
        weights=weights,
        threads=1,
        embed=((str(kit.image_ct), str(folder / "out.ct")),),
        match=(),
    )


def test_the_server_process_cannot_decrypt(repository: Path, kit: Kit, tmp_path: Path) -> None:
    answers = serve_and_witness(repository, job(kit, tmp_path))
    assert "lacks the key" in answers[-2]["error"]  # it came as far as reading keys
    witness = answers[-1]
    assert "fhe_face.server.server" in witness["modules"]
    assert not CLIENT_ONLY & set(witness["modules"])
    assert witness["forbidden"] == []
    assert not {"cv2", "torch"} & set(witness["modules"])


def test_the_witness_finds_what_it_looks_for(repository: Path, kit: Kit, tmp_path: Path) -> None:
    answers = serve_and_witness(repository, job(kit, tmp_path), "import fhe_face.client.client")
    witness = answers[-1]
    assert CLIENT_ONLY & set(witness["modules"])
    assert "fhe_core.secret.key.SecretKey.decrypt" in witness["forbidden"]


def test_errors_of_the_server_are_told(kit: Kit, tmp_path: Path) -> None:
    stages = []
    with pytest.raises(ServerError, match=r"the server says: .*no such file"):
        run_job(job(kit, tmp_path, "/missing.ckpt"))
    with pytest.raises(ServerError, match=r"the server says: .*evaluation\.key: lacks the key"):
        run_job(job(kit, tmp_path), lambda *stage: stages.append(stage))
    assert ("reading weights", 0, 0) in stages
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("chosen", "wanted"), [(None, "1"), ("3", "3")])
def test_numpy_stays_on_one_thread_in_a_server(
    chosen: str | None, wanted: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its others spin while they wait, beside the threads that read keys and compute; unless
    somebody has chosen."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", chosen)
    program = "import os; print(os.environ['OPENBLAS_NUM_THREADS'])"
    process = started((sys.executable, "-c", program))
    assert process.communicate()[0].strip() == wanted

    (tmp_path / "asked.py").write_text(
        "import os; open('told', 'w').write(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    lane = Lane("asked", LaneSettings("", "", 0, Limits()), tmp_path)
    lane.start(0.0)
    assert lane.wait(60.0)
    assert (tmp_path / "told").read_text() == wanted


def test_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch, kit: Kit) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ServerError, match="ended without an answer"):
        run_job(job(kit, Path("/")))
    monkeypatch.setattr("sys.executable", "/bin/echo")
    with pytest.raises(ServerError, match="no answer"):
        run_job(job(kit, Path("/")))


def test_jobs_survive_the_pipe(kit: Kit) -> None:
    one = Job("e", None, 2, (("a", "b"), ("c", "d")), (("b", "d", "s"),))
    assert Job.from_json(one.to_json()) == one
    for text in ("", "[]", "{}", json.dumps({**json.loads(one.to_json()), "embed": [["a"]]})):
        with pytest.raises(JobError, match="not a server job"):
            Job.from_json(text)
