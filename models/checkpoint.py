"""Weights from and to files: safetensors without torch, the official .ckpt where torch is.

A file is read once, recognised by its content (never only by its name), hashed, parsed without
running anything from it, and checked tensor by tensor before it is returned.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fhe_core.errors import Failure
from fhe_core.files import FileError, FileKind, ReplacementError, one_line, reason_of, write_whole
from fhe_face.models.architecture import State, check_state, input_size_of
from fhe_face.models.impostors import impostor
from fhe_face.models.manifest import (
    ENTRY,
    WeightsManifest,
    WeightsManifestError,
    architecture_name,
    tensors_digest,
)
from fhe_face.models.torch_files import TorchFileError, read, require_torch
from fhe_face.models.wrappers import described, state_dict_in, unwrapped

MAX_FILE_BYTES: Final = 1 << 30
MAX_HEADER_BYTES: Final = 16 << 20
_RIGHT: Final = (
    "expected a CryptoFaceNet checkpoint: .safetensors with the official tensor names, or the "
    'official torch file {"backbone": state_dict}'
)
Kind = Literal["safetensors", "torch"]


def _is_safetensors(stream: BinaryIO) -> bool:
    return stream.read(9)[8:] == b"{"


#: What weights may replace, where they may replace anything.
WEIGHTS: Final = FileKind("a safetensors file", _is_safetensors)


class CheckpointError(Failure, ValueError):
    """A weights file that cannot be used; the text names the file and what would be right."""

    code = "checkpoint"

    def __init__(self, path: Path, problem: str) -> None:
        """`path`: the file; `problem`: what is wrong with it and what would be right."""
        super().__init__(one_line(f"{path}: {problem}"))
        self._given = (path, problem)

    def __reduce__(self) -> tuple[type["CheckpointError"], tuple[Path, str]]:
        """What makes it again, in another process."""
        return type(self), self._given


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checked state dict with where it came from.

    state: numpy arrays as stored; sha256: of the whole file, hexadecimal; metadata: of a
    safetensors file (empty for a torch file); manifest: checked against the tensors, None where
    the file has none.
    """

    state: Mapping[str, NDArray[Any]]
    path: Path
    kind: Kind
    sha256: str
    metadata: Mapping[str, str]
    patches: int
    manifest: WeightsManifest | None = None

    @property
    def input_size(self) -> int:
        """Side of the images of this network: 64, 96 or 128."""
        return input_size_of(self.patches)

    @property
    def architecture(self) -> str:
        """CryptoFaceNet4, 9 or 16."""
        return architecture_name(self.input_size)

    @property
    def tensors_sha256(self) -> str:
        """Digest of the tensors: the same for an official .ckpt and its converted file."""
        return tensors_digest(self.state)


def load_state(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Only the state dict of `load`; raises what it raises."""
    return dict(load(path).state)


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read and check a weights file.

    What DataParallel, torch.compile or Lightning put before every name is taken off.

    Raises CheckpointError (a ValueError) naming the file: missing, a directory, too large,
    truncated, another kind of file, hostile header, torch needed but not installed or too old,
    more than tensors in a torch file, tensors missing, misshapen, non-finite, or a manifest that
    is damaged or of other tensors.
    """
    file = Path(path)
    data = _read(file)
    metadata: dict[str, str] = {}
    kind = _kind(file, data)
    if kind == "safetensors":
        state, metadata = _from_safetensors(file, data)
    else:
        state = _from_torch(file, data)
    found = described(state)
    try:
        state = unwrapped(state)
    except ValueError as error:
        raise CheckpointError(file, f"{error}; {_RIGHT}") from None
    try:
        patches = check_state(state)
    except ValueError as error:
        raise CheckpointError(file, f"{error}; {found}; {_RIGHT}") from None
    manifest = None
    if ENTRY in metadata:
        try:
            manifest = WeightsManifest.from_json(metadata[ENTRY])
            manifest.require(state)
        except WeightsManifestError as error:
            raise CheckpointError(file, f"its manifest: {error}") from None
    digest = hashlib.sha256(data).hexdigest()
    return Checkpoint(state, file, kind, digest, metadata, patches, manifest)


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a weights file, hexadecimal; CheckpointError where it cannot be read."""
    return hashlib.sha256(_read(Path(path))).hexdigest()


def save_safetensors(
    state: State,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    *,
    manifest: WeightsManifest | None = None,
    overwrite: bool = True,
) -> None:
    """Write a checked state dict atomically (a temporary file beside it, then a rename).

    manifest: of these tensors; default: one with the default coefficients and no training
    record. metadata: more text beside it. Raises ValueError for a state that would not load
    again or is not the manifest's, CheckpointError where the file cannot be written, or stands
    there already without `overwrite`, ReplacementError where another kind of file stands there;
    nothing half-written stays.
    """
    from safetensors.numpy import save

    check_state(state)
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in state.items()}
    # ascontiguousarray makes a scalar one-dimensional; its shape must survive.
    tensors = {name: tensor.reshape(state[name].shape) for name, tensor in tensors.items()}
    if manifest is None:
        manifest = WeightsManifest.of(state)
    manifest.require(state)
    texts = {**(metadata or {}), ENTRY: manifest.to_json()}
    _write(Path(path), save(tensors, metadata=texts), overwrite)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise CheckpointError(file, f"{size} bytes is too large for weights; {_RIGHT}")
            data = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise CheckpointError(file, f"no such file; {_RIGHT}") from None
    except OSError as error:
        raise CheckpointError(file, f"cannot be read ({error.strerror}); {_RIGHT}") from None
    if len(data) > MAX_FILE_BYTES:
        raise CheckpointError(file, f"too large for weights; {_RIGHT}")
    return data


def _kind(file: Path, data: bytes) -> Kind:
    if not data:
        raise CheckpointError(file, f"the file is empty; {_RIGHT}")
    other = impostor(data)
    if other is not None:
        raise CheckpointError(file, f"{other}; {_RIGHT}")
    if data[:4] == b"PK\x03\x04" or data[:2] == b"\x80\x02":
        return "torch"
    if data[8:9] == b"{" or file.suffix == ".safetensors":
        return "safetensors"
    raise CheckpointError(file, f"neither a safetensors nor a torch file; {_RIGHT}")


def _from_safetensors(file: Path, data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    from safetensors.numpy import load as parse

    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, MAX_HEADER_BYTES):
        raise CheckpointError(
            file,
            f"the safetensors header claims {length} bytes, the file has {len(data)}: "
            f"truncated or not a safetensors file; {_RIGHT}",
        )
    try:
        state = parse(data)
        header = json.loads(data[8 : 8 + length])
    except Exception as error:  # the parser's own errors, types that numpy does not have, ...
        reason = f"not a valid safetensors file ({error}): truncated or damaged"
        raise CheckpointError(file, f"{reason}; {_RIGHT}") from None
    return dict(state), dict(header.get("__metadata__") or {})


def _from_torch(file: Path, data: bytes) -> dict[str, NDArray[Any]]:
    try:
        backbone = state_dict_in(read(data))
        torch = require_torch()
    except TorchFileError as error:
        raise CheckpointError(file, f"{error}") from None
    except ValueError as error:
        raise CheckpointError(file, f"{error}; {_RIGHT}") from None
    if backbone is None:
        raise CheckpointError(file, f'a torch file without a "backbone" state dict; {_RIGHT}')
    state: dict[str, NDArray[Any]] = {}
    for name, tensor in backbone.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise CheckpointError(file, f"{name!r} in its backbone is not a tensor; {_RIGHT}")
        # A few stored bytes can be viewed as a tensor of any size: never copy such a one.
        if tensor.layout != torch.strided or tensor.numel() > len(data):
            raise CheckpointError(file, f"{name}: not a plain tensor of this file; {_RIGHT}")
        plain = tensor.detach()
        state[name] = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy().copy()
    return state


def _write(file: Path, data: bytes, overwrite: bool) -> None:
    try:
        write_whole(file, data, overwrite=overwrite, kind=WEIGHTS)
    except ReplacementError:
        raise
    except FileError as error:
        raise CheckpointError(file, f"cannot be written ({reason_of(error)})") from None
