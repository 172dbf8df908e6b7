"""Faces that diverge, encrypted at full size: what their results look like."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.divergence.images import Image, blend
from fhe_core.formats.ciphertexts import Bundle
from fhe_face.client.client import FaceClient
from fhe_face.client.health import UnhealthyResultError
from fhe_face.demo_faces import demo_faces
from fhe_face.models import reference
from fhe_face.network import load_network
from fhe_face.photos.images import to_unit
from fhe_face.server.server import FaceServer

_FOLDER = "fhe-face-divergence-"


def diverging(weights: Path | None, targets: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Blends of a face with noise, for every squared norm."""
    network = load_network(weights)
    face = to_unit(demo_faces(network.input_size)[0])
    noise = np.random.default_rng(0).uniform(-1, 1, face.shape)
    with tempfile.TemporaryDirectory(prefix=_FOLDER) as folder:
        client = FaceClient.create(folder)
        server = FaceServer.load(Path(folder) / "evaluation.key", weights)
        for target in targets:
            image = blend(network, face, noise, target)
            result = server.embed(client.encrypt(image))
            wanted = reference.embed(network, image[None])[0]
            yield {"target": target, **_seen(client, result, wanted)}


def _seen(client: FaceClient, bundle: Bundle, raw: Image) -> dict[str, Any]:
    """Error of an embedding before any check, its squared norm, and whether it passes."""
    key = client.key  # what the checks would hide
    values, norm = (key.decrypt(item) for item in bundle.items.values())
    wanted = raw * float(client.circuit.normalisation.evaluate(float(np.sum(raw**2))))
    middle = float(np.median(norm))
    try:
        client.embedding(bundle)
        verdict = "passes"
    except UnhealthyResultError as error:
        verdict = str(error)
    return {
        "squared_norm": middle,
        "spread": float(np.max(np.abs(norm - middle)) / abs(middle)),
        "relative_error": float(
            np.linalg.norm(values[: raw.size] - wanted) / np.linalg.norm(wanted)
        ),
        "verdict": verdict,
    }
