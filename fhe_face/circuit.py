"""What client and server compute together. Keys are made for one circuit and carry it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhe_core.container import Corrupt, Header, ParameterMismatch
from fhe_core.errors import Failure
from fhe_core.formats.purpose import require_device, require_engine
from fhe_core.normalisation import (
    AnyNormalisation,
    ExactNormalisation,
    Normalisation,
    NormalisationError,
)
from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.models.architecture import INPUT_SIZES
from fhe_face.places import Packing

#: Side of the aligned faces of CryptoFaceNet4.
INPUT_SIZE = 64
#: Views of a face: the face alone, or with its mirror image (flip averaging).
MAX_VIEWS = 2
#: Of a normalisation, Newton steps included, in a key file. No preset has limbs for more than 15
#: (2 degree + 1 <= 2^levels), and roots of hundreds take seconds.
MAX_DEGREE = 31
#: In key files.
ENTRY = "circuit"
PACKINGS = "packings"
CLIENT_NORMALISES = "client_normalises"


class CircuitError(Failure, ValueError):
    """A circuit that does not exist; the text says what would be right."""

    code = "circuit"


class NoScoresError(CircuitError):
    """Something needs embeddings that were normalised under encryption, and these are not."""

    code = "no-scores"


@dataclass(frozen=True)
class Circuit:
    """Shapes and the normalisation; never weights.

    Attributes:
        preset: name of the parameters.
        normalisation: the polynomial in place of 1 / sqrt(squared norm), and the interval in which
            faces are healthy. Where the client normalises, only the interval counts.
        input_size: side of the aligned faces, 64, 96 or 128: CryptoFaceNet4, 9 or 16.
        views: 2 averages the embeddings of a face and of its mirror image.
        client_normalises: results are embeddings of any length, which the client divides by it.
    """

    preset: str
    normalisation: Normalisation
    input_size: int = INPUT_SIZE
    views: int = 1
    client_normalises: bool = False

    def __post_init__(self) -> None:
        """Raise CircuitError for sizes and views that do not exist."""
        if self.input_size not in INPUT_SIZES:
            raise CircuitError(f"faces of {self.input_size} pixels; it must be 64, 96 or 128")
        if not 1 <= self.views <= MAX_VIEWS:
            raise CircuitError(f"{self.views} views; it must be 1 or 2")

    @property
    def encrypted_normalisation(self) -> Normalisation | None:
        """The normalisation that a server computes, if it does."""
        return None if self.client_normalises else self.normalisation

    @property
    def applied(self) -> AnyNormalisation:
        """By what embeddings are multiplied until a client has them."""
        if self.client_normalises:
            return ExactNormalisation(self.normalisation.interval)
        return self.normalisation

    def require_scores(self, source: str | None = None) -> None:
        """Refuse keys for which nothing can compare encrypted embeddings.

        source: the file of the keys, for the text.

        Raises:
            NoScoresError: embeddings are not normalised under encryption.
        """
        if self.client_normalises:
            named = "" if source is None else f"{source}: "
            raise NoScoresError(
                f"{named}keys whose client normalises, so that encrypted embeddings cannot be "
                "compared: decrypt both and compare them in the clear, as fhe-face verify --keys "
                "does, or make keys without --client-normalises"
            )

    def summary(self) -> str:
        """One line for people."""
        low, high = self.normalisation.interval
        mirror = " and their mirror images" if self.views > 1 else ""
        faces = f"faces of {self.input_size}x{self.input_size} pixels{mirror}"
        if self.client_normalises:
            return f"{faces}; the client normalises, squared norms in [{low:g}, {high:g}]"
        degree = self.normalisation.degree
        return f"{faces}; normalisation of degree {degree} on [{low:g}, {high:g}]"

    def describe(self) -> dict[str, Any]:
        """JSON-ready, exact; whether the client normalises only where it does."""
        facts = {
            "preset": self.preset,
            "input_size": self.input_size,
            "views": self.views,
            "normalisation": self.normalisation.describe(),
        }
        return {**facts, CLIENT_NORMALISES: True} if self.client_normalises else facts

    @classmethod
    def from_description(cls, content: Any) -> Circuit:
        """Inverse of :meth:`describe`; CircuitError for anything else."""
        if not isinstance(content, Mapping):
            raise CircuitError("not a circuit")
        preset, size, views = (content.get(k) for k in ("preset", "input_size", "views"))
        if not isinstance(preset, str) or type(size) is not int or type(views) is not int:
            raise CircuitError("a circuit without preset, input size and views")
        raw = content.get(CLIENT_NORMALISES, False)
        if type(raw) is not bool:
            raise CircuitError("a circuit that does not say whether its client normalises")
        try:
            normalisation = Normalisation.from_description(content.get("normalisation"))
        except NormalisationError as error:
            raise CircuitError(str(error)) from None
        return cls(preset, normalisation, size, views, raw)


def normalisation_of(coefficients: str | os.PathLike[str] | None) -> Normalisation:
    """The polynomial of a coefficient file; without one, the default quadratic on [100, 3000].

    Raises:
        CoefficientError: the file cannot be used; the text names it.
    """
    return as_compiled(FittedNormalisation.load(coefficients))


def as_compiled(fitted: FittedNormalisation) -> Normalisation:
    """A fitted polynomial, as the compiler takes it."""
    return Normalisation(fitted.chebyshev, fitted.interval, fitted.newton_steps)


def circuit_of(header: Header) -> Circuit:
    """The circuit that a key file was made for.

    Raises:
        ContainerError: it says none, or one that does not exist, or for other parameters; or it is
            a gallery's or a device's.
    """
    require_engine(header)
    return _circuit_in(header)


def circuit_of_device(header: Header) -> Circuit:
    """The circuit of a device's own key, which is its owner's; errors as `circuit_of`."""
    require_device(header)
    return _circuit_in(header)


def _circuit_in(header: Header) -> Circuit:
    if ENTRY not in header.metadata:
        raise ParameterMismatch(
            f"{header.source}: made by a version that did not write down the circuit; make new "
            "keys with fhe-face keygen"
        )
    try:
        circuit = Circuit.from_description(header.metadata[ENTRY])
    except CircuitError as error:
        raise Corrupt(f"{header.source}: {error}") from None
    if circuit.normalisation.degree > MAX_DEGREE:
        raise Corrupt(
            f"{header.source}: its circuit has a normalisation of degree "
            f"{circuit.normalisation.degree}; "
            f"keys are made for {MAX_DEGREE} at most"
        )
    if header.metadata.get("parameters") != circuit.preset:
        raise Corrupt(f"{header.source}: its circuit is for other parameters")
    return circuit


def packings_for(header: Header) -> tuple[Packing, ...]:
    """How the keys of a file can compute faces.

    Raises:
        ContainerError: it says what does not exist.
    """
    found = header.metadata.get(PACKINGS)
    known = [packing.value for packing in Packing]  # no set: a file may hold what has no hash
    if not isinstance(found, list) or not found or not all(name in known for name in found):
        raise Corrupt(
            f"{header.source}: does not say whether its keys are for single faces or batches, or "
            "was made by an older version: make new keys with fhe-face keygen"
        )
    return tuple(packing for packing in Packing if packing.value in found)
