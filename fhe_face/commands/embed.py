"""``fhe-face embed``"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fhe_core.container import Header
from fhe_core.files import explain
from fhe_core.inverse_root import InverseRoot
from fhe_core.runtime.store import key_specifications, load_bundle, parameters_of, save_bundle
from fhe_face.circuit import circuit_of
from fhe_face.commands.inputs import check_inputs, warn_of_little_memory
from fhe_face.engine import recommended_root
from fhe_face.failures import USAGE, CommandError
from fhe_face.output import Output, grid
from fhe_face.server import FaceServer
from fhe_face.system import (
    peak_memory_bytes,
    require_writable,
    seconds,
    size,
)
from models.checkpoint import load


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
    header = check_inputs(keys, faces, "image")
    targets = _targets(faces, target)
    parameters = parameters_of(header)
    warn_of_little_memory(output, key_specifications(header, parameters), parameters)
    _warn_of_another_normalisation(output, header, weights)
    elapsed: list[float] = []
    sizes: list[int] = []
    with output.stages() as stage:
        started = time.perf_counter()
        server = FaceServer.load(keys, weights, threads=threads, stage=stage)
        load_seconds = time.perf_counter() - started
        together = 2 if server.takes_pairs and not alone else 1
        for first in range(0, len(faces), together):
            group = faces[first : first + together]
            images = [load_bundle(face, "image") for face in group]
            what = "embedding " + " and ".join(face.name for face in group)
            started = time.perf_counter()
            results = (
                server.embed_pair(images[0], images[1], stage, what)
                if len(images) > 1
                else (server.embed(images[0], stage, what),)
            )
            elapsed += [(time.perf_counter() - started) / len(group)] * len(group)
            for file, result in zip(targets[first:], results, strict=False):
                sizes.append(save_bundle(file, result).total_bytes)
    data = {
        "embeddings": [str(file) for file in targets],
        "embedding_bytes": sizes,
        "embed_seconds": elapsed,
        "together": min(together, len(faces)),
        "load_seconds": load_seconds,
        "key_id": header.key_id,
        "threads": server.threads,
        "packed_weight_bytes": server.packed_weight_bytes,
        "peak_rss_bytes": peak_memory_bytes(),
    }

    def show(console: Console) -> None:
        rows = [
            (str(face), str(file), size(count), seconds(time_))
            for face, file, count, time_ in zip(faces, targets, sizes, elapsed, strict=True)
        ]
        console.print(grid("Embeddings", ("face", "embedding", "size", "time"), rows, 2))
        if data["together"] == 2:
            console.print(
                "Two faces at a time: one that diverges takes the other along (--alone avoids it)."
            )

    output.answer(data, show)


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
    for file in targets:
        require_writable(file)
    return targets


def _warn_of_another_normalisation(output: Output, header: Header, weights: Path) -> None:
    meant, used = recommended_root(load(weights)), circuit_of(header).root
    if meant is not None and meant != used:
        output.warn(
            f"{weights}: meant for {_named(meant)}, the keys were made for {_named(used)}; norms "
            "and refusals follow the keys (fhe-face keygen --coefficients)"
        )


def _named(root: InverseRoot) -> str:
    low, high = root.interval
    return f"a normalisation of degree {root.degree} on [{low:g}, {high:g}]"
