"""All stages in turn, really encrypted at a small ring: answers, resuming, refusals, secrets."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from benchmarks.official.stages.scores import REFUSED
from fhe_core.container import Kind, read_header
from fhe_core.files import FileError
from tests.core import tiny
from tests.face.official.kit import Bench, Pixels, cosines, png, write_pairs

People = tuple[list[Pixels], Pixels]


def give(bench: Bench, faces: list[Pixels]) -> None:
    write_pairs(bench.instance.input, [png(face) for face in faces])


def test_scores_are_those_of_the_model(
    bench: Bench, world: tiny.World, people: People, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = people[0][:6]
    give(bench, faces)
    assert bench.run() == pytest.approx(cosines(world, faces), abs=0.005)
    # Exact scores stay with the key.
    for line in bench.instance.predictions.read_text().splitlines():
        assert len(line.partition(".")[2]) == 3
    for kept in (bench.instance.predictions, bench.instance.decrypted):
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "warning: 3 pairs only; size 1 has 128" in capsys.readouterr().err
    report = json.loads(bench.instance.server_report.read_text())
    assert 0 < report["Encrypted computation"] < report["Total"]
    assert report["resumed"] == {"pairs_of_earlier_runs": 0}


def test_each_file_lies_where_it_may(bench: Bench, people: People) -> None:
    give(bench, people[0][:2])
    bench.run()
    io = bench.instance.io
    kinds: dict[str, set[Kind]] = {}
    for file in io.rglob("*"):
        if file.suffix in (".key", ".ct"):
            kinds.setdefault(file.parent.name, set()).add(read_header(file).kind)
    assert kinds == {
        "secret_key": {Kind.SECRET_KEY},
        "public_keys": {Kind.EVALUATION_KEYS},
        "ciphertexts_upload": {Kind.CIPHERTEXT},
        "ciphertexts_download": {Kind.CIPHERTEXT},
    }
    assert stat.S_IMODE(bench.instance.secret_key.stat().st_mode) == 0o600
    for folder in ("secret_key", "intermediate"):
        assert stat.S_IMODE((io / folder).stat().st_mode) == 0o700
    assert [p.name for p in bench.instance.secret_key.parent.iterdir()] == ["client.key"]
    assert not [p for p in io.rglob("*") if p.name.endswith(".tmp")]


def test_an_interrupted_computation_goes_on(bench: Bench, people: People) -> None:
    faces = people[0][:6]
    give(bench, faces)
    wanted = bench.run()
    files = [bench.instance.downloads.file(n) for n in range(3)]
    files[0].unlink()
    files[2].write_bytes(files[2].read_bytes()[:-1])
    with pytest.raises(KeyboardInterrupt):
        bench.compute(stop_at=2)
    with pytest.raises(FileError, match="not complete; run server_encrypted_compute first"):
        bench.decrypt()
    assert not bench.instance.predictions.exists()
    assert not bench.instance.server_report.exists()
    bench.compute()
    assert [server.pairs for server in bench.servers] == [3, 2, 1]
    bench.decrypt()
    assert bench.finish() == pytest.approx(wanted, abs=0.005)
    report = json.loads(bench.instance.server_report.read_text())
    assert report["resumed"] == {"pairs_of_earlier_runs": 2}
    assert report["Encrypted computation"] > 0
    bench.compute()
    assert len(bench.servers) == 3  # nothing was missing: no server was started


def test_nothing_is_done_twice(bench: Bench, people: People) -> None:
    give(bench, people[0][:4])
    bench.run()
    before = {p: p.stat().st_mtime_ns for p in bench.instance.io.rglob("pair-*")}
    key = bench.instance.secret_key.read_bytes()
    bench.run()
    assert len(before) == 2 + 2 + 2
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert bench.instance.secret_key.read_bytes() == key
    assert sum(len(client.encrypted) for client in bench.clients) == 4


def test_other_pictures_are_computed_again(bench: Bench, world: tiny.World, people: People) -> None:
    faces = people[0][:6]
    give(bench, faces)
    bench.run()
    changed = [*faces[:2], *people[0][6:8]]  # another second pair, and no third one
    give(bench, changed)
    assert bench.run() == pytest.approx(cosines(world, changed), abs=0.005)
    assert [server.pairs for server in bench.servers] == [3, 1]
    assert not bench.instance.downloads.file(2).exists()
    assert not bench.instance.uploads.file(2).exists()


@pytest.mark.parametrize("what", ["keys", "weights", "evaluation keys"])
def test_other_keys_or_weights_are_computed_again(bench: Bench, people: People, what: str) -> None:
    give(bench, people[0][:2])
    wanted = bench.run()
    if what == "keys":
        bench.instance.secret_key.unlink()
    elif what == "evaluation keys":
        bench.instance.evaluation_key.write_bytes(b"damaged")
    bench.keys()
    bench.weights(b"others" if what == "weights" else b"weights")
    if what != "weights":
        with pytest.raises(FileError, match="run client_preprocess_input first"):
            bench.encrypt()
        bench.prepare()
        bench.encrypt()
    bench.compute()
    bench.decrypt()
    assert [server.pairs for server in bench.servers] == [1, 1]
    assert bench.finish() == pytest.approx(wanted, abs=0.005)


def test_a_pair_without_an_answer(
    bench: Bench, world: tiny.World, people: People, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = people
    faces = [good[0], bad, good[1], good[2]]
    give(bench, faces)
    scores = bench.run()
    assert scores[0] == REFUSED
    assert scores[1] == pytest.approx(cosines(world, faces)[1], abs=0.005)
    err = capsys.readouterr().err
    assert "pair 1 has no score: the health check failed" in err  # and no numbers
    assert "warning: 1 of 2 pairs have no score; wrote -1.0" in err


def test_a_failed_stage_leaves_nothing_behind(bench: Bench, people: People) -> None:
    write_pairs(bench.instance.input, [png(people[0][0]), b"no picture"])
    bench.keys()
    with pytest.raises(ValueError, match="pair 1, second picture: not an image"):
        bench.prepare()
    assert not list(bench.instance.prepared.path.iterdir())
    with pytest.raises(FileError, match="run client_preprocess_input first"):
        bench.encrypt()
    assert not bench.instance.uploads.path.exists()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"pairs": []}', '{"pairs": [5]}', '{"pairs": [{"cosine": NaN}]}',
     '{"pairs": [{"cosine": 1}]}', '{"pairs": [{"cosine": "1"}]}', '{"pairs": [{}]}', "[" * 99999],
)  # fmt: skip
def test_damaged_scores_become_no_result(bench: Bench, text: str) -> None:
    bench.instance.decrypted.parent.mkdir(parents=True)
    bench.instance.decrypted.write_text(text)
    with pytest.raises(FileError, match="damaged"):
        bench.finish()
    assert not bench.instance.predictions.exists()


def test_leftovers_of_a_killed_process_go(bench: Bench, people: People, tmp_path: Path) -> None:
    give(bench, people[0][:2])
    folder = bench.instance.prepared.path
    folder.mkdir(parents=True)
    (folder / ".pair-0000.npz.0123.tmp").write_bytes(b"half")
    bench.prepare()
    assert sorted(p.name for p in folder.iterdir()) == ["complete.json", "pair-0000.npz"]
