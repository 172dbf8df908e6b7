"""``fhe-face represent``: a matrix and an index, taken over by later runs, never mixed up."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fhe_core.files import FileError
from fhe_face.coeffs.fit import fit
from fhe_face.gallery.embedders import LocalEmbedder
from fhe_face.gallery.faces import content_digest
from fhe_face.local import represented_pairs, representing
from fhe_face.local.represented import rows_of
from fhe_face.models.calibration import images
from fhe_face.models.checkpoint import load, save_safetensors
from fhe_face.models.evaluation.embedding import embed_crops, unit
from fhe_face.models.fused import fuse
from fhe_face.models.reference import embed, squared_norm, unit_images
from fhe_face.models.synthetic import untrained
from tests.face.kit import Run

PEOPLE, IMAGES = 3, 2
NO_IMAGE = "not an image; expected PNG, JPEG, WebP, AVIF, BMP, GIF, TIFF or PPM"
FILES = {"embeddings.npy", "index.csv", "refused.csv", "represent.json"}


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    return images(np.random.default_rng(1), PEOPLE * IMAGES, 64)


@pytest.fixture
def people(crops: NDArray[np.uint8], tmp_path: Path) -> Path:
    for number, crop in enumerate(crops):
        person = tmp_path / "people" / f"person{number // IMAGES}"
        person.mkdir(parents=True, exist_ok=True)
        Image.fromarray(crop).save(person / f"{number % IMAGES}.png")
    return tmp_path / "people"


def _index(out: Path, name: str = "index.csv") -> list[dict[str, str]]:
    with (out / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many faces each call of the embedder was given."""
    calls: list[int] = []
    right = LocalEmbedder.embed

    def embed(self: LocalEmbedder, faces: Any, /) -> Any:
        calls.append(len(faces))
        return right(self, faces)

    monkeypatch.setattr(LocalEmbedder, "embed", embed)
    return calls


def test_matrix_and_index(
    fhe_face: Run, people: Path, weights: Path, crops: NDArray[np.uint8], tmp_path: Path
) -> None:
    (people / "person0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    out = tmp_path / "out"
    arguments = ("represent", people, "-o", out, "--weights", weights, "--aligned")
    answer = fhe_face(*arguments, "--json").json()
    assert (answer["faces"], answer["photos"], answer["people"]) == (6, 7, PEOPLE)
    assert answer["same"]["pairs"] == 3
    assert answer["different"]["pairs"] == 12
    assert answer["verdicts"] is None, "these weights have no thresholds"
    assert [one["photo"] for one in answer["refused"]] == ["person0/broken.png"]
    assert {file.name for file in out.iterdir()} == FILES
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in out.iterdir())
    matrix = np.load(out / "embeddings.npy")
    wanted = unit(embed_crops(fuse(load(weights).state), crops).raw)
    assert matrix.dtype == np.float32
    assert np.allclose(matrix, wanted, atol=1e-6)
    rows = _index(out)
    assert [row["row"] for row in rows] == [str(k) for k in range(6)]
    assert [row["photo"] for row in rows[:3]] == ["person0/0.png", "person0/1.png", "person1/0.png"]
    assert {row["person"] for row in rows} == {"person0", "person1", "person2"}
    assert _index(out, "refused.csv")[0]["photo"] == "person0/broken.png"


def test_a_second_run_computes_what_is_new(
    fhe_face: Run, people: Path, weights: Path, tmp_path: Path, counted: list[int]
) -> None:
    out = tmp_path / "out"
    arguments = ("represent", people, "-o", out, "--weights", weights, "--aligned")
    fhe_face(*arguments)
    first = np.load(out / "embeddings.npy")
    assert sum(counted) == 6
    counted.clear()
    (people / "person1" / "0.png").rename(people / "person1" / "renamed.png")
    (people / "person2" / "1.png").unlink()
    Image.new("RGB", (64, 64), (200, 120, 90)).save(people / "person0" / "new.png")
    answer = fhe_face(*arguments, "--json").json()
    assert (answer["computed"], answer["known"], answer["repeated"]) == (1, 5, 0)
    assert counted == [1]
    second = np.load(out / "embeddings.npy")
    names = [row["photo"] for row in _index(out)]
    assert names[3:5] == ["person1/1.png", "person1/renamed.png"]
    assert np.array_equal(second[[0, 1, 3, 4, 5]], first[[0, 1, 3, 2, 4]])


def test_an_interruption_loses_a_group(
    fhe_face: Run, people: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the result is that of a run without one, byte for byte."""
    monkeypatch.setattr(LocalEmbedder, "together", 2)
    arguments = ("represent", people, "--weights", weights, "--aligned")
    fhe_face(*arguments, "-o", tmp_path / "whole")
    right, calls = LocalEmbedder.embed, []

    def embed(self: LocalEmbedder, faces: Any, /) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return right(self, faces)

    monkeypatch.setattr(LocalEmbedder, "embed", embed)
    out = tmp_path / "out"
    stopped = fhe_face(*arguments, "-o", out)
    assert stopped.status == 130
    assert "goes on from there" in stopped.err
    assert {file.name for file in out.iterdir()} == {"parts"}
    answer = fhe_face(*arguments, "-o", out, "--json").json()
    assert (answer["computed"], answer["known"]) == (4, 2)
    for name in FILES:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {file.name for file in out.iterdir()} == FILES


def test_other_settings_embed_again(
    fhe_face: Run, people: Path, weights: Path, tmp_path: Path, counted: list[int]
) -> None:
    out = tmp_path / "out"
    arguments = ("represent", people, "-o", out, "--aligned")
    fhe_face(*arguments, "--weights", weights)
    other = tmp_path / "other.safetensors"
    save_safetensors(untrained(5), other)
    coefficients = tmp_path / "fit.json"
    coefficients.write_text(json.dumps(fit("minimax", (90.0, 3000.0), 3).to_json()))
    for change, named in (
        (("--weights", other), ["weights"]),
        (("--weights", other, "--flip"), ["preparation"]),
        (("--weights", other, "--flip", "--coefficients", coefficients), ["coefficients"]),
    ):
        counted.clear()
        result = fhe_face(*arguments, *change, "--json")
        assert result.json()["changed"] == named
        assert sum(counted) == 6
        assert "changed since the last run" in result.err


def test_damage_is_computed_again(
    fhe_face: Run, people: Path, weights: Path, tmp_path: Path, counted: list[int]
) -> None:
    out = tmp_path / "out"
    arguments = ("represent", people, "-o", out, "--weights", weights, "--aligned")
    fhe_face(*arguments)
    shutil.copy(out / "represent.json", tmp_path / "whole.json")
    before = (out / "embeddings.npy").read_bytes()
    for name in ("embeddings.npy", "index.csv"):
        content = bytearray((out / name).read_bytes())
        content[-3] ^= 1
        (out / name).write_bytes(content)
        counted.clear()
        assert fhe_face(*arguments).status == 0
        assert sum(counted) == 6
        assert (out / "embeddings.npy").read_bytes() == before
    for wrong in (b"[]", b'{"version": 1, "settings": 3}', b"[" * 100_000, b"\xff"):
        (out / "represent.json").write_bytes(wrong)
        (out / "parts").mkdir()
        state = json.loads((tmp_path / "whole.json").read_bytes())["settings"]
        digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
        (out / "parts" / f"{digest[:16]}-000001.npz").write_bytes(b"PK\x03\x04" + wrong)
        counted.clear()
        assert fhe_face(*arguments).status == 0
        assert sum(counted) == 6
        assert (out / "embeddings.npy").read_bytes() == before


def test_a_part_with_other_numbers_counts_for_nothing(
    fhe_face: Run, people: Path, weights: Path, tmp_path: Path
) -> None:
    """One whose header claims more than any memory, and one with embeddings of another length."""
    out = tmp_path / "out"
    arguments = ("represent", people, "-o", out, "--weights", weights, "--aligned")
    fhe_face(*arguments)
    before = (out / "embeddings.npy").read_bytes()
    settings = json.loads((out / "represent.json").read_bytes())["settings"]
    stem = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    known = hashlib.sha256((people / "person0" / "0.png").read_bytes()).hexdigest()
    rows = f"row,photo,sha256,face,faces,person\n0,0.png,{known},1,1,\n".encode()
    huge, narrow = io.BytesIO(), io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 50, 256)}
    np.lib.format.write_array_header_1_0(huge, header)
    np.save(narrow, np.ones((1, 3), np.float32))
    for content in (huge, narrow):
        (out / "represent.json").unlink()
        (out / "parts").mkdir()
        with zipfile.ZipFile(out / "parts" / f"{stem}-000001.npz", "w") as archive:
            archive.writestr("embeddings.npy", content.getvalue())
            for name, text in (("rows", rows), ("refused", rows[: rows.index(b"\n") + 1])):
                with archive.open(f"{name}.npy", "w") as stream:
                    np.lib.format.write_array(stream, np.frombuffer(text, np.uint8))
        assert fhe_face(*arguments).status == 0
        assert (out / "embeddings.npy").read_bytes() == before


def test_a_result_is_never_replaced_by_nothing(
    fhe_face: Run, people: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is not there, photos that all vanish, and photos without a usable face."""
    out = tmp_path / "out"
    how = ("-o", out, "--weights", weights, "--aligned")
    fhe_face("represent", people, *how)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    nowhere = tmp_path / "nowhere"
    assert "no such file or folder" in fhe_face("represent", nowhere, *how).refused()
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before

    broken = tmp_path / "broken" / "person0"
    broken.mkdir(parents=True)
    (broken / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = fhe_face("represent", broken.parent, *how)
    assert f"{out} keeps what it held" in result.refused()
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert fhe_face("represent", people, *how, "--json").json()["known"] == PEOPLE * IMAGES

    def gone(photo: Any) -> bytes:
        raise FileError(f"cannot read {photo}: no such file or folder")

    monkeypatch.setattr(representing, "content_digest", gone)
    assert f"{out} keeps what it held" in fhe_face("represent", people, *how).refused()
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_nothing_to_represent_leaves_no_folder(
    fhe_face: Run, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    fhe_face("represent", tmp_path / "nowhere", "-o", out, "--weights", weights).refused()
    assert not out.exists()
    (tmp_path / "letter.txt").write_text("dear")
    asked = ("represent", tmp_path / "letter.txt", "-o", out, "--weights", weights)
    assert fhe_face(*asked).refused().endswith("letter.txt: " + NO_IMAGE)
    assert not out.exists()
    out.mkdir()
    assert "keeps" not in fhe_face(*asked).refused()
    assert list(out.iterdir()) == [], "and a folder that was there stays"


def test_a_photo_that_cannot_be_read_is_in_the_list(
    fhe_face: Run, people: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(photo: Any) -> bytes:
        if photo.name == "1.png" and photo.parent.name == "person1":
            raise FileError(f"cannot read {photo}: permission denied")
        return content_digest(photo)

    monkeypatch.setattr(representing, "content_digest", digest)
    out = tmp_path / "out"
    arguments = ("represent", people, "-o", out, "--weights", weights, "--aligned", "--json")
    answer = fhe_face(*arguments).json()
    assert (answer["faces"], answer["repeated"]) == (5, 0)
    listed = [(row["photo"], row["why"]) for row in _index(out, "refused.csv")]
    assert listed == [(one["photo"], one["reason"]) for one in answer["refused"]]
    assert [photo for photo, _ in listed] == ["person1/1.png"]
    monkeypatch.setattr(representing, "content_digest", content_digest)
    again = fhe_face(*arguments).json()
    assert (again["faces"], again["computed"], again["known"]) == (6, 1, 5)


def test_verdicts_and_parquet(fhe_face: Run, people: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "out"
    answer = fhe_face("represent", people, "-o", out, "--aligned", "--parquet", "--json").json()
    assert sum(answer["verdicts"].values()) == 15
    assert parquet.read_table(out / "index.parquet").num_rows == 6
    with (out / "pairs.csv").open(newline="") as stream:
        pairs = list(csv.DictReader(stream))
    cosines = [float(pair["cosine"]) for pair in pairs]
    assert cosines == sorted(cosines, reverse=True)
    assert len(pairs) >= answer["verdicts"]["same"] + answer["verdicts"]["not sure"]


def test_refusals(
    fhe_face: Run, people: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "letter.txt").write_text("dear")
    arguments = ("represent", people, "--weights", weights, "--aligned")
    assert "is not empty" in fhe_face(*arguments, "-o", full).refused()
    assert (full / "letter.txt").read_text() == "dear"
    empty = tmp_path / "empty"
    empty.mkdir()
    given = ("represent", empty, "-o", tmp_path / "out", "--weights", weights)
    assert "without pictures" in fhe_face(*given).refused()
    monkeypatch.setattr(represented_pairs, "MAX_COMPARED", 2)
    answer = fhe_face(*arguments, "-o", tmp_path / "many", "--json").json()
    assert answer["same"] is answer["verdicts"] is None


def test_a_refused_face_is_tried_with_less_contrast(
    fhe_face: Run, people: Path, weights: Path, tmp_path: Path, crops: NDArray[np.uint8]
) -> None:
    """As the client does under encryption; the row says so, and a plot shows it."""
    pytest.importorskip("matplotlib")
    network = fuse(load(weights).state)
    norms = squared_norm(embed_crops(network, crops).raw)
    softer = squared_norm(embed(network, 0.9 * unit_images(crops, 64)))
    softest = squared_norm(embed(network, 0.8 * unit_images(crops, 64)))
    order = np.argsort(norms)
    high = float((norms[order[-1]] + max(norms[order[-2]], softer[order[-1]])) / 2)
    assert softer[order[-1]] < high < norms[order[-1]], "one face is beyond, and only as it is"
    low = float(min(norms.min(), softer.min(), softest.min()) / 2)
    coefficients = tmp_path / "fit.json"
    coefficients.write_text(json.dumps(fit("minimax", (low, high), 2).to_json()))
    out, plot = tmp_path / "out", tmp_path / "faces.png"
    given = ("represent", people, "-o", out, "--weights", weights, "--aligned", "--plot", plot)
    result = fhe_face(*given, "--coefficients", coefficients, "--json")
    answer = result.json()
    assert answer["faces"] == PEOPLE * IMAGES
    (soft,) = answer["softened"]
    assert soft["contrast"] == 0.9
    rows = _index(out)
    assert [row["photo"] for row in rows if row["contrast"] == "0.9"] == [soft["photo"]]
    assert {row["contrast"] for row in rows} == {"1", "0.9"}
    place = [row["photo"] for row in rows].index(soft["photo"])
    wanted = unit(embed(network, 0.9 * unit_images(crops[place][None], 64)))[0]
    assert np.allclose(np.load(out / "embeddings.npy")[place], wanted, atol=1e-6)
    with Image.open(plot) as picture:
        assert picture.width > 1000
    assert answer["plot"] == str(plot)
    told = fhe_face(*given, "--coefficients", coefficients)
    assert "embedded with 0.9 of its contrast" in told.out
    assert "a plot must be one of" in fhe_face(*given[:-1], tmp_path / "faces.jpg").refused()


@pytest.mark.parametrize("contrast", ["0", "2", "nan", "much"])
def test_contrasts_of_a_kept_index_are_parts(contrast: str) -> None:
    with pytest.raises(ValueError, match=r"contrast|convert"):
        rows_of(f"photo,sha256,face,faces,person,contrast\n0.png,,1,1,,{contrast}\n".encode())


def test_squared_norms_of_a_kept_index_are_numbers() -> None:
    """A plot draws them. Infinite ones are: of a face that diverged."""
    head = "photo,sha256,face,faces,person,squared_norm\n0.png,,1,1,,"
    for norm in ("", "inf", "4e9"):
        assert rows_of(f"{head}{norm}\n".encode())[0].squared_norm == norm
    with pytest.raises(ValueError, match="convert"):
        rows_of(f"{head}much\n".encode())
