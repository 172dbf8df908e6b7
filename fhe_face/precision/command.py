"""``fhe-face precision``"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from fhe_core.analysis.precision import MODEL_FACTOR
from fhe_core.outputs import Outputs
from fhe_core.plan import required_keys
from fhe_face.bench import plots
from fhe_face.circuit import normalisation_of
from fhe_face.commands.face_options import FaceOptions
from fhe_face.commands.inputs import warn_of_little_memory
from fhe_face.demo_faces import demo_faces
from fhe_face.engine import (
    DEFAULT_PACKINGS,
    Engine,
    choose_engine,
)
from fhe_face.failures import USAGE, CommandError
from fhe_face.models.checkpoint import load
from fhe_face.network import network_of, recommended_normalisation, weights_file
from fhe_face.output import Output, grid
from fhe_face.photos.images import to_unit
from fhe_face.places import Packing
from fhe_face.precision import runs as precision_runs
from fhe_face.precision import table as precision_table
from fhe_face.precision.report import Report, report
from fhe_face.precision.runs import Work, work_of
from fhe_face.progress import Stage
from fhe_face.system import default_threads, peak_memory_bytes, seconds

#: Level and scale are in the table that is written, and in `fhe-face plan`.
_COLUMNS = (
    *("layer", "largest", "predicted", "mean", "worst"),
    *("measured", "mean", "worst", "ratio", "room"),
)


@dataclass(frozen=True)
class Request:
    """What the command line says."""

    images: Sequence[Path]
    weights: Path
    flip: bool
    batch: bool
    coefficients: Path | None
    client_normalises: bool
    how: FaceOptions
    simulate: bool
    table: Path | None
    plot: Path | None
    threads: int | None


def run(request: Request, as_json: bool) -> None:
    output = Output(as_json)
    if request.flip and request.batch:
        raise CommandError("choose one of --flip and --batch", USAGE)
    outputs = Outputs(*request.images, request.weights, request.coefficients)
    plots.check(request.plot, outputs)
    precision_table.check(request.table, outputs)
    threads = request.threads or default_threads()
    with output.stages() as stage:
        engine, work = _prepare(request, output, stage)
        started = time.perf_counter()
        if request.simulate:
            backend = precision_runs.simulated(work)
        else:
            keys = required_keys([work.plan], work.parameters)
            warn_of_little_memory(output, keys, work.parameters)
            backend = precision_runs.encrypted(work, threads, stage)
        source = "simulated" if request.simulate else "encrypted"
        found = report(work, source, backend, stage)
        elapsed = time.perf_counter() - started
    _warn(output, found)
    data: dict[str, Any] = {
        "weights": str(weights_file(request.weights)),
        "circuit": engine.circuit.describe(),
        "parameters": engine.parameters.describe(),
        **found.to_json(),
        "threads": threads,
        "seconds": elapsed,
        "peak_rss_bytes": peak_memory_bytes(),
    }
    if request.table is not None:
        precision_table.write(found, request.table)
        data["table"] = str(request.table)
    if request.plot is not None:
        plots.draw_precision(found, request.plot)
        data["plot"] = str(request.plot)
    output.replaced(outputs)
    output.answer(data, lambda console: _show(console, found, elapsed))


def _prepare(request: Request, output: Output, stage: Stage) -> tuple[Engine, Work]:
    stage("reading weights", 0, 0)
    checkpoint = load(weights_file(request.weights))
    network = network_of(checkpoint)
    stage("reading weights", 1, 1)
    images, names = _images(request, network.input_size, output, stage)
    stage("compiling the plan", 0, 0)
    normalisation = (
        normalisation_of(request.coefficients)
        if request.coefficients
        else recommended_normalisation(checkpoint)
    )
    views = 2 if request.flip else 1
    packings = (Packing.BATCH,) if request.batch else DEFAULT_PACKINGS
    engine = choose_engine(
        normalisation,
        network.input_size,
        views,
        packings,
        client_normalises=request.client_normalises,
    )
    work = work_of(engine, network, images, names)
    stage("compiling the plan", 1, 1)
    return engine, work


def _images(
    request: Request, side: int, output: Output, stage: Stage
) -> tuple[NDArray[np.float64], list[str]]:
    """The given images as the network takes them, or the two drawn ones."""
    if not request.images:
        drawn = np.stack([to_unit(face) for face in demo_faces(side)])
        return drawn, [f"drawn face {number + 1}" for number in range(len(drawn))]
    aligner = request.how.aligner(side)
    units = []
    for number, image in enumerate(request.images):
        stage("preparing faces", number, len(request.images))
        units.append(request.how.prepared(image, side, output, aligner).unit)
    stage("preparing faces", len(units), len(units))
    return np.stack(units), [image.name for image in request.images]


def _warn(output: Output, found: Report) -> None:
    tightest, worse = found.tightest, found.worse_than_predicted
    if tightest.headroom_bits <= 0:
        output.warn(
            f"'{tightest.label}' may wrap around: {-tightest.headroom_bits:.1f} bits beyond the "
            f"modulus, for {tightest.tightest}"
        )
    if worse.ratio > MODEL_FACTOR:
        output.warn(
            f"'{worse.label}' is {worse.ratio:.1f} times less precise than predicted; the model "
            f"claims a factor of {MODEL_FACTOR:g}"
        )


def _show(console: Console, found: Report, elapsed: float) -> None:
    run = "measured" if found.source == "encrypted" else found.source
    columns = (*_COLUMNS[:5], run, *_COLUMNS[6:])
    cells = [precision_table.cells(row) for row in found.layers()]
    title = f"Precision of plan '{found.plan}' in bits, {found.source}: {_runs(found)}"
    console.print(grid(title, columns, [(row[0], *row[3:]) for row in cells], 1))
    tightest, worse = found.tightest, found.worse_than_predicted
    console.print(
        f"Smallest margin before an overflow: {tightest.headroom_bits:.1f} bits, "
        f"'{tightest.label}', {tightest.tightest}.",
        markup=False,
    )
    console.print(
        f"Largest error beside the predicted one: {worse.ratio:.2f} times, '{worse.label}'. "
        f"All in {seconds(elapsed)}."
    )
    console.print(
        "Bits: of the largest value above the error: over all slots, the worst run and the mean of "
        "runs; over the worst slot. Room: bits before coefficients could wrap around."
    )


def _runs(found: Report) -> str:
    if len(found.runs) > 2:
        return f"{len(found.runs)} runs"
    return ", ".join(found.runs)
