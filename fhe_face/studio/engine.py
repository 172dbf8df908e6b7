"""What the studio computes with: injected, so that tests run on a small ring."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from fhe_core.formats.ciphertexts import Bundle
from fhe_core.parameters import ERROR_ETA, Parameters
from fhe_core.parameters.attacks import MATZOV, Instance, estimates
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import HealthReport
from fhe_face.gallery.gallery import Gallery
from fhe_face.models.thresholds import Thresholds
from fhe_face.photos.preparation import PreparedFace
from fhe_face.studio.progress import Side

#: Told what is done by whom: side, what, done, total.
Tell = Callable[[Side, str, int, int], None]
#: Given what goes to the server before it goes.
Travels = Callable[[Bundle], None]
Result = Embedding | HealthReport


@dataclass(frozen=True)
class Facts:
    """What is fixed before a photo exists.

    weights: their name; ring: name of the parameter set; log2_qp: bits of the largest modulus;
    security_bits: of the cheapest known attack, None where the ring is only for tests;
    key_bytes: of the evaluation keys; caution: to be said beside every answer; server: whose it is
    and where, None: a process on this machine.
    """

    weights: str
    ring: str
    ring_dimension: int
    log2_qp: float
    security_bits: float | None
    key_bytes: int
    caution: str | None = None
    server: str | None = None


@dataclass(frozen=True, eq=False)
class Computed:
    """Results in the order of the faces; sent, received: bytes of ciphertexts; seconds: that the
    server computed; rounds: requests that were needed."""

    results: list[Result]
    sent: int
    received: int
    seconds: float
    rounds: int


class Engine(Protocol):
    """A client and its server. All calls come from one thread at a time."""

    @property
    def facts(self) -> Facts: ...
    @property
    def model(self) -> str:
        """Digest of the weights' tensors."""
        ...

    @property
    def size(self) -> int:
        """Side of the faces in pixels."""
        ...

    @property
    def views(self) -> int:
        """2 where the mirror image is embedded as well."""
        ...

    @property
    def thresholds(self) -> Thresholds | None: ...

    def prepare(self, tell: Tell) -> None:
        """Make keys, start the server: what takes long and is done once. Again: nothing."""
        ...

    def encrypted(self, faces: Sequence[PreparedFace], tell: Tell, travels: Travels) -> Computed:
        """Embeddings, computed by a server that sees ciphertexts only; an exception out of `tell`
        gives up."""
        ...

    def in_the_clear(self, faces: Sequence[PreparedFace]) -> list[Result]:
        """The same, here, on numbers that anyone with this process's memory could read."""
        ...

    def gallery(self, folder: Path) -> Gallery:
        """A new gallery in a folder that does not exist yet; it keeps names, sealed."""
        ...

    def close(self) -> None:
        """End the server, forget the keys."""
        ...


def security_bits(parameters: Parameters) -> float | None:
    """log2 of the gates of the cheapest known attack; None for rings that are only for tests.

    In the cost model of the security tables that parameters are held to (docs/security.md), and of
    the ring that is attacked at the least cost.
    """
    if parameters.name.startswith("insecure"):
        return None
    error = math.sqrt(ERROR_ETA / 2)
    return min(
        one.bits
        for ring in parameters.rings
        for one in estimates(Instance(ring.ring_dimension, ring.log2_qp, error))
        if one.model == MATZOV.name
    )


def precision_bits(results: Sequence[Result], clear: Sequence[Result]) -> float | None:
    """To how many bits decrypted embeddings agree with those computed in the clear.

    Of the largest difference of any number, beside the length of the embedding; None where a face
    has no embedding.
    """
    worst = 0.0
    for one, other in zip(results, clear, strict=True):
        if isinstance(one, HealthReport) or isinstance(other, HealthReport):
            return None
        difference = float(np.abs(one.values - other.values).max())
        worst = max(worst, difference / float(np.linalg.norm(other.values)))
    return -math.log2(worst) if worst else None
