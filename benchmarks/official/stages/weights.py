"""Stage ``server_preprocess_model``: the network that the server will run, checked and kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from benchmarks.official.stages.layout import Model, make_folder
from benchmarks.official.stages.program import Progress, for_model
from fhe_core.files import FileError
from fhe_face.circuit import INPUT_SIZE, normalisation_of
from fhe_face.models.checkpoint import load, save_safetensors
from fhe_face.network import WeightsError, network_of, recommended_normalisation

#: Names the weights; without it, one of the files below is taken, relative to the root.
VARIABLE: Final = "FHE_FACE_WEIGHTS"
PLACES: Final = tuple(
    f"submission/checkpoints/backbone-64x64.{suffix}" for suffix in ("safetensors", "ckpt")
)


def preprocess(model: Model, progress: Progress) -> None:
    """Check the weights and write them where the encrypted stage reads them.

    Raises:
        FileError: there are none, or they cannot be written.
        CheckpointError, WeightsError: they cannot be used.
    """
    source = find(model.root)
    checkpoint = load(source)
    if checkpoint.input_size != INPUT_SIZE:
        raise WeightsError(
            f"{source}: for faces of {checkpoint.input_size} pixels; it must be {INPUT_SIZE}"
        )
    network_of(checkpoint)
    meant = recommended_normalisation(checkpoint)
    if meant is not None and meant != normalisation_of(None):
        progress.say(f"warning: {source} is meant for another normalisation than the keys have")
    make_folder(model.weights.parent)
    save_safetensors(checkpoint.state, model.weights, manifest=checkpoint.manifest)
    progress.say(f"{checkpoint.architecture} with tensors {checkpoint.tensors_sha256[:16]}")


def find(root: Path) -> Path:
    """The weights file.

    Raises:
        FileError: there is none.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return root / named
    for place in PLACES:
        if (root / place).is_file():
            return root / place
    raise FileError(f"no weights: put them at {PLACES[-1]}, or name a file in {VARIABLE}")


def main() -> None:
    for_model("server_preprocess_model", preprocess)
