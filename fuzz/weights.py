"""Targets: weights in both formats, training state."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fhe_face.models.checkpoint import CheckpointError, load, save_safetensors
from fhe_face.models.synthetic import untrained
from fhe_face.models.training import state as training_state
from fhe_face.models.training.errors import TrainingError
from fuzz.mutators import MAX_BYTES, mutate_bytes, mutate_json
from fuzz.target import Scratch, Target

#: The first byte of an input: the whole file, or only the part that says what is in it.
_WHOLE, _PART = b"W", b"P"


def safetensors_target(folder: Path) -> Target:
    """A part is the JSON header; tensors follow it as they were."""
    scratch = Scratch(folder, "weights.safetensors")
    save_safetensors(untrained(0), scratch.path)
    return _behind_header("safetensors", scratch, load, CheckpointError, most=64)


def torch_target(folder: Path) -> Target:
    """A part is the pickle inside the archive; tensors' bytes follow it as they were."""
    import torch

    scratch = Scratch(folder, "weights.ckpt")
    tensors = {name: torch.from_numpy(np.array(t)) for name, t in untrained(0).items()}
    whole, small = io.BytesIO(), io.BytesIO()
    torch.save({"backbone": tensors}, whole)
    torch.save({"backbone": {"a": torch.ones(2)}}, small)
    with zipfile.ZipFile(whole) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    (pickled,) = [name for name in records if name.endswith("/data.pkl")]

    def parse(given: bytes) -> None:
        if given[:1] == _PART:
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
                for name, content in records.items():
                    archive.writestr(name, given[1:] if name == pickled else content)
            given = b"W" + packed.getvalue()
        load(scratch.holding(given[1:]))

    seeds = [_PART + records[pickled], _WHOLE + small.getvalue()]
    return Target("torch", parse, (CheckpointError,), seeds, _mutate)


def training_state_target(folder: Path) -> Target:
    import torch

    scratch = Scratch(folder, "state.safetensors")
    training_state.save(scratch.path, {"a/b": torch.ones(3)}, {"step": 3, "plan": {"seed": 1}})
    return _behind_header("training-state", scratch, training_state.load, TrainingError)


def _behind_header(
    name: str,
    scratch: Scratch,
    load_file: Callable[[Path], object],
    refusal: type[Exception],
    most: int | None = None,
) -> Target:
    """A file in the scratch whose JSON header says how the rest is read: a part is the header,
    the whole file goes in with ``most`` bytes of the rest."""
    data = scratch.path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    payload = data[start:]

    def parse(given: bytes) -> None:
        if given[:1] == _PART:
            header = given[1:]
            given = _WHOLE + len(header).to_bytes(8, "little") + header + payload
        load_file(scratch.holding(given[1:]))

    end = None if most is None else start + most
    seeds = [_PART + data[8:start], _WHOLE + data[:end]]
    return Target(name, parse, (refusal,), seeds, _mutate)


def _mutate(data: bytes, draw: random.Random) -> bytes:
    inner = mutate_json if data[:1] == _PART and data[1:2] == b"{" else mutate_bytes
    return (data[:1] + inner(data[1:], draw))[:MAX_BYTES]
