"""``fhe-face embed``"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fhe_core.container import Header, Kind, file_kind
from fhe_core.files import explain
from fhe_core.formats.ciphertexts import (
    key_specifications,
    parameters_of,
    save_bundle,
)
from fhe_core.normalisation import Normalisation
from fhe_core.outputs import Outputs
from fhe_face.circuit import circuit_of
from fhe_face.commands.inputs import check_inputs, warn_of_little_memory
from fhe_face.commands.resuming import finished
from fhe_face.failures import USAGE, CommandError
from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.network import caution, network_of, recommended_normalisation, weights_file
from fhe_face.output import Output, grid
from fhe_face.places import EMBEDDING, IMAGE, Packing, runs_of
from fhe_face.plaintexts import digest_of
from fhe_face.server.circuits import engine_of
from fhe_face.server.job import needed
from fhe_face.server.server import FaceServer
from fhe_face.system import peak_memory_bytes, seconds, size


def run(
    files: Sequence[Path],
    keys: Path,
    weights: Path,
    target: Path,
    threads: int | None,
    as_json: bool,
) -> None:
    output = Output(as_json)
    header = check_inputs(keys, files, IMAGE)
    several, targets = _targets(files, target)
    outputs = Outputs(keys, weights, *files)
    for file in targets:
        outputs.add(file, file_kind(Kind.CIPHERTEXT, EMBEDDING))
    parameters, packings = parameters_of(header), needed(files)
    warn_of_little_memory(output, key_specifications(header, parameters), parameters)
    weights = weights_file(weights, circuit_of(header).input_size)
    checkpoint = load(weights)
    _warn_about(output, header, checkpoint)
    kept: list[Path] = []
    if several:
        outputs = Outputs()  # nothing is replaced
        files, targets, kept = _left(keys, checkpoint, files, targets, output)
        if not files:
            told = f"all {len(kept)} files were embedded before"
            answer = {"embeddings": [], "faces": [], "kept": [str(file) for file in kept]}
            output.answer(answer, lambda console: console.print(told))
            return
        packings = needed(files)
    elapsed: list[float] = []
    sizes: list[int] = []
    counts: list[int] = []
    with output.stages() as stage:
        started = time.perf_counter()
        server = FaceServer.load(keys, weights, packings=packings, threads=threads, stage=stage)
        load_seconds = time.perf_counter() - started
        for file, result in zip(files, targets, strict=True):
            images = server.read(file, IMAGE)
            counts.append(sum(r.faces for r in runs_of(images.facts, server.engine.capacity)))
            started = time.perf_counter()
            embeddings = server.embed(images, stage, f"embedding {file.name}")
            elapsed.append((time.perf_counter() - started) / counts[-1])
            sizes.append(save_bundle(result, embeddings).total_bytes)
    data = {
        "embeddings": [str(file) for file in targets],
        "embedding_bytes": sizes,
        "embed_seconds": elapsed,
        "faces": counts,
        "kept": [str(file) for file in kept],
        "packings": sorted(packing.value for packing in packings),
        "load_seconds": load_seconds,
        "key_id": header.key_id,
        "threads": server.threads,
        "packed_weight_bytes": server.packed_weight_bytes,
        "peak_rss_bytes": peak_memory_bytes(),
    }

    def show(console: Console) -> None:
        rows = [
            (str(file), str(count), str(result), size(written), seconds(time_))
            for file, count, result, written, time_ in zip(
                files, counts, targets, sizes, elapsed, strict=True
            )
        ]
        columns = ("file", "faces", "embeddings", "size", "time per face")
        console.print(grid("Embeddings", columns, rows, 3))
        if Packing.BATCH in packings:
            console.print(
                "A face that diverges takes those along that were computed together with it "
                "(fhe-face encrypt --alone avoids it)."
            )

    output.replaced(outputs)
    output.answer(data, show)


def _left(
    keys: Path,
    checkpoint: Checkpoint,
    files: Sequence[Path],
    targets: Sequence[Path],
    output: Output,
) -> tuple[list[Path], list[Path], list[Path]]:
    """Files that are still to embed, where they go, and results that an earlier run has left.

    Raises:
        CommandError: at a result's place is something else.
    """
    done = finished(files, targets, lambda: digest_of(engine_of(keys), network_of(checkpoint)))
    if any(done):
        output.note(f"{sum(done)} of {len(files)} files were embedded before, and are kept")
    rows = list(zip(files, targets, done, strict=True))
    kept = [target for _, target, over in rows if over]
    left = [(file, target) for file, target, over in rows if not over]
    return [file for file, _ in left], [target for _, target in left], kept


def _targets(files: Sequence[Path], target: Path) -> tuple[bool, list[Path]]:
    """Where the embeddings go: the file itself for one, files in a folder for several.

    And whether they go into a folder, where a run goes on from what is there.
    """
    several = len(files) > 1 or target.is_dir()
    if not several:
        targets = [target]
    else:
        try:
            target.mkdir(exist_ok=True)
        except OSError as error:
            raise explain(target, "create folder", error) from error
        targets = [target / f"{face.stem}.embedding.ct" for face in files]
        if len(set(targets)) < len(targets):
            raise CommandError("two files have the same name; embed them apart", USAGE)
    return several, targets


def _warn_about(output: Output, header: Header, weights: Checkpoint) -> None:
    """Weights for demonstrations only, or meant for another normalisation than the keys."""
    demonstration = caution(weights)
    if demonstration is not None:
        output.warn(demonstration)
    meant, used = recommended_normalisation(weights), circuit_of(header).normalisation
    if meant is not None and meant != used:
        output.warn(
            f"{weights.path}: meant for {_named(meant)}, the keys were made for {_named(used)}; "
            "norms and refusals follow the keys (fhe-face keygen --coefficients)"
        )


def _named(normalisation: Normalisation) -> str:
    low, high = normalisation.interval
    return f"a normalisation of degree {normalisation.degree} on [{low:g}, {high:g}]"
