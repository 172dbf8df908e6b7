"""Every target by name. Making one imports only what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

from fuzz.target import Target

#: The module of each; its function is named after the target.
TARGETS: Final[Mapping[str, str]] = {
    "container": "containers",
    "secret-key": "containers",
    "evaluation-keys": "containers",
    "ciphertext": "containers",
    "results": "containers",
    "ledger": "containers",
    "sealed-block": "matching",
    "probe": "matching",
    "scores": "matching",
    "gallery-keys": "matching",
    "device-key": "devices",
    "switching-key": "devices",
    "device-faces": "devices",
    "device-note": "devices",
    "receipt": "devices",
    "gallery-switch": "switching",
    "switched-face": "switching",
    "findings": "switching",
    "remote-answers": "remote",
    "remote-files": "remote",
    "plan": "containers",
    "circuit": "containers",
    "coefficients": "texts",
    "sample": "texts",
    "manifest": "texts",
    "job": "texts",
    "answers": "texts",
    "preparation": "texts",
    "outcome": "texts",
    "pickled-pairs": "pickles",
    "safetensors": "weights",
    "torch": "weights",
    "training-state": "weights",
    "picture": "images",
    "array": "images",
    "crop": "images",
    "photo": "images",
    "hdf5": "images",
}


def make(name: str, folder: Path) -> Target:
    """A target; `folder` takes the files that it works on.

    Raises:
        KeyError: there is no target of that name.
    """
    module = import_module(f"fuzz.{TARGETS[name]}")
    target: Target = getattr(module, f"{name.replace('-', '_')}_target")(folder)
    return target


def regressions() -> Path:
    """Inputs that once were findings, in a folder for each target."""
    return Path(__file__).resolve().parent / "regressions"
