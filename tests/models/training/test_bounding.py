"""Bounding: stages that go on where they stopped, and divergence that is trained out."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.models.architecture import State
from fhe_face.models.checkpoint import load_state
from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.manifest import tensors_digest
from fhe_face.models.training import bounding, shards
from fhe_face.models.training.activation import Activations
from fhe_face.models.training.bounding import Bounding, Options
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.generated import Drawn
from fhe_face.models.training.keeping import Keep
from fhe_face.models.training.loop import Seen
from fhe_face.models.training.plan import Plan
from fhe_face.models.training.shards import Canvases
from fhe_face.models.training.stress import stress_images

OPTIONS = Options(steps=4, batch=4, seed=3, check_every=1, held_out=4, stress=10)
COEFFICIENTS = FittedNormalisation.load()


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Canvases:
    """Two files, as `shards.make` writes them, without its packages."""
    folder = tmp_path_factory.mktemp("faces")
    coarse = np.random.default_rng(2).integers(0, 256, (20, 10, 10, 3)).astype(np.uint8)
    pictures = coarse.repeat(8, 1).repeat(8, 2)
    np.save(folder / "faces-00000.npy", pictures[:12])
    np.save(folder / "faces-00001.npy", pictures[12:])
    return Canvases(folder)


@pytest.fixture(scope="module")
def given(faces: Canvases) -> State:
    """An untrained network with the statistics and the squared norms of those pictures."""
    torch.manual_seed(5)
    network = CryptoFaceNet()
    pictures = torch.from_numpy(faces.take(np.arange(20))).permute(0, 3, 1, 2).float() / 127.5 - 1
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean of what was seen
    with torch.no_grad():
        network(pictures[..., 8:72, 8:72])
    assert network.bn.running_var is not None
    network.bn.running_var.mul_(256 / 548)
    return network.eval().state()


def run(given: State, faces: Canvases, folder: Path, options: Options = OPTIONS) -> Bounding:
    return Bounding(given, COEFFICIENTS, faces, folder, options)


def test_stopped_and_continued_as_if_it_never_stopped(
    given: State, faces: Canvases, tmp_path: Path
) -> None:
    whole = run(given, faces, tmp_path / "whole")
    assert (whole.done, whole.finished) == (0, False)
    assert tensors_digest(whole.network().state()) == tensors_digest(given)
    records = list(whole.run())
    assert [record["done"] for record in records] == [1, 2, 3, 4]
    assert [record["stage"] for record in records] == [1, 2, 3, 4]
    assert (whole.done, whole.finished, whole.records()) == (4, True, records)

    stopped = tmp_path / "stopped"
    for _ in range(4):
        steps: Iterator[object] = run(given, faces, stopped).run()
        assert len(list(islice(steps, 1))) == 1
        steps.close()  # type: ignore[attr-defined]
    again = run(given, faces, stopped)
    assert again.finished
    assert not list(again.run())
    assert tensors_digest(load_state(again.weights)) == tensors_digest(load_state(whole.weights))
    assert not [f for f in tmp_path.rglob("*.tmp")]


def test_a_folder_is_of_one_run(given: State, faces: Canvases, tmp_path: Path) -> None:
    run(given, faces, tmp_path)
    with pytest.raises(TrainingError, match="holds a run with steps 4, not 8"):
        run(given, faces, tmp_path, replace(OPTIONS, steps=8))
    other = {**given, "linear.bias": given["linear.bias"] + 1}
    with pytest.raises(TrainingError, match="holds a run with given"):
        run(other, faces, tmp_path)
    (tmp_path / bounding.RUN_FILE).write_text("[]")
    with pytest.raises(TrainingError, match="not the record of a run"):
        run(given, faces, tmp_path)


def test_the_given_network_teaches_itself(given: State, faces: Canvases) -> None:
    """Nothing to learn where the network is its own teacher, and something where it was changed."""
    network = CryptoFaceNet.from_state(given)
    keep = Keep(network, faces, Plan(4, 4), COEFFICIENTS.interval, held_out=4, stress=10)
    pictures = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 0.5

    def loss() -> dict[str, float]:
        with torch.no_grad():
            features = network.features(pictures)
            found = keep.loss(Seen(pictures, features, network(pictures)), torch.empty(0))
        return {name: float(part) for name, part in found.items()}

    same = loss()
    with torch.no_grad():
        network.linear.weight += 0.1 * torch.randn(
            network.linear.weight.shape, generator=torch.Generator().manual_seed(2)
        )
    changed = loss()
    assert max(same.values()) < 1e-4
    assert all(changed[name] > 100 * same[name] for name in ("cosine", "relation", "length"))


def test_a_teacher_that_diverges_teaches_nothing(given: State, faces: Canvases) -> None:
    network = CryptoFaceNet.from_state(given)
    keep = Keep(network, faces, Plan(4, 4), COEFFICIENTS.interval, held_out=4, stress=10)
    with torch.no_grad():
        keep.teacher.linear.weight.fill_(float("inf"))
    pictures = torch.zeros(4, 3, 64, 64)
    embedding = torch.ones(4, 256, requires_grad=True)
    found = keep.loss(Seen(pictures, torch.empty(0), embedding), torch.empty(0))
    assert [float(part) for part in found.values()] == [0, 0, 0]


def test_held_out_faces_are_never_trained_on(given: State, faces: Canvases) -> None:
    network = CryptoFaceNet.from_state(given)
    keep = Keep(network, faces, Plan(12, 4), COEFFICIENTS.interval, held_out=4, stress=10)
    seen = {face.tobytes() for step in range(12) for face in keep.batch(step)[0].numpy()}
    held = {face.tobytes() for face in faces.take(np.arange(16, 20))}
    assert len(seen) == 16
    assert not seen & held
    with pytest.raises(TrainingError, match="one step takes 4"):
        Keep(network, faces, Plan(4, 4), COEFFICIENTS.interval, held_out=17)


def test_faces_of_several_files(faces: Canvases, tmp_path: Path) -> None:
    whole = faces.take(np.arange(20))
    rows = np.array([19, 0, 12, 11, 12])
    assert np.array_equal(faces.take(rows), whole[rows])
    np.save(tmp_path / "faces.npy", whole)  # as models.training.generated writes them
    assert np.array_equal(Canvases(tmp_path).take(rows), whole[rows])
    with pytest.raises(TrainingError, match="no generated faces"):
        Canvases(tmp_path / "nothing")
    for wrong in (b"", b"\x80\x04K\x01.", (tmp_path / "faces.npy").read_bytes()[:5000]):
        (tmp_path / "faces.npy").write_bytes(wrong)
        with pytest.raises(TrainingError, match="cannot be read"):
            Canvases(tmp_path)
    np.save(tmp_path / "faces.npy", whole[:, :64, :64])
    with pytest.raises(TrainingError, match="not faces"):
        Canvases(tmp_path)


def test_drawing_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(seed: int) -> Drawn:
        large = np.full((500, 112, 112, 3), seed % 251, np.uint8)
        return Drawn(large[:, 16:-16, 16:-16], large)

    monkeypatch.setattr(shards, "_drawn", drawn)
    assert next(shards.make(tmp_path, 1200, 1)) == 500
    first = (tmp_path / "faces-00000.npy").stat().st_mtime_ns
    assert list(shards.make(tmp_path, 1200, 1)) == [500, 1000, 1500]
    assert (tmp_path / "faces-00000.npy").stat().st_mtime_ns == first
    assert len(Canvases(tmp_path)) == 1500
    # A teacher who comes later sees every file anew.
    teacher = SimpleNamespace(embed=lambda faces: torch.from_numpy(faces[:, :2, 0, 0].astype("f4")))
    assert list(shards.make(tmp_path, 1200, 1, teacher))[-1] == 1500  # type: ignore[arg-type]
    targets = np.load(tmp_path / "targets-00002.npy")
    assert targets.shape == (500, 2)
    assert targets[0, 0] == Canvases(tmp_path).take(np.array([1000]))[0, 0, 0, 0]
    with pytest.raises(TrainingError, match="holds faces of"):
        next(shards.make(tmp_path, 1200, 2))
    with pytest.raises(TrainingError, match="count is 0"):
        next(shards.make(tmp_path, 0, 1))
    assert json.loads((tmp_path / shards.FACTS_FILE).read_text())["seed"] == 1


def test_divergence_is_trained_out(
    given: State, faces: Canvases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One short hard stage: what leaves the bounds on stress images shrinks, without any cut."""
    monkeypatch.setattr(bounding, "_STAGES", (bounding._Stage(1, 0.4, 4e-3, hunted=64),))
    job = run(given, faces, tmp_path, replace(OPTIONS, steps=16, check_every=99, stress=20))
    job.plans = tuple(replace(plan, stress=4, warmup=1) for plan in job.plans)
    before, wild = job.check(job.given), _excess(job.given)
    list(job.run())
    after, tame = job.check(job.network()), _excess(job.network())
    assert tame < 0.7 * wild
    assert after["stress_not_finite"] < before["stress_not_finite"]


def _excess(network: CryptoFaceNet) -> float:
    with torch.no_grad(), Activations(network.eval(), limit=4, clamp=1e9) as watch:
        network(stress_images(77, 20))
        return float(watch.excess.mean())
