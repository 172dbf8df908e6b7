"""What is measured from end to end: an engine, a network, and faces. Tests pass small ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.ciphertext import Ciphertext
from fhe_core.compiler import CompiledNetwork
from fhe_core.plan import Plan
from fhe_core.secret.key import SecretKey
from fhe_face.demo_faces import demo_faces
from fhe_face.engine import Engine, choose_engine
from fhe_face.models import reference
from fhe_face.models.checkpoint import load
from fhe_face.models.layers import FusedNetwork
from fhe_face.network import network_of, recommended_normalisation, weights_file
from fhe_face.photos.images import to_unit
from fhe_face.places import Packing
from fhe_face.progress import Stage, silent

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Subject:
    """An engine for every packing, and a network with the engine's shapes.

    Attributes:
        images: faces (count, channels, size, size) in [-1, 1]; at least two.
        weights: where the network is from.
    """

    engine: Engine
    network: FusedNetwork
    images: Array
    weights: str

    @classmethod
    def load(cls, weights: Path, stage: Stage = silent) -> Subject:
        """The network of a weights file, with the normalisation it is meant for; drawn faces.

        Raises:
            CheckpointError, WeightsError: the file cannot be used; the text names it.
        """
        stage("reading weights", 0, 0)
        checkpoint = load(weights_file(weights))
        network = network_of(checkpoint)
        stage("reading weights", 1, 1)
        stage("compiling the plan", 0, 0)
        normalisation = recommended_normalisation(checkpoint)
        engine = choose_engine(normalisation, network.input_size, packings=Packing)
        stage("compiling the plan", 1, 1)
        faces = np.stack([to_unit(face) for face in demo_faces(network.input_size)])
        return cls(engine, network, faces, str(weights))

    def fills_a_batch(self, faces: int) -> bool:
        """Whether so many faces are measured as batches: at least half of one is full."""
        return Packing.BATCH in self.engine.packings and 2 * faces >= self.engine.capacity

    @cached_property
    def expected(self) -> Array:
        """Normalised embeddings (count, length) of the images, in the clear."""
        raw, norms = self._raw
        with np.errstate(all="ignore"):  # of a network that diverges
            result: Array = raw * self.engine.circuit.normalisation.evaluate(norms)[:, None]
        return result

    @cached_property
    def healthy(self) -> list[bool]:
        """Whether each image's squared norm lies where the normalisation was fitted."""
        low, high = self.engine.circuit.normalisation.interval
        return [bool(low <= norm <= high) for norm in self._raw[1]]

    @cached_property
    def _raw(self) -> tuple[Array, Array]:
        raw = reference.embed(self.network, self.images)
        return raw, reference.squared_norm(raw)

    def encrypt(self, key: SecretKey, compiled: CompiledNetwork, face: int) -> list[Ciphertext]:
        """Inputs of a compiled network for one face."""
        slots, plan = compiled.pack_image(self.images[face]), compiled.plan
        return [
            key.encrypt(row, plan.values[name].scale)[0]
            for name, row in zip(plan.inputs, slots, strict=True)
        ]

    def accuracy(self, embedding: Array, face: int) -> dict[str, Any]:
        """How close a decrypted embedding [at least length] is to the cleartext one."""
        return compare(embedding[: self.network.embedding], self.expected[face]) | {
            "healthy": self.healthy[face]
        }

    def plan_facts(self, plan: Plan) -> dict[str, Any]:
        """Which plan, and for what."""
        return {
            "plan": plan.name,
            "plan_digest": plan.digest,
            "weights": self.weights,
            "circuit": self.engine.circuit.describe(),
        }


def compare(got: Array, expected: Array) -> dict[str, float]:
    """Cosine and relative L2 error."""
    length = np.linalg.norm(expected)
    return {
        "cosine_to_cleartext": float(got @ expected / (np.linalg.norm(got) * length)),
        "relative_l2_error": float(np.linalg.norm(got - expected) / length),
    }
