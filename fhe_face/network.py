"""The weights of a server: which file a name means, the network in it, and how good it is.

Clients need none of this: what they share with a server stands in fhe_face.engine.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Final

from fhe_core.errors import Failure
from fhe_core.normalisation import Normalisation
from fhe_face.circuit import INPUT_SIZE, Circuit, as_compiled
from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.models.architecture import INPUT_SIZES
from fhe_face.models.balance import balance
from fhe_face.models.calibration import calibration_images
from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.models.fused import fuse
from fhe_face.models.hub import PUBLISHED, published_file
from fhe_face.models.known_thresholds import known_thresholds
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.thresholds import Thresholds

#: What may stand for a file, as in --weights official.
OFFICIAL: Final = "official"
BUNDLED: Final = "bundled"
#: Digest of the tensors of the bundled weights (models/bundled/MODEL_CARD.md).
BUNDLED_TENSORS: Final = "147e5e855e70e245d7766216afce093e438368af97aaf9eb16e3a60f801f813c"
#: What stands beside every answer of the bundled network.
DEMONSTRATION: Final = (
    "the bundled network is a demonstration: it confuses people several times as often as the "
    "published one; for real answers: fhe-face weights download, then --weights official"
)


class WeightsError(Failure, ValueError):
    """Weights that load but cannot be run; the text names the file."""

    code = "weights"


def weights_file(
    weights: str | os.PathLike[str] | None = None, input_size: int = INPUT_SIZE
) -> Path:
    """The file that a person means: "official", "bundled" (None as well), or a path.

    "official" is the published checkpoint for faces of `input_size` pixels, where
    `fhe-face weights download` keeps it. A file that has such a name is ./official. Of a folder it
    is SIZE.safetensors in it.

    Raises:
        WeightsError: the official file was not downloaded, or the folder has none.
    """
    named = BUNDLED if weights is None else os.fspath(weights)
    if named == BUNDLED:
        return bundled_weights()
    if named != OFFICIAL:
        path = Path(named)
        return _in_folder(path, input_size) if path.is_dir() else path
    if input_size not in PUBLISHED:
        raise WeightsError(f"no official weights for faces of {input_size} pixels: 64, 96 or 128")
    file = published_file(input_size)
    if not file.is_file():
        size = "" if input_size == INPUT_SIZE else f" --size {input_size}"
        raise WeightsError(
            f"the official weights are not here ({file} is missing): get them with fhe-face "
            f"weights download{size}, or name a file"
        )
    return file


def _in_folder(folder: Path, input_size: int) -> Path:
    file = folder / f"{input_size}.safetensors"
    if not file.is_file():
        raise WeightsError(f"{folder}: has no weights for faces of {input_size} ({file.name})")
    return file


def weights_files(weights: str | os.PathLike[str] | None = None) -> dict[int | None, Path]:
    """All files that a name may mean, by the size of their faces; None: of a single file.

    Raises:
        WeightsError: there is none.
    """
    if weights is None or os.fspath(weights) == BUNDLED:
        return {INPUT_SIZE: bundled_weights()}
    if os.fspath(weights) != OFFICIAL and not Path(weights).is_dir():
        return {None: Path(weights)}
    found: dict[int | None, Path] = {}
    for size in INPUT_SIZES:
        with suppress(WeightsError):
            found[size] = weights_file(weights, size)
    if not found:
        weights_file(weights)  # says what is missing
    return found


def caution(checkpoint: Checkpoint) -> str | None:
    """What has to stand beside every answer of the bundled weights; None for others."""
    return DEMONSTRATION if checkpoint.tensors_sha256 == BUNDLED_TENSORS else None


def thresholds_of(checkpoint: Checkpoint) -> Thresholds | None:
    """From the manifest, or those known for the official weights; None where nobody measured."""
    if checkpoint.manifest is not None and checkpoint.manifest.thresholds is not None:
        return checkpoint.manifest.thresholds
    return known_thresholds(checkpoint.tensors_sha256)


def require_thresholds(checkpoint: Checkpoint) -> Thresholds:
    """Thresholds that decide for these weights.

    Raises:
        WeightsError: they have none; the text has the command that makes some.
    """
    found = thresholds_of(checkpoint)
    if found is None:
        raise WeightsError(f"{checkpoint.path}: {without_thresholds(checkpoint)}")
    return found


def load_thresholds(weights: str | os.PathLike[str] | None = None) -> Thresholds:
    """Thresholds of a weights file, by `weights_file`'s rules for names.

    Those of the bundled weights come with a Python warning.

    Raises:
        CheckpointError, WeightsError: the file cannot be used, or has none.
    """
    checkpoint = load(weights_file(weights))
    demonstration = caution(checkpoint)
    if demonstration is not None:
        warnings.warn(demonstration, stacklevel=2)
    return require_thresholds(checkpoint)


def without_thresholds(checkpoint: Checkpoint) -> str:
    """What can be done about weights that have no thresholds."""
    file, before = str(checkpoint.path), ""
    if checkpoint.kind != "safetensors":
        before, file = f"fhe-face weights convert {file} OUT.safetensors, then ", "OUT.safetensors"
    return (
        "these weights have no thresholds, so nothing tells same from different; measure them on "
        f"faces of several people: {before}fhe-face evaluate FOLDER --weights {file} "
        "--set-thresholds NAME"
    )


def load_network(
    weights: str | os.PathLike[str] | None, input_size: int = INPUT_SIZE
) -> FusedNetwork:
    """The fused, balanced network of a weights file, by `weights_file`'s rules for names.

    The same file gives the same numbers, bit for bit.

    Raises:
        CheckpointError, WeightsError: the file cannot be used; the text names it.
    """
    return network_of(load(weights_file(weights, input_size)))


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


def coefficients_of(checkpoint: Checkpoint) -> FittedNormalisation:
    """The polynomial that the weights' manifest says they are meant for, else the usual one."""
    manifest = checkpoint.manifest
    return FittedNormalisation.load() if manifest is None else manifest.coefficients


def recommended_normalisation(checkpoint: Checkpoint) -> Normalisation | None:
    """The normalisation that the weights' manifest says they are meant for; None without one."""
    return None if checkpoint.manifest is None else as_compiled(checkpoint.manifest.coefficients)


def bundled_weights() -> Path:
    """The weights that come with the package (models/bundled/MODEL_CARD.md)."""
    return Path(str(files("fhe_face.models").joinpath("bundled", "cryptofacenet4.safetensors")))


def require_size(network: FusedNetwork, circuit: Circuit, weights: object) -> None:
    """WeightsError where a network is for faces of another size than the keys."""
    if network.input_size != circuit.input_size:
        raise WeightsError(
            f"{weights}: a network for faces of {network.input_size} pixels; the keys were made "
            f"for {circuit.input_size} (fhe-face keygen --size {network.input_size})"
        )


def _balanced(network: FusedNetwork) -> FusedNetwork:
    return balance(network, calibration_images(network.input_size))
