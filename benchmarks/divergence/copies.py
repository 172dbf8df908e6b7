"""Images encrypted twice at full size: their errors, and what the client makes of them.

    python -m benchmarks.divergence.copies IMAGE... [--weights FILE] [--rounds 2] [--json]

IMAGE: aligned pictures, for example those that `benchmarks.divergence.ascent` made. Every round
encrypts an image anew, twice (8 GB).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.divergence.images import Image
from fhe_core.formats.ciphertexts import Bundle
from fhe_face.bundles import apart
from fhe_face.client.client import FaceClient
from fhe_face.client.health import HealthReport, UnhealthyResultError, check_copies
from fhe_face.client.noise_gain import noise_gain
from fhe_face.models import reference
from fhe_face.network import load_network
from fhe_face.photos.images import load_unit
from fhe_face.server.server import FaceServer

_FOLDER = "fhe-face-copies-"


def measured(images: list[Path], weights: Path | None, rounds: int) -> Iterator[dict[str, Any]]:
    """One row per image and round."""
    network = load_network(weights)
    with tempfile.TemporaryDirectory(prefix=_FOLDER) as folder:
        client = FaceClient.create(folder)
        server = FaceServer.load(Path(folder) / "evaluation.key", weights)
        for path in images:
            image = load_unit(path, network.input_size)
            true = reference.embed(network, image[None])[0]
            gain = noise_gain(network, image)
            for number in range(rounds):
                together = apart(server.embed(client.encrypt([image, image])))
                row = {"image": path.name, "round": number, "gain": gain}
                yield row | _compared(client, together, true)


def _compared(client: FaceClient, results: list[Bundle], true: Image) -> dict[str, Any]:
    found = [_seen(client, bundle) for bundle in results]
    raw = [values for values, _, _ in found]
    off = [values - true for values in raw]
    report = check_copies(
        [values * float(client.circuit.normalisation.evaluate(y)) for values, y, _ in found],
        [y for _, y, _ in found],
        client.circuit.normalisation,
    )
    return {
        "error": [_relative(one, true) for one in off],
        "cosine": [_cosine(values, true) for values in raw],
        "verdict": [verdict for _, _, verdict in found],
        "apart": float(np.linalg.norm(raw[0] - raw[1]) / min(map(np.linalg.norm, raw))),
        "correlation": _cosine(off[0], off[1]),
        "copies": report.message,
    }


def _seen(client: FaceClient, bundle: Bundle) -> tuple[Image, float, str]:
    """The embedding before normalisation, its squared norm, and what the client says of it."""
    key = client.key  # what the checks would hide
    values, norm = (key.decrypt(item) for item in bundle.items.values())
    squared = float(np.median(norm))
    try:
        client.embedding(bundle)
        verdict = HealthReport((squared,), client.circuit.normalisation.interval, ()).message
    except UnhealthyResultError as error:
        verdict = str(error)
    factor = float(client.circuit.normalisation.evaluate(squared))
    return values[: client.engine.compiled.architecture.embedding] / factor, squared, verdict


def _relative(error: Image, true: Image) -> float:
    return float(np.linalg.norm(error) / np.linalg.norm(true))


def _cosine(one: Image, other: Image) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def main() -> None:
    """Print a row per image and round."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.divergence.copies")
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    for row in measured(chosen.images, chosen.weights, chosen.rounds):
        print(json.dumps(row) if chosen.json else row, flush=True)


if __name__ == "__main__":
    main()
