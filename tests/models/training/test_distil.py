"""Generated faces, the teacher, and the distillation; parts skip where a package is missing."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fhe_face.models.checkpoint import load
from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.faces import Aligner
from fhe_face.models.training import distil, retrain, shards
from fhe_face.models.training.distil import Distil, Faces
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.gan import FaceGenerator
from fhe_face.models.training.generated import Drawn, QuickAligner, generate
from fhe_face.models.training.loop import Seen
from fhe_face.models.training.plan import Plan
from fhe_face.models.training.portraits import Portraits
from fhe_face.models.training.teacher import Teacher


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Arrays like those of `generated`, without its packages."""
    folder = tmp_path_factory.mktemp("faces")
    random = np.random.default_rng(2)
    base = random.integers(0, 256, (24, 10, 10, 3)).astype(np.uint8)
    np.save(folder / "faces.npy", base.repeat(8, 1).repeat(8, 2))
    targets = random.normal(size=(24, 128)).astype(np.float32)
    np.save(folder / "targets.npy", targets / np.linalg.norm(targets, axis=1, keepdims=True))
    return folder


def test_held_out_faces_are_never_trained_on(made: Path) -> None:
    objective = Distil(Faces(made), Plan(steps=12, batch=5), held_out=8)
    seen = [row.tobytes() for step in range(12) for row in objective.batch(step)[1].numpy()]
    whole = np.load(made / "targets.npy")
    assert set(seen) <= {row.tobytes() for row in whole[:16]}
    assert len(set(seen[:15])) == 15, "no face twice in an epoch of three steps"


def test_command_trains_checks_and_goes_on(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distil, "HELD_OUT", 8)
    run = [str(made), str(tmp_path / "run"), "--steps", "2", "--batch", "4"]
    distil.main(run)
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["step"] == 2
    assert -1 <= last["teacher_correlation"] <= 1
    weights = tmp_path / "run" / "weights.safetensors"
    digest = load(weights).sha256
    distil.main(run)
    assert load(weights).sha256 == digest
    distil.main([str(made), str(tmp_path / "more"), *run[2:], "--start", str(weights)])
    assert load(tmp_path / "more" / "weights.safetensors").sha256 != digest


def test_batches_of_neighbours_and_views(made: Path) -> None:
    """Each seed comes with the two faces that the teacher finds most like it, all of them twice."""
    objective = Distil(Faces(made), Plan(4, 12), held_out=8, neighbours=3, views=2)
    faces, known = objective.batch(1)
    assert (len(faces), len(known)) == (12, 12)
    assert torch.equal(faces[0::2], faces[1::2])
    targets = np.load(made / "targets.npy")[:16]
    for group in known[0::2].reshape(2, 3, 128).numpy():
        likeness = group @ targets.T
        nearest = np.sort(likeness, 1)[:, -3:].sum(1)
        assert np.isclose(nearest, (group @ group.T).sum(1)).any()
    embedding = torch.randn(12, 256, generator=torch.Generator().manual_seed(0))
    parts = objective.loss(Seen(faces, torch.empty(0), embedding), known)
    assert parts["views"] > 0
    with pytest.raises(TrainingError, match="not made of 5 neighbours"):
        Distil(Faces(made), Plan(4, 12), held_out=8, neighbours=5)


def test_retraining_stops_and_goes_on(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrain, "Teacher", lambda device: None)
    monkeypatch.setattr(retrain, "make", lambda *_: (count for count in [24]))
    draw = np.random.default_rng(4)
    photos = draw.integers(0, 256, (8, 112, 112, 3), dtype=np.uint8), np.repeat(np.arange(4), 2)
    monkeypatch.setattr(retrain, "aligned_people", lambda _: photos)
    portraits = Portraits(draw.integers(0, 256, (5, 140, 140, 3), dtype=np.uint8))
    monkeypatch.setattr(retrain, "read_portraits", lambda _: portraits)
    monkeypatch.setattr(retrain, "make_portraits", lambda *_: (count for count in [24]))
    digests = []
    for name, stops in (("whole", 0), ("stopped", 2)):
        run = tmp_path / name
        for kind in ("faces", "portraits"):
            (run / kind).mkdir(parents=True)
            for file in ("faces.npy", "targets.npy"):
                (run / kind / file).write_bytes((made / file).read_bytes())
        given = [
            str(run), "--count", "24", "--steps", "3", "--batch", "8", "--neighbours", "2",
            "--views", "2", "--held-out", "8", "--development", str(tmp_path / "people"),
            "--portraits", str(tmp_path / "portraits"), "--plot", str(run / "curves.png"),
            "--portraits-from", "drawn by lot",
        ]  # fmt: skip
        for _ in range(stops):
            retrain.main([*given, "--minutes", "0"])
            assert not (run / retrain.RETRAINED_FILE).exists()
        retrain.main(given)
        weights = load(run / retrain.RETRAINED_FILE)
        assert weights.manifest is not None
        assert weights.manifest.training["faces"]["count"] == 24
        assert weights.manifest.training["development"]["people"] == 4
        assert weights.manifest.training["portraits"] == {
            "pictures": 5,
            "pictures_sha256": portraits.digest,
            "mixes": 24,
            "from": "drawn by lot",
        }
        assert (run / "curves.png").stat().st_size > 1000
        last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
        assert 0 <= last["development_eer"] <= 1
        digests.append(weights.tensors_sha256)
    assert digests[0] == digests[1]
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["tensors_sha256"] == digests[1]


def test_workers_draw_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, going on where a run was stopped, and no more than needed at a time."""
    drawn: list[int] = []

    def draw(seed: int) -> Drawn:
        drawn.append(seed)
        pixels = np.random.default_rng(seed).integers(0, 256, (2, 80, 80, 3), dtype=np.uint8)
        return Drawn(pixels, np.zeros((2, 112, 112, 3), np.uint8))

    monkeypatch.setattr(shards, "_drawn", draw)
    monkeypatch.setattr(shards, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))
    assert list(shards.make(tmp_path / "one", 3500, 5)) == list(range(500, 4000, 500))
    stopped = shards.make(tmp_path / "many", 3500, 5, workers=2)
    assert (next(stopped), next(stopped)) == (500, 1000)
    stopped.close()
    drawn.clear()
    assert list(shards.make(tmp_path / "many", 3500, 5, workers=2)) == list(range(1000, 4000, 500))
    assert len(drawn) == 5
    files = sorted(file.name for file in (tmp_path / "one").iterdir())
    assert len(files) == 8
    for name in files:
        assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    with pytest.raises(TrainingError, match="workers 0"):
        next(shards.make(tmp_path / "none", 500, 5, workers=0))


def test_function_matching_where_the_face_is_still_seen(made: Path) -> None:
    known = torch.eye(4, 128)
    looked = known.clone()
    looked[0] = torch.nn.functional.normalize(known[0] + 0.1 * known[1], dim=0)  # still the face
    looked[1] = -known[1]  # destroyed
    teacher = SimpleNamespace(embed_changed=lambda faces: looked)
    objective = Distil(Faces(made), Plan(4, 4), held_out=8, teacher=teacher)  # type: ignore[arg-type]
    wanted = objective._wanted(Seen(torch.empty(4), torch.empty(0), torch.empty(4, 256)), known)
    assert torch.equal(wanted, torch.cat([looked[:1], known[1:]]))


def test_the_mean_is_of_the_folder_named_last(made: Path, tmp_path: Path) -> None:
    """So that photos, where there are some, are centred as photos."""
    np.save(tmp_path / "faces.npy", np.load(made / "faces.npy"))
    targets = np.roll(np.load(made / "targets.npy"), 1, 1)
    np.save(tmp_path / "targets.npy", targets)
    objective = Distil(Faces(made, tmp_path), Plan(4, 12), held_out=8)
    assert (objective.count, objective.data.counts) == (40, [24, 24])
    np.testing.assert_array_equal(objective.distillation.mean, targets[:16].mean(0))


def test_every_folder_has_a_target_for_each_face(made: Path, tmp_path: Path) -> None:
    """Also where too many of one folder are as many as another one lacks."""
    faces, targets = np.load(made / "faces.npy"), np.load(made / "targets.npy")
    for name, few, many in (("one", 20, 24), ("two", 24, 20)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "faces.npy", faces[:few])
        np.save(tmp_path / name / "targets.npy", targets[:many])
    with pytest.raises(TrainingError, match="one: 20 faces, 24 targets"):
        Faces(tmp_path / "one", tmp_path / "two")


def test_missing_faces(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"models\.training\.generated"):
        Faces(tmp_path)


def test_generated_faces(tmp_path: Path) -> None:
    pytest.importorskip("gan_face_generate", reason="gan-face-generate is not installed")
    pytest.importorskip("onnx")
    assert list(generate(tmp_path / "one", 6, seed=3))[-1] == 6
    list(generate(tmp_path / "two", 6, seed=3))
    one, two = Faces(tmp_path / "one"), Faces(tmp_path / "two")
    assert np.array_equal(one.canvases.take(np.arange(6)), two.canvases.take(np.arange(6)))
    assert np.array_equal(one.targets, two.targets)
    np.testing.assert_allclose(np.linalg.norm(one.targets, axis=1), 1, atol=1e-4)
    with pytest.raises(TrainingError, match="already"):
        next(generate(tmp_path / "one", 6, seed=3))


def test_quick_alignment_agrees_with_the_aligner() -> None:
    """The same face in nearly the same place: grey levels differ little."""
    pytest.importorskip("gan_face_generate", reason="gan-face-generate is not installed")
    cv2 = pytest.importorskip("cv2")
    quick, careful = QuickAligner(), Aligner(size=64)
    differences = []
    for picture in next(FaceGenerator().batches(5, 6)):
        ours = quick.align(picture)
        crop = careful.align(cv2.resize(picture, (192, 192), interpolation=cv2.INTER_CUBIC)).crops[
            0
        ]
        if ours is not None and crop.face is not None:
            small = cv2.resize(ours[14:-14, 14:-14], (64, 64)).astype(float)
            differences.append(np.abs(small - crop.pixels).mean())
    assert len(differences) >= 4
    assert np.median(differences) < 14


def test_teacher_agrees_with_opencv() -> None:
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("onnx")
    teacher = Teacher()
    random = np.random.default_rng(0)
    faces = random.integers(0, 256, (2, 7, 7, 3)).astype(np.uint8)
    faces = np.stack([cv2.resize(f, (112, 112), interpolation=cv2.INTER_CUBIC) for f in faces])
    theirs = cv2.FaceRecognizerSF.create(str(teacher.path), "")
    ours = teacher.embed(faces).numpy()
    for face, embedding in zip(faces, ours, strict=True):
        expected = theirs.feature(np.ascontiguousarray(face[..., ::-1]))[0]
        assert embedding @ expected / np.linalg.norm(expected) > 0.999
    # From the 64 pixels that a student sees it is nearly the same.
    pixels = torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 127.5 - 1
    small = torch.nn.functional.interpolate(pixels, (64, 64), mode="area")
    assert (teacher.embed_changed(small) * torch.from_numpy(ours)).sum(1).min() > 0.9
    with pytest.raises(TrainingError, match="not uint8"):
        teacher.embed(faces[:, :64])


def test_wrong_model_files_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "x").write_bytes(b"something else")
    with pytest.raises(TrainingError, match="not the SFace model"):
        Teacher(tmp_path / "x")
    with pytest.raises(TrainingError, match=r"not the weights\.tar"):
        FaceGenerator(tmp_path / "x")


def test_the_check_changes_nothing(made: Path) -> None:
    torch.manual_seed(0)
    network = CryptoFaceNet().eval()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    Distil(Faces(made), Plan(steps=2, batch=5), held_out=8).check(network)
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
