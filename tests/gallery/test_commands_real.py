"""The commands of galleries with real parameters and weights; nothing is replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fhe_face.demo_faces import demo_faces
from fhe_face.network import BUNDLED_TENSORS, bundled_weights
from tests.extent import LONG
from tests.face.conftest import fhe_face
from tests.face.kit import Result, Run

__all__ = ["fhe_face"]
LOCAL = ("--embed", "local")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Aligned crops: of a drawn face, and of the same one in other colours."""
    folder = tmp_path_factory.mktemp("people")
    for name, pixels in (("ann", demo_faces()[0]), ("bob", 255 - demo_faces()[1][::-1])):
        (folder / name).mkdir()
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / name / "1.png")
    return folder


def test_a_gallery_from_beginning_to_end(
    fhe_face: Run, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = fhe_face("gallery", "create", "g", "--names", "--aligned", "--template", "each")
    assert made.status == 0, made.err
    assert "is a demonstration" in made.err
    assert "next: fhe-face enroll FOLDER --gallery g" in made.out
    again = fhe_face("gallery", "create", "g")
    assert again.refused().startswith("g: ")
    first = fhe_face("enroll", people, "--gallery", "g", *LOCAL, "--json").json()
    assert first["model"] == BUNDLED_TENSORS
    assert [one["name"] for one in first["enrolled"]] == ["ann", "bob"]
    assert first["sealed"] == 2
    sealed, opened = (best(looked(fhe_face, people, how)) for how in ("encrypted", "local"))
    assert [name for name, _ in sealed] == [name for name, _ in opened] == ["ann", "bob"]
    for (_, one), (_, two) in zip(sealed, opened, strict=True):
        assert abs(one - two) < 1e-3
        assert one > 0.99
    size = fhe_face("gallery", "list", "--json").json()["galleries"][0]["bytes"]
    assert size < 16e6


def looked(fhe_face: Run, people: Path, match: str) -> Result:
    """All photos, looked up in the gallery `g`."""
    options = ("--gallery", "g", *LOCAL, "--match", match, "--scores", "--json")
    return fhe_face("identify", people, *options)


def best(answer: Result) -> list[tuple[str, float]]:
    """The best candidate of each photo."""
    assert answer.status == 0, answer.err
    candidates = [photo["faces"][0]["candidates"][0] for photo in answer.json()["photos"]]
    return [(one["name"], one["score"]) for one in candidates]


def test_what_a_gallery_of_photos_says_of_crops(
    fhe_face: Run, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fhe_face("gallery", "create", "g").status == 0
    line = fhe_face("enroll", people, "--gallery", "g", *LOCAL).refused()
    assert "prepared in another way" in line


def test_protected_by_a_passphrase(
    fhe_face: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("right").write_text("correct horse\n")
    Path("wrong").write_text("battery staple\n")
    for name in ("right", "wrong"):
        Path(name).chmod(0o600)
    create = ("gallery", "create", "g", "--aligned", "--passphrase-file", "right")
    assert fhe_face(*create, "--json").json()["protected"] is True
    show = ("gallery", "show", "g")
    assert "--passphrase-file" in fhe_face(*show).refused()
    assert "passphrase" in fhe_face(*show, "--passphrase-file", "wrong").refused()
    assert fhe_face(*show, "--passphrase-file", "right").status == 0
    assert fhe_face("gallery", "list").status == 0


def test_what_create_refuses(
    fhe_face: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("dear")
    Path("full").mkdir()
    Path("full/letter.txt").write_text("dear")
    for words, right in (
        ("file", "file: "),
        ("full", "full: "),
        ("file/inside", "file/inside: "),
        ("g --weights nowhere.safetensors", "nowhere.safetensors"),
    ):
        assert right in fhe_face("gallery", "create", *words.split()).refused()
    assert "mean or each" in fhe_face("gallery", "create", "g", "--template", "best").refused(2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]
    bad = ("gallery", "create", "g", "--database", "mysql://somewhere/else")
    assert "postgresql" in fhe_face(*bad).refused().lower()
    assert not Path("g").exists()


def test_another_way_of_embedding(
    fhe_face: Run, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fhe_face("gallery", "create", "g", "--names", "--aligned").status == 0
    assert fhe_face("enroll", people, "--gallery", "g", *LOCAL).status == 0
    rebuild = ("gallery", "rebuild", "g", *LOCAL, "--yes", "--flip")
    assert "drop" in fhe_face(*rebuild, people / "ann").refused()
    assert "nowhere: no such file or folder" in fhe_face(*rebuild, "nowhere").refused()
    done = fhe_face(*rebuild, people, "--json").json()
    assert done["embedded"] + done["before"] == 2
    shown = fhe_face("gallery", "show", "g", "--json").json()
    assert shown["preparation"]["flip"] is True
    assert shown["weights"] == "bundled"
    assert shown["thresholds"]["origin"] == "weights"
    assert [name for name, _ in best(looked(fhe_face, people, "local"))] == ["ann", "bob"]


def test_a_network_that_has_moved(
    fhe_face: Run, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(bundled_weights(), "w.safetensors")
    create = ("gallery", "create", "g", "--aligned", "--weights", "w.safetensors")
    assert fhe_face(*create).status == 0
    Path("w.safetensors").rename("moved.safetensors")
    enroll = ("enroll", people, "--gallery", "g", *LOCAL)
    assert "--weights says where it is now" in fhe_face(*enroll).refused()
    assert fhe_face(*enroll, "--weights", "moved.safetensors").status == 0


def test_info_of_the_files_of_a_gallery(
    fhe_face: Run, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fhe_face("gallery", "create", "g", "--aligned").status == 0
    assert fhe_face("enroll", people, "--gallery", "g", *LOCAL).status == 0
    (block,) = (path for path in Path("g/server/blocks").rglob("*") if path.is_file())
    key_id = fhe_face("gallery", "show", "g", "--json").json()["key_id"]
    for file, kind, said in (
        ("g/client/gallery.key", "secret-key", "a gallery's secret key: never give it away"),
        ("g/server/gallery.evaluation.key", "evaluation-keys", "for the server"),
        (block, "sealed-block", "sealed templates of a gallery"),
    ):
        data = fhe_face("info", file, "--json").json()
        assert (data["kind"], data["of"], data["key_id"]) == (kind, "gallery", key_id)
        assert data["ring_dimension"] == 8192
        assert data["log2_qp"] <= data["log2_qp_bound"] == 214
        assert said in fhe_face("info", file).out
    assert fhe_face("info", block, "--json").json()["positions"] == 8192
    changed = bytearray(block.read_bytes())
    changed[-500] ^= 1
    Path("changed").write_bytes(changed)
    assert "checksum" in fhe_face("info", "changed").refused()


@pytest.mark.full
@pytest.mark.slow
def test_real_faces_all_encrypted(
    fhe_face: Run,
    shared: Path,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Enrolled, looked up and verified by servers that cannot decrypt; two people, three photos.

    The photo that is verified is embedded as that of identify was: encrypted in the long run only.
    """
    johns = sorted((shared / "faces" / "johns").iterdir())[1:4]
    monkeypatch.chdir(tmp_path)
    for person in johns[:2]:
        Path("people", person.name).mkdir(parents=True)
        for photo in sorted(person.iterdir())[:2]:
            Path("people", person.name, photo.name).write_bytes(photo.read_bytes())
    create = ("gallery", "create", "g", "--names", "--weights", checkpoint)
    assert fhe_face(*create).status == 0
    assert "4 faces of 2 people" in fhe_face("enroll", "people", "--gallery", "g").out
    known, stranger = sorted(johns[0].iterdir())[3], sorted(johns[2].iterdir())[0]
    found = fhe_face("identify", known, stranger, "--gallery", "g", "-o", "out", "--json")
    assert found.status == 4, found.err
    answers = [photo["faces"][0] for photo in found.json()["photos"]]
    assert [one["answer"] for one in answers] == ["match", "unknown"]
    assert answers[0]["name"] == johns[0].name
    verify = ("verify", known, "--gallery", "g", "--subject")
    assert fhe_face(*verify, johns[0].name, *(() if LONG else LOCAL)).status == 0
    assert fhe_face(*verify, johns[1].name, "--embed", "local").status == 4
