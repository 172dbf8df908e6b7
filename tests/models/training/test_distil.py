"""Generated faces, the teacher, and the distillation; parts skip where a package is missing."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fhe_face.models.checkpoint import load
from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.faces import Aligner
from fhe_face.models.training import distil
from fhe_face.models.training.distil import Distil, Faces
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.gan import FaceGenerator
from fhe_face.models.training.generated import QuickAligner, generate
from fhe_face.models.training.plan import Plan
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


def test_missing_faces(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"models\.training\.generated"):
        Faces(tmp_path)


def test_generated_faces(tmp_path: Path) -> None:
    pytest.importorskip("gan_face_generate", reason="gan-face-generate is not installed")
    pytest.importorskip("onnx")
    assert list(generate(tmp_path / "one", 6, seed=3))[-1] == 6
    list(generate(tmp_path / "two", 6, seed=3))
    one, two = Faces(tmp_path / "one"), Faces(tmp_path / "two")
    assert np.array_equal(one.faces, two.faces)
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
