"""The options of ``fhe-face weights bound`` and their texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fhe_face.commands.options import (
    Aligned,
    Compiled,
    Device,
    Half,
    Json,
    Seed,
    Threads,
    TrainPlot,
)

HELP: Final = "Train the divergence out of weights, with themselves as teacher."
#: Those of models.training.bounding.Options, whose module needs torch.
_STEPS: Final = 5100


def bound(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="official|bundled|FILE", help="The weights to start from and to stay close to."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            help="The folder of the run, from which it goes on; default: OUT with .run behind it.",
        ),
    ] = None,
    faces: Annotated[
        Path | None,
        typer.Option("--faces", help="Generated faces; default: drawn into the run's folder."),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=500, help="How many to draw.")] = 30_000,
    photos: Annotated[
        Path | None,
        typer.Option(
            "--photos",
            help="People to measure on before and after, one folder for each; no training.",
        ),
    ] = None,
    aligned: Aligned = False,
    steps: Annotated[
        int, typer.Option("--steps", min=4, help="Steps of all four stages together.")
    ] = _STEPS,
    batch: Annotated[int, typer.Option("--batch", min=2, help="Faces per step.")] = 64,
    seed: Seed = 1,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0, help="Stop after so long; the same command goes on."),
    ] = None,
    stress: Annotated[
        int, typer.Option("--stress", min=10, help="Stress images to measure.")
    ] = 300,
    hunts: Annotated[
        int, typer.Option("--hunts", min=2, help="Hunted images to measure, for each aim.")
    ] = 48,
    hunt_steps: Annotated[
        int, typer.Option("--hunt-steps", min=1, help="Steps along the gradient of each.")
    ] = 40,
    check_every: Annotated[
        int, typer.Option("--check-every", min=1, help="Steps between two looks at the curve.")
    ] = 100,
    plot: TrainPlot = None,
    threads: Threads = None,
    half: Half = False,
    compiled: Compiled = False,
    device: Device = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Json = False,
) -> None:
    from fhe_face.commands import weights_bound as command

    request = command.Request(
        weights, out, run, faces, count, photos, aligned, minutes, threads, hunts, hunt_steps,
        plot, force,
    )  # fmt: skip
    options: dict[str, Any] = {"steps": steps, "batch": batch, "seed": seed, "stress": stress}
    options |= {"device": device, "half": half, "compiled": compiled, "check_every": check_every}
    command.run(request, options, json)
