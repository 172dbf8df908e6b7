"""Faces to embeddings: under encryption, or in the clear with weights on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from fhe_core.normalisation import Normalisation
from fhe_face.circuit import normalisation_of
from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Embedding
from fhe_face.client.embedding import CONTRASTS
from fhe_face.client.embedding import Embedder as Server
from fhe_face.client.health import HealthReport, check_embedding
from fhe_face.gallery.errors import OtherModel
from fhe_face.gallery.facts import Facts
from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.models.reference import squared_norm
from fhe_face.models.single import SingleNetwork
from fhe_face.network import fused, recommended_normalisation, weights_file
from fhe_face.photos.preparation import PreparedFace
from fhe_face.places import Packing

#: Faces that are embedded in the clear before they are written down.
LOCAL_GROUP: Final = 16
#: Slots that a decrypted squared norm is checked in; in the clear there is one number.
_SLOTS: Final = 2


class Embedder(Protocol):
    """What makes embeddings for a gallery.

    model: digest of the weights' tensors; size: side of the faces in pixels; views: 2 averages
    over the face and its mirror image; together: faces that are best embedded at once.
    """

    @property
    def model(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def views(self) -> int: ...
    @property
    def together(self) -> int: ...

    def embed(self, faces: Sequence[PreparedFace], /) -> list[Embedding | HealthReport]:
        """An embedding of each, or the reason why there is none; in order."""
        ...


class LocalEmbedder:
    """In the clear, on this machine: milliseconds, for whoever has the weights and the photos."""

    together = LOCAL_GROUP

    def __init__(
        self, checkpoint: Checkpoint, normalisation: Normalisation | None = None, views: int = 1
    ) -> None:
        """Use :meth:`load` for a file.

        normalisation: whose interval decides which faces diverge; default: the weights' own.

        Raises:
            WeightsError: the network cannot be run.
        """
        self.model = checkpoint.tensors_sha256
        self.size = checkpoint.input_size
        self.views = views
        self._network = SingleNetwork(fused(checkpoint))
        recommended = normalisation or recommended_normalisation(checkpoint)
        self._normalisation = recommended or normalisation_of(None)

    @classmethod
    def load(cls, weights: str | os.PathLike[str] | None = None, views: int = 1) -> LocalEmbedder:
        """weights: "official", "bundled" (None as well), or a file.

        Raises:
            CheckpointError, WeightsError: the weights cannot be used.
        """
        return cls(load(weights_file(weights)), views=views)

    def embed(self, faces: Sequence[PreparedFace], /) -> list[Embedding | HealthReport]:
        """Embeddings; those that leave the interval of the normalisation are refused.

        Under encryption such a face decrypts to a number without meaning. As there, it is tried
        again with less contrast (`CONTRASTS`), and its embedding says so.
        """
        found = self._with_contrast(faces, 1.0)
        for contrast in dict.fromkeys(CONTRASTS[1:]):
            lacking = [k for k, one in enumerate(found) if isinstance(one, HealthReport)]
            again = self._with_contrast([faces[k] for k in lacking], contrast)
            for k, result in zip(lacking, again, strict=True):
                if isinstance(result, Embedding):
                    found[k] = replace(result, contrast=contrast)
        return found

    def _with_contrast(
        self, faces: Sequence[PreparedFace], contrast: float
    ) -> list[Embedding | HealthReport]:
        if not faces:
            return []
        units = contrast * np.stack([face.unit for face in faces])
        raw = self._network.embed(units)
        with np.errstate(all="ignore"):  # a diverging face
            if self.views > 1:
                raw = (raw + self._network.embed(np.ascontiguousarray(units[..., ::-1]))) / 2
            norms = squared_norm(raw)
            values = raw * self._normalisation.evaluate(norms)[:, None]
            return [
                self._checked(own, float(norm)) for own, norm in zip(values, norms, strict=True)
            ]

    def _checked(self, values: np.ndarray, norm: float) -> Embedding | HealthReport:
        report = check_embedding(values, np.full(_SLOTS, norm), self._normalisation)
        return Embedding(values, report) if report.healthy else report


@dataclass(frozen=True)
class EncryptedEmbedder:
    """Through a server that sees ciphertexts only.

    client: of the engine's keys; server: a `FaceServer`, or what carries bundles to one and back,
    with the weights of which model is the digest; memory: that the server has, in bytes; groups:
    so many full runs go to the server at once, where each request costs it a start. twice: compute
    every face from two encryptions, and refuse one whose copies differ, as a crafted image's do.
    """

    client: FaceClient
    server: Server
    model: str
    memory: int | None = None
    groups: int = 1
    twice: bool = False

    @classmethod
    def of(
        cls,
        client: FaceClient,
        server: Server,
        weights: str | os.PathLike[str] | None = None,
        *,
        memory: int | None = None,
        groups: int = 1,
    ) -> EncryptedEmbedder:
        """With the weights that the server has: a file, "official" or "bundled" (None as well).

        Raises:
            CheckpointError, WeightsError: the weights cannot be used.
        """
        model = load(weights_file(weights)).tensors_sha256
        return cls(client, server, model, memory, groups)

    @property
    def size(self) -> int:
        """Of the circuit that the keys were made for."""
        return self.client.circuit.input_size

    @property
    def views(self) -> int:
        """Of that circuit."""
        return self.client.circuit.views

    @property
    def together(self) -> int:
        """A full batch, or one face, as the keys allow; `groups` times that."""
        batched = Packing.BATCH in self.client.engine.packings
        return self.groups * (self.client.engine.capacity if batched else 1)

    def embed(self, faces: Sequence[PreparedFace], /) -> list[Embedding | HealthReport]:
        """Packed by the planner; a face that diverges costs its partners a further round only.

        Raises:
            ContainerError, AnswerLimitError: as `FaceClient.embed`.
        """
        if not faces:
            return []
        embed, images = self.client.embed, list(faces)
        return embed(images, self.server, memory=self.memory, twice=self.twice).results


def require_embedder(embedder: Embedder, facts: Facts) -> None:
    """Refuse what embeds in another way than the gallery's templates were.

    Raises:
        OtherModel: other weights, another size of faces, or other views.
    """
    facts.require_model(embedder.model, "what embeds the photos")
    wanted = facts.preparation.size, 2 if facts.preparation.flip else 1
    if (embedder.size, embedder.views) != wanted:
        raise OtherModel(
            f"faces of {embedder.size} pixels in {embedder.views} views are embedded, the gallery "
            f"has faces of {wanted[0]} pixels in {wanted[1]} views"
        )
