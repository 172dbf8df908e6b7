"""The weights of a server: which file a name means, the network in it, and how good it is.

Clients need none of this: what they share with a server stands in fhe_face.engine.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np

from fhe_core.inverse_root import InverseRoot
from fhe_face.circuit import Circuit, inverse_root
from fhe_face.models.balance import balance
from fhe_face.models.calibration import images
from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.models.fused import fuse
from fhe_face.models.layers import FusedNetwork

_BALANCE_SEED = 0
_BALANCE_IMAGES = 16


class WeightsError(ValueError):
    """Weights that load but cannot be run; the text names the file."""


def load_network(weights: str | os.PathLike[str] | None) -> FusedNetwork:
    """The fused, balanced network of a weights file; None gives the bundled one.

    The same file gives the same numbers, bit for bit.

    Raises:
        CheckpointError, WeightsError: the file cannot be used; the text names it.
    """
    return network_of(load(weights or bundled_weights()))


def network_of(checkpoint: Checkpoint) -> FusedNetwork:
    """The fused, balanced network of weights that were read.

    Raises:
        WeightsError: the network cannot be fused or balanced; the text names the file.
    """
    return _named(checkpoint, lambda: _balanced(fuse(checkpoint.state)))


def fused(checkpoint: Checkpoint) -> FusedNetwork:
    """The network of weights that were read, not balanced for encryption.

    Raises:
        WeightsError: the network cannot be fused; the text names the file.
    """
    return _named(checkpoint, lambda: fuse(checkpoint.state))


def _named(checkpoint: Checkpoint, make: Callable[[], FusedNetwork]) -> FusedNetwork:
    try:
        return make()
    except ValueError as error:
        raise WeightsError(f"{checkpoint.path}: {error}") from None


def recommended_root(checkpoint: Checkpoint) -> InverseRoot | None:
    """The normalisation that the weights' manifest says they are meant for; None without one."""
    return None if checkpoint.manifest is None else inverse_root(checkpoint.manifest.coefficients)


def bundled_weights() -> Path:
    """The weights that come with the package (models/bundled/MODEL_CARD.md)."""
    return Path(str(files("models").joinpath("bundled", "cryptofacenet4.safetensors")))


def require_size(network: FusedNetwork, circuit: Circuit, weights: object) -> None:
    """WeightsError where a network is for faces of another size than the keys."""
    if network.input_size != circuit.input_size:
        raise WeightsError(
            f"{weights}: a network for faces of {network.input_size} pixels; the keys were made "
            f"for {circuit.input_size} (fhe-face keygen --size {network.input_size})"
        )


def _balanced(network: FusedNetwork) -> FusedNetwork:
    generator = np.random.default_rng(_BALANCE_SEED)
    return balance(network, images(generator, _BALANCE_IMAGES, network.input_size))
