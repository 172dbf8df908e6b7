"""How far a diverging face of a batch reaches the others through rounded masks (docs/health.md).

    python -m benchmarks.divergence.neighbours --weights FILE [--json]

A batch in the clear, with masks and weights rounded as they are for encryption: a minute and 3 GB
for each of the squared norms.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.divergence.images import Image, blend
from fhe_core import encoding
from fhe_core import plan as plans
from fhe_core.compiler import CompiledBatch
from fhe_core.plan import Step, steps
from fhe_core.runtime.cleartext import CleartextBackend, linear_sums
from fhe_core.runtime.packed import PackedPlan, pack
from fhe_core.runtime.sums import Slots, Terms
from fhe_face.demo_faces import demo_faces
from fhe_face.engine import choose_engine
from fhe_face.models.layers import FusedNetwork
from fhe_face.network import load_network
from fhe_face.photos.images import to_unit
from fhe_face.places import Packing

#: Squared norms of the face that diverges, and where it stands in the batch.
TARGETS = (1e4, 1e6, 1e8, 1e10, 1e13)
PLACE = 10


@dataclass(frozen=True, eq=False)
class _Rounded:
    """Slots in the clear; linear steps with integer plaintexts, everything else exact."""

    packed: PackedPlan
    exact: CleartextBackend

    def check(self, _name: str, _value: Slots) -> None:
        """Slots in the clear have no level and no scale."""

    def apply(self, number: int, step: Step, values: Mapping[str, Slots]) -> list[Slots]:
        """What one step writes."""
        if not isinstance(step, steps.LinearTransform):
            return self.exact.apply(number, step, values)
        transform = self.packed.transforms[number]
        inputs = [values[name] for name in step.inputs]
        masks = [encoding.decode(mask.astype(np.float64), 1.0) for mask in transform.masks]
        terms = Terms(inputs, step.babies, dict(enumerate(masks)), transform.terms)
        weights = encoding.decode(transform.weights.astype(np.float64), 1.0)
        sums = linear_sums(step, transform.entries, weights, terms)
        total = step.weight_scales[0] * step.mask_scale
        rows = self.exact.tables[step.bias] if step.bias else np.zeros((1, 1))
        return [
            one / total + np.resize(rows[i if len(rows) > 1 else 0], one.size)
            for i, one in enumerate(sums)
        ]


def embedded(
    compiled: CompiledBatch, network: FusedNetwork, images: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Embeddings before normalisation, [images, length]."""
    plan, tables = compiled.plan, compiled.tables(network)
    packed = pack(plan, tables, compiled.parameters)
    exact = CleartextBackend(plan, tables, None, np.random.default_rng(0))
    kept: dict[str, Slots] = {}

    def observe(number: int, _step: Step, values: Mapping[str, Slots]) -> None:
        if plan.labels[number] == "sum of halves":
            kept["sum"] = values["embedding sum"]

    rows = list(compiled.pack_images(images))
    with np.errstate(all="ignore"):
        plans.run(plan, _Rounded(packed, exact), rows, observe=observe)
    return kept["sum"].reshape(compiled.capacity, -1)[:, : network.embedding]


def reached(weights: Path | None, targets: Sequence[float]) -> Iterator[dict[str, Any]]:
    """For every squared norm: by how much the embeddings of the faces around it change."""
    network = load_network(weights)
    compiled = choose_engine(packings=[Packing.BATCH]).batch
    faces = [to_unit(face) for face in demo_faces(network.input_size)]
    noise: Image = np.random.default_rng(0).uniform(-1, 1, faces[0].shape)
    images = np.stack([faces[n % len(faces)] for n in range(compiled.capacity)])
    calm = embedded(compiled, network, images)
    for target in targets:
        wild = images.copy()
        wild[PLACE] = blend(network, faces[0], noise, target)
        found = embedded(compiled, network, wild)
        change = np.linalg.norm(found - calm, axis=1) / np.linalg.norm(calm, axis=1)
        around = {f"{step:+d}": float(change[PLACE + step]) for step in (-2, -1, 1, 2)}
        yield {"target": target, "squared_norm": float(np.sum(found[PLACE] ** 2)), **around}


def main() -> None:
    """Print a row per squared norm."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.divergence.neighbours")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    for row in reached(chosen.weights, TARGETS):
        print(json.dumps(row) if chosen.json else row, flush=True)


if __name__ == "__main__":
    main()
