"""``fhe-face embed``"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fhe_core.container import Header, Kind, file_kind
from fhe_core.files import explain
from fhe_core.formats.ciphertexts import (
    Bundle,
    key_specifications,
    parameters_of,
    save_bundle,
)
from fhe_core.inverse_root import InverseRoot
from fhe_core.outputs import Outputs
from fhe_face.circuit import circuit_of
from fhe_face.commands.inputs import check_inputs, kinds_for, warn_of_little_memory
from fhe_face.failures import USAGE, CommandError
from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.network import caution, recommended_root, weights_file
from fhe_face.output import Output, grid
from fhe_face.places import ONE, Batch
from fhe_face.server.server import FaceServer
from fhe_face.system import peak_memory_bytes, seconds, size


def run(
    faces: Sequence[Path],
    keys: Path,
    weights: Path,
    target: Path,
    alone: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    output = Output(as_json)
    kinds = kinds_for(keys)
    header = check_inputs(keys, faces, kinds.image)
    targets = _targets(faces, target)
    outputs = Outputs(keys, weights, *faces)
    for file in targets:
        outputs.add(file, file_kind(Kind.CIPHERTEXT, kinds.embedding))
    parameters = parameters_of(header)
    warn_of_little_memory(output, key_specifications(header, parameters), parameters)
    weights = weights_file(weights, circuit_of(header).input_size)
    _warn_about(output, header, load(weights))
    elapsed: list[float] = []
    sizes: list[int] = []
    counts: list[int] = []
    with output.stages() as stage:
        started = time.perf_counter()
        server = FaceServer.load(keys, weights, threads=threads, stage=stage)
        load_seconds = time.perf_counter() - started
        together = 2 if server.takes_pairs and not alone else 1
        for first in range(0, len(faces), together):
            group = faces[first : first + together]
            images = [server.read(face, kinds.image) for face in group]
            count = len(group) if kinds is ONE else _faces(images[0])
            what = "embedding " + " and ".join(face.name for face in group)
            started = time.perf_counter()
            results = (
                server.embed_pair(images[0], images[1], stage, what)
                if len(images) > 1
                else (server.embed(images[0], stage, what),)
            )
            elapsed += [(time.perf_counter() - started) / count] * len(group)
            counts += [1 if kinds is ONE else count] * len(group)
            for file, result in zip(targets[first:], results, strict=False):
                sizes.append(save_bundle(file, result).total_bytes)
    data = {
        "embeddings": [str(file) for file in targets],
        "embedding_bytes": sizes,
        "embed_seconds": elapsed,
        "together": min(together, len(faces)) if kinds is ONE else max(counts),
        "faces": counts,
        "load_seconds": load_seconds,
        "key_id": header.key_id,
        "threads": server.threads,
        "packed_weight_bytes": server.packed_weight_bytes,
        "peak_rss_bytes": peak_memory_bytes(),
    }

    def show(console: Console) -> None:
        rows = [
            (str(face), str(count), str(file), size(written), seconds(time_))
            for face, count, file, written, time_ in zip(
                faces, counts, targets, sizes, elapsed, strict=True
            )
        ]
        columns = ("file", "faces", "embedding", "size", "time per face")
        console.print(grid("Embeddings", columns, rows, 3))
        if kinds is ONE and together == 2 and len(faces) > 1:
            console.print(
                "Two faces at a time: one that diverges takes the other along (--alone avoids it)."
            )

    output.replaced(outputs)
    output.answer(data, show)


def _faces(batch: Bundle) -> int:
    return Batch.from_facts(batch.facts, batch.parameters.slots).count


def _targets(faces: Sequence[Path], target: Path) -> list[Path]:
    """Where each embedding goes: the file itself for one face, files in a folder for several."""
    if len(faces) == 1 and not target.is_dir():
        targets = [target]
    else:
        try:
            target.mkdir(exist_ok=True)
        except OSError as error:
            raise explain(target, "create folder", error) from error
        targets = [target / f"{face.stem}.embedding.ct" for face in faces]
        if len(set(targets)) < len(targets):
            raise CommandError("two faces have the same file name; embed them apart", USAGE)
    return targets


def _warn_about(output: Output, header: Header, weights: Checkpoint) -> None:
    """Weights for demonstrations only, or meant for another normalisation than the keys."""
    demonstration = caution(weights)
    if demonstration is not None:
        output.warn(demonstration)
    meant, used = recommended_root(weights), circuit_of(header).root
    if meant is not None and meant != used:
        output.warn(
            f"{weights.path}: meant for {_named(meant)}, the keys were made for {_named(used)}; "
            "norms and refusals follow the keys (fhe-face keygen --coefficients)"
        )


def _named(root: InverseRoot) -> str:
    low, high = root.interval
    return f"a normalisation of degree {root.degree} on [{low:g}, {high:g}]"
