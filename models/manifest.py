"""What a weights file says of itself: architecture, input, normalisation, training, a digest.

The manifest is JSON text in the metadata of a safetensors file. The digest is over the tensors,
not the file, so that an official .ckpt and its converted file have the same one.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from fhe_core.errors import Failure
from fhe_core.files import one_line
from fhe_face.coeffs.normalisation import CoefficientError, FittedNormalisation
from fhe_face.models.architecture import State, count_patches, input_size_of
from fhe_face.models.thresholds import Thresholds, ThresholdsError

#: Name of the manifest among the metadata of a safetensors file.
ENTRY: Final = "fhe-face manifest"
VERSION: Final = 1
#: What a pixel of 0..255 becomes before it enters the network.
PIXELS: Final = "(x - 127.5) / 127.5"
MAX_BYTES: Final = 1 << 20
_MAX_DEPTH: Final = 20
_FIELDS: Final = frozenset(
    ("version", "architecture", "input_size", "pixels", "tensors_sha256", "normalisation")
)


class WeightsManifestError(Failure, ValueError):
    """A manifest that cannot be used; the text says what is wrong."""

    code = "weights-manifest"

    def __init__(self, text: str) -> None:
        """`text` may quote the manifest: what cannot be printed is escaped."""
        super().__init__(one_line(text))


def tensors_digest(state: State) -> str:
    """SHA-256, hexadecimal, over names, types, shapes and bytes of tensors, sorted by name.

    For each: a line of JSON [name, type, shape] such as ["bn.running_mean","<f4",[256]], then
    the values in C order, least significant byte first.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = np.asarray(state[name])
        little = tensor.astype(tensor.dtype.newbyteorder("<"), copy=False)
        kind = little.dtype.str.replace("|", "<")
        head = json.dumps([name, kind, list(tensor.shape)], separators=(",", ":"))
        digest.update(head.encode("ascii") + b"\n" + little.tobytes(order="C"))
    return digest.hexdigest()


@dataclass(frozen=True)
class WeightsManifest:
    """What belongs to the tensors of one file.

    input_size: 64, 96 or 128; tensors_sha256: of `tensors_digest`; coefficients: the polynomial
    that the network is meant to be used with; training: a free JSON object, such as data, seed,
    command, licence, source; thresholds: measured with these tensors, None where nobody did.
    """

    input_size: int
    tensors_sha256: str
    coefficients: FittedNormalisation = field(default_factory=FittedNormalisation.load)
    training: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Thresholds | None = None

    def __post_init__(self) -> None:
        """WeightsManifestError for a training record that is not JSON, or too large."""
        _check_json(self.training)
        if len(self.to_json()) > MAX_BYTES:
            raise WeightsManifestError(f"larger than {MAX_BYTES} bytes")

    @classmethod
    def of(
        cls,
        state: State,
        coefficients: FittedNormalisation | None = None,
        training: Mapping[str, Any] | None = None,
        thresholds: Thresholds | None = None,
    ) -> "WeightsManifest":
        """For tensors; default coefficients: the quadratic on [100, 3000].

        ValueError: not a CryptoFaceNet, or a training record that is not JSON.
        """
        size = input_size_of(count_patches(state))
        found = FittedNormalisation.load() if coefficients is None else coefficients
        return cls(size, tensors_digest(state), found, dict(training or {}), thresholds)

    @property
    def architecture(self) -> str:
        """CryptoFaceNet4, 9 or 16."""
        return architecture_name(self.input_size)

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no blanks, ASCII."""
        content: dict[str, Any] = {
            "version": VERSION,
            "architecture": self.architecture,
            "input_size": self.input_size,
            "pixels": PIXELS,
            "tensors_sha256": self.tensors_sha256,
            "normalisation": self.coefficients.to_json(),
            "training": dict(self.training),
        }
        if self.thresholds is not None:
            content["thresholds"] = self.thresholds.to_json()
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "WeightsManifest":
        """From the text of a file; WeightsManifestError for anything but a manifest."""
        if len(text) > MAX_BYTES:
            raise WeightsManifestError(f"larger than {MAX_BYTES} bytes")
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise WeightsManifestError("not JSON") from None
        if not isinstance(content, dict):
            raise WeightsManifestError("not an object")
        version = content.get("version")
        if type(version) is not int or version != VERSION:
            raise WeightsManifestError(f"version {_cut(version)}; this program reads {VERSION}")
        if missing := _FIELDS - set(content):
            raise WeightsManifestError(f"{min(missing)} is missing")
        size, digest = content["input_size"], content["tensors_sha256"]
        if type(size) is not int or size not in (64, 96, 128):
            raise WeightsManifestError(f"input_size {_cut(size)}; it must be 64, 96 or 128")
        if content["architecture"] != architecture_name(size):
            raise WeightsManifestError(
                f"architecture {_cut(content['architecture'])} with input_size {size}; it must be "
                f"{architecture_name(size)}"
            )
        if content["pixels"] != PIXELS:
            raise WeightsManifestError(f"pixels {_cut(content['pixels'])}; it must be {PIXELS}")
        if not (isinstance(digest, str) and len(digest) == 64 and set(digest) <= set(_HEX)):
            raise WeightsManifestError("tensors_sha256 must be 64 lowercase hexadecimal digits")
        training = content.get("training", {})
        if not isinstance(training, dict) or not isinstance(content["normalisation"], dict):
            raise WeightsManifestError("training and normalisation must be objects")
        try:
            coefficients = FittedNormalisation.from_json(content["normalisation"])
        except CoefficientError as error:
            raise WeightsManifestError(f"normalisation: {str(error)[:200]}") from None
        thresholds = None
        if "thresholds" in content:
            try:
                thresholds = Thresholds.from_json(content["thresholds"])
            except ThresholdsError as error:
                raise WeightsManifestError(f"thresholds: {str(error)[:200]}") from None
        return cls(size, digest, coefficients, training, thresholds)

    def require(self, state: State) -> None:
        """WeightsManifestError where tensors are not those that the manifest was made for."""
        size = input_size_of(count_patches(state))
        if size != self.input_size:
            raise WeightsManifestError(f"input_size {self.input_size}, the tensors are for {size}")
        if tensors_digest(state) != self.tensors_sha256:
            raise WeightsManifestError("the tensors were changed: their digest is another one")


_HEX: Final = "0123456789abcdef"


def architecture_name(input_size: int) -> str:
    """CryptoFaceNet4, 9 or 16 for 64, 96 or 128."""
    return f"CryptoFaceNet{(input_size // 32) ** 2}"


def _check_json(content: object, depth: int = 0) -> None:
    if depth > _MAX_DEPTH:
        raise WeightsManifestError(f"training: nested more than {_MAX_DEPTH} deep")
    if isinstance(content, Mapping):
        if not all(isinstance(key, str) for key in content):
            raise WeightsManifestError("training: names must be text")
        for value in content.values():
            _check_json(value, depth + 1)
    elif isinstance(content, list | tuple):
        for value in content:
            _check_json(value, depth + 1)
    elif isinstance(content, float):
        if not math.isfinite(content):
            raise WeightsManifestError("training: numbers must be finite")
    elif not (content is None or isinstance(content, str | bool | int)):
        raise WeightsManifestError(f"training: {type(content).__name__} is not JSON")


def _cut(value: object) -> str:
    """A value of unknown size for a one-line message."""
    text = ascii(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text if len(text) <= 40 else text[:37] + "..."
