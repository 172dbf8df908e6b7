"""Weights as strangers have them: prefixes, Lightning's files, more than tensors, no weights."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from fhe_face.models.checkpoint import CheckpointError, load
from fhe_face.models.impostors import impostor
from fhe_face.models.synthetic import untrained
from fhe_face.models.wrappers import unwrapped

torch = pytest.importorskip("torch")
State = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def state() -> State:
    return untrained(5)


def tensors(state: State, prefix: str = "") -> dict[str, Any]:
    return {prefix + name: torch.from_numpy(np.array(t)) for name, t in state.items()}


WRAPPED: dict[str, Callable[[State], object]] = {
    "DataParallel": lambda s: {"backbone": tensors(s, "module.")},
    "compiled": lambda s: {"backbone": tensors(s, "_orig_mod.")},
    "both": lambda s: {"backbone": tensors(s, "_orig_mod.module.")},
    "inside": lambda s: {
        "backbone": {k.replace(".conv.", "._orig_mod.conv."): t for k, t in tensors(s).items()}
    },
    "bare": tensors,
    "Lightning": lambda s: {"epoch": 3, "state_dict": tensors(s, "backbone.")},
    "another name": lambda s: {"model": tensors(s, "net.module."), "optimizer": {"lr": 0.1}},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_what_training_programs_put_around_a_network_is_taken_off(
    kind: str, state: State, tmp_path: Path
) -> None:
    file = tmp_path / "w.ckpt"
    torch.save(WRAPPED[kind](state), file)
    found = load(file).state
    assert set(found) == set(state)
    assert all(np.array_equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "_orig_mod.net."])
def test_prefixes_in_safetensors(prefix: str, state: State, tmp_path: Path) -> None:
    save_file({prefix + name: t for name, t in state.items()}, tmp_path / "w.safetensors")
    assert set(load(tmp_path / "w.safetensors").state) == set(state)


def refused(file: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert "\x1b" not in text
    assert "x1b" not in text
    assert "weights_only" not in text
    return text


def test_a_network_among_other_tensors_names_them(state: State, tmp_path: Path) -> None:
    both = tensors(state, "backbone.") | {"head.weight": torch.zeros(3)}
    torch.save({"state_dict": both}, tmp_path / "w.ckpt")
    text = refused(tmp_path / "w.ckpt")
    assert "'head.weight'" in text
    assert "save only those that begin with 'backbone.'" in text


def test_two_networks_are_not_chosen_from(state: State, tmp_path: Path) -> None:
    torch.save({"model": tensors(state), "ema": tensors(state)}, tmp_path / "w.ckpt")
    assert "several state dicts ('model', 'ema')" in refused(tmp_path / "w.ckpt")


def test_two_tensors_of_one_name_are_not_chosen_from(state: State) -> None:
    with pytest.raises(ValueError, match="two tensors have one name"):
        unwrapped({**state, "module.linear.bias": state["linear.bias"]})


def test_another_network_says_what_was_found(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "w.pth")
    torch.save({"backbone": torch.nn.Linear(2, 2).state_dict()}, tmp_path / "linear.pth")
    assert "0 patch networks found" in refused(tmp_path / "linear.pth")
    assert "it holds 2 tensors: 'weight', 'bias'" in refused(tmp_path / "linear.pth")
    assert 'without a "backbone" state dict' in refused(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (
            lambda s: {"backbone": tensors(s), "args": argparse.Namespace(lr=1)},
            "argparse.Namespace",
        ),
        (lambda s: {"backbone": tensors(s), "best": np.float64(0.9)}, "numpy"),
        (lambda s: torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
)
@pytest.mark.parametrize("new_format", [True, False])
def test_more_than_tensors_is_not_called_damaged(
    content: Callable[[State], object], named: str, new_format: bool, state: State, tmp_path: Path
) -> None:
    file = tmp_path / "w.ckpt"
    torch.save(content(state), file, _use_new_zipfile_serialization=new_format)
    text = refused(file)
    assert "holds more than tensors" in text
    assert named in text
    assert "not unpickled, for safety" in text
    assert 'save {"backbone": model.state_dict()} alone' in text
    assert "damaged" not in text


def test_torchscript_is_named(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "w.pt")
    text = refused(tmp_path / "w.pt")
    assert "a TorchScript program" in text
    assert "damaged" not in text


@pytest.mark.parametrize("version", ["2.5.1", "1.13.0+cu117", "unknown"])
def test_a_torch_that_could_run_code_is_refused(
    version: str, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"backbone": tensors(state)}, tmp_path / "w.ckpt")
    monkeypatch.setattr(torch, "__version__", version)
    text = refused(tmp_path / "w.ckpt")
    assert f"torch {version} could run code from it" in text
    assert "pip install 'torch>=2.6'" in text


@pytest.mark.parametrize("version", ["2.6.0", "2.13.0+cpu", "3.0"])
def test_newer_torch_is_taken(
    version: str, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"backbone": tensors(state)}, tmp_path / "w.ckpt")
    monkeypatch.setattr(torch, "__version__", version)
    assert load(tmp_path / "w.ckpt").patches == 4


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345678\n"
PAGE = b"<!DOCTYPE html><html><head><title>Virus scan warning</title></head></html>"


@pytest.mark.parametrize("suffix", ["ckpt", "safetensors", "pth"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LFS, "a Git LFS pointer, not the file itself: get it with git lfs pull"),
        (PAGE, "a web page (HTML), not the file itself: download it again"),
        (b"\xef\xbb\xbf\n <HTML lang='en'>", "a web page (HTML)"),
    ],
)
def test_pointers_and_pages_are_named(
    suffix: str, content: bytes, said: str, tmp_path: Path
) -> None:
    file = tmp_path / f"w.{suffix}"
    file.write_bytes(content)
    assert said in refused(file)


def test_other_files_are_no_impostors() -> None:
    for data in (b"", b"PK\x03\x04", b"<svg>", b"version 2", b"\x89PNG", b"<htmlx"):
        assert impostor(data) is None
