"""Commands that say what the computation takes, and how good it is: options and texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhe_face.commands.options import (
    DEFAULT_WEIGHTS,
    Aligned,
    Batch,
    ClientNormalises,
    Coefficients,
    Flip,
    Json,
    MaybeFaceSize,
    PredictedWeights,
    Resize,
    Threads,
    Weights,
    Whole,
)

app = typer.Typer()


@app.command(help="Print the bounds and estimated attack costs of every parameter set.")
def security(weights: PredictedWeights = None, json: Json = False) -> None:
    from fhe_face.commands import security as command

    command.run(weights, json)


@app.command(
    help="Print what computing a face takes: levels, key switches, bytes and estimated time."
)
def plan(
    weights: PredictedWeights = None,
    face_size: MaybeFaceSize = None,
    flip: Flip = False,
    batch: Batch = False,
    coefficients: Coefficients = None,
    client_normalises: ClientNormalises = False,
    steps: Annotated[
        bool, typer.Option("--steps", help="Print every step, with its level and scale.")
    ] = False,
    json: Json = False,
) -> None:
    from fhe_face.commands import plan as command

    request = command.Request(face_size, flip, batch, coefficients, client_normalises)
    command.run(weights, request, steps, json)


@app.command(help="Bits of precision of every layer, predicted and measured, and the room left.")
def precision(
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Photos or aligned faces; default: two drawn ones."),
    ] = None,
    weights: Weights = DEFAULT_WEIGHTS,
    flip: Flip = False,
    batch: Batch = False,
    coefficients: Coefficients = None,
    client_normalises: ClientNormalises = False,
    whole: Whole = False,
    resize: Resize = False,
    aligned: Aligned = False,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Add the model's noise in the clear; no keys.")
    ] = False,
    table: Annotated[
        Path | None, typer.Option("--table", help="Write the layers (.md, .csv).")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw the layers (.png, .svg, .pdf); needs matplotlib."),
    ] = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.commands.face_options import FaceOptions
    from fhe_face.precision import command as command

    how = FaceOptions(whole=whole, resize=resize, aligned=aligned)
    request = command.Request(
        *(images or [], weights, flip, batch, coefficients, client_normalises),
        *(how, simulate, table, plot, threads),
    )
    command.run(request, json)


@app.command(help="Measure how well a network tells the people of a folder apart.")
def evaluate(
    folder: Annotated[
        Path, typer.Argument(help="Photos: one folder for each person; or an InsightFace .bin.")
    ],
    weights: Weights = DEFAULT_WEIGHTS,
    mode: Annotated[
        str, typer.Option(help="How to compute: cleartext, polynomial, encrypted or all.")
    ] = "cleartext",
    flip: Flip = False,
    aligned: Aligned = False,
    limit: Annotated[
        int | None, typer.Option(min=4, help="At most so many images, evenly over people.")
    ] = None,
    coefficients: Coefficients = None,
    cache: Annotated[
        Path | None, typer.Option(help="Keep encrypted results in this folder, to go on later.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw scores and ROC (.png, .svg, .pdf); needs matplotlib."),
    ] = None,
    set_thresholds: Annotated[
        str | None,
        typer.Option(
            "--set-thresholds",
            metavar="NAME",
            help="Keep the thresholds in the weights file, under this name of the faces.",
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(help="Enrol the photos of this folder; those of the other are looked up."),
    ] = None,
    templates: Annotated[
        str | None,
        typer.Option(
            metavar="half|K",
            help="Enrol half of each person's photos, or K, as mean templates, plain and centred.",
        ),
    ] = None,
    quality: Annotated[
        bool, typer.Option("--quality", help="Weigh the photos of a template by sharpness.")
    ] = False,
    probe_size: Annotated[
        str | None,
        typer.Option(metavar="N,N...", help="Look up probes of fewer pixels too: 32,24,16,12."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=1000, help="The rank beside the first.")] = 5,
    threshold: Annotated[
        float | None, typer.Option(help="Say TAR and FAR at this cosine, too.")
    ] = None,
    people: Annotated[
        bool, typer.Option("--people", help="Print a line for each person, hardest first.")
    ] = False,
    worst: Annotated[
        Path | None, typer.Option(help="Draw the worst pairs as a contact sheet (.png).")
    ] = None,
    second: Annotated[
        Path | None,
        typer.Option(metavar="official|bundled|FILE", help="A second network: scores fused."),
    ] = None,
    fuse: Annotated[
        str | None,
        typer.Option(metavar="W,W", help="Weights of both networks; default: 0.5,0.5."),
    ] = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.process import calm_threads

    calm_threads()
    from fhe_face.commands import evaluate as command
    from fhe_face.commands.evaluate_request import Request
    from fhe_face.commands.secrecy import hold_secrets
    from fhe_face.output import Output

    hold_secrets(Output(json))

    request = Request(
        *(folder, weights, mode, flip, aligned, limit, coefficients, cache, plot, threads),
        *(set_thresholds, gallery, templates, quality, probe_size, top, threshold, people),
        *(worst, second, fuse),
    )
    command.run(request, json)


@app.command(help="Embed photos in the clear, on this machine, into a matrix and an index.")
def represent(
    photos: Annotated[
        Path, typer.Argument(help="Photos: a folder for each person, a flat folder, or one file.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="The folder of the result; what is there is taken over."),
    ],
    weights: Weights = DEFAULT_WEIGHTS,
    flip: Flip = False,
    aligned: Aligned = False,
    all_faces: Annotated[
        bool,
        typer.Option("--all-faces", help="Not only the largest face of a person's photo."),
    ] = False,
    coefficients: Coefficients = None,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write the index as Parquet, too; needs pyarrow.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw cosines, thresholds and norms (.png, .svg, .pdf)."),
    ] = None,
    json: Json = False,
) -> None:
    from fhe_face.process import calm_threads

    calm_threads()
    from fhe_face.commands import represent as command

    command.run(
        command.Request(
            *(photos, out, weights, flip, aligned, all_faces, coefficients, parquet, plot)
        ),
        json,
    )
