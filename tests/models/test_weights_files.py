"""Weights files: both formats, and every way in which one can be wrong."""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_face.models.checkpoint import CheckpointError, load, load_state, save_safetensors, sha256
from fhe_face.models.synthetic import untrained

State = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def state() -> State:
    return untrained(0)


@pytest.fixture
def weights(state: State, tmp_path: Path) -> Path:
    save_safetensors(state, tmp_path / "w.safetensors", {"source": "a test"})
    return tmp_path / "w.safetensors"


def _torch_file(path: Path, content: object) -> Path:
    torch = pytest.importorskip("torch")
    torch.save(content, path)
    return path


def _tensors(state: State) -> dict[str, Any]:
    torch = pytest.importorskip("torch")
    return {name: torch.from_numpy(np.array(tensor)) for name, tensor in state.items()}


def test_safetensors_round_trip(state: State, weights: Path) -> None:
    checkpoint = load(weights)
    assert checkpoint.metadata["source"] == "a test"
    assert (checkpoint.kind, checkpoint.input_size, checkpoint.patches) == ("safetensors", 64, 4)
    assert checkpoint.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest() == sha256(weights)
    assert set(checkpoint.state) == set(state)
    for name, tensor in state.items():
        assert checkpoint.state[name].shape == tensor.shape
        assert np.array_equal(checkpoint.state[name], tensor)
    assert [p.name for p in weights.parent.iterdir()] == ["w.safetensors"]


def test_torch_file_whatever_it_is_called(state: State, tmp_path: Path) -> None:
    for name in ("w.ckpt", "w.safetensors"):
        path = _torch_file(tmp_path / name, {"backbone": _tensors(state)})
        loaded = load_state(path)
        assert all(np.array_equal(loaded[k], v) for k, v in state.items())


def test_safetensors_under_another_name(weights: Path) -> None:
    other = weights.rename(weights.with_suffix(".ckpt"))
    assert load(other).kind == "safetensors"


def _refused(path: Path, problem: str) -> None:
    with pytest.raises(CheckpointError, match=problem) as caught:
        load_state(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_directory_and_empty(tmp_path: Path) -> None:
    _refused(tmp_path / "none.ckpt", "no such file; expected")
    _refused(tmp_path, "cannot be read")
    (tmp_path / "empty.ckpt").touch()
    _refused(tmp_path / "empty.ckpt", "empty")


def test_another_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "w.ckpt"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    _refused(path, "neither a safetensors nor a torch file; expected")


@pytest.mark.parametrize("keep", [4, 9, 1000, -1])
def test_truncated_safetensors(weights: Path, keep: int) -> None:
    weights.write_bytes(weights.read_bytes()[:keep])
    _refused(weights, "truncated")


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 1 << 24])
def test_hostile_header_length(tmp_path: Path, length: int) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{" + bytes(1000))
    _refused(path, "header claims")


@pytest.mark.parametrize(
    "header",
    [
        {"x": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 4]}},
        {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**60]}},
        {"x": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}},
        {"x": 5},
        [],
    ],
)
def test_hostile_header(tmp_path: Path, header: object) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    _refused(path, "not a valid safetensors file|neither a safetensors nor")


def test_truncated_torch_file(state: State, tmp_path: Path) -> None:
    path = _torch_file(tmp_path / "w.ckpt", {"backbone": _tensors(state)})
    path.write_bytes(path.read_bytes()[:-5000])
    _refused(path, "not a readable torch checkpoint")


def test_torch_file_of_another_kind(state: State, tmp_path: Path) -> None:
    _refused(_torch_file(tmp_path / "a.ckpt", {"epoch": 3}), 'without a "backbone"')
    _refused(_torch_file(tmp_path / "b.ckpt", [1, 2]), 'without a "backbone"')
    _refused(_torch_file(tmp_path / "c.ckpt", {"backbone": {"x": 1}}), "is not a tensor")


def test_torch_tensor_larger_than_its_file(state: State, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    huge = {**_tensors(state), "x": torch.zeros(1).expand(2**40)}
    _refused(_torch_file(tmp_path / "w.ckpt", {"backbone": huge}), "x: not a plain tensor")


class _Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_torch_file_that_would_run_code(tmp_path: Path) -> None:
    path = _torch_file(tmp_path / "w.ckpt", {"backbone": _Hostile(tmp_path / "ran")})
    _refused(path, r"holds more than tensors \(.*pathlib.*not unpickled, for safety")
    assert not (tmp_path / "ran").exists()


def test_torch_not_installed(state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _torch_file(tmp_path / "w.ckpt", {"backbone": _tensors(state)})
    monkeypatch.setitem(sys.modules, "torch", None)
    _refused(path, "torch is not installed; pip install 'torch>=2.6', or convert")


def test_tensors_missing_or_wrong(state: State, tmp_path: Path) -> None:
    fewer = {k: v for k, v in _tensors(state).items() if k != "linear.weight"}
    path = _torch_file(tmp_path / "a.ckpt", {"backbone": fewer})
    _refused(path, r"linear\.weight: tensor missing \(1 of")
    wrong = _tensors({**state, "linear.bias": np.full(256, np.nan)})
    _refused(_torch_file(tmp_path / "b.ckpt", {"backbone": wrong}), r"linear\.bias: holds NaN")


def test_bad_state_is_not_saved(state: State, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"bn\.running_mean: tensor missing"):
        save_safetensors({k: v for k, v in state.items() if k != "bn.running_mean"}, tmp_path / "w")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_safetensors(state, tmp_path / "no" / "w")
    (tmp_path / "taken").mkdir()
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_safetensors(state, tmp_path / "taken")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_non_contiguous_tensors_are_saved_right(state: State, tmp_path: Path) -> None:
    name = "linear.weight"
    turned = {**state, name: np.asfortranarray(state[name])}
    save_safetensors(turned, tmp_path / "w.safetensors")
    assert np.array_equal(load_state(tmp_path / "w.safetensors")[name], state[name])


def test_inference_does_not_import_torch(weights: Path) -> None:
    program = (
        "import sys\n"
        "from fhe_face.models.checkpoint import load_state\n"
        "from fhe_face.models.fused import fuse\n"
        "import fhe_face.models.reference, fhe_face.models.synthetic\n"
        "import fhe_face.coeffs.normalisation\n"
        f"fuse(load_state({str(weights)!r}))\n"
        "print('torch' in sys.modules)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout.strip() == "False"


def test_half_precision_torch_files(state: State, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    halved = {
        k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in _tensors(state).items()
    }
    buffer = io.BytesIO()
    torch.save({"backbone": halved}, buffer)
    (tmp_path / "w.ckpt").write_bytes(buffer.getvalue())
    loaded = load_state(tmp_path / "w.ckpt")
    np.testing.assert_allclose(loaded["linear.weight"], state["linear.weight"], rtol=1e-2)
