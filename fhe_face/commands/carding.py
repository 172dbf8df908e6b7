"""The options of ``fhe-face weights card`` and their texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from fhe_face.commands.options import Aligned, Json, TrainPlot

HELP: Final = "Measure everything that a model card says of weights, on folders of people."


def card(
    weights: Annotated[
        Path, typer.Argument(metavar="official|bundled|FILE", help="The weights to measure.")
    ],
    folders: Annotated[
        list[Path], typer.Argument(help="Sets to report: a folder for each person in each.")
    ],
    development: Annotated[
        Path | None,
        typer.Option("--development", help="A set that choices were made by: told apart."),
    ] = None,
    aligned: Aligned = False,
    bounds: Annotated[
        bool,
        typer.Option("--bounds", help="Stress images and hunted pictures, too; needs torch."),
    ] = False,
    teacher: Annotated[
        bool, typer.Option("--teacher", help="The bundled weights' teacher on the same photos.")
    ] = False,
    stress: Annotated[int, typer.Option("--stress", min=10, help="Stress images.")] = 400,
    hunts: Annotated[
        int, typer.Option("--hunts", min=2, help="Hunted pictures, for each aim.")
    ] = 48,
    hunt_steps: Annotated[
        int, typer.Option("--hunt-steps", min=1, help="Steps along the gradient of each.")
    ] = 40,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the tables as Markdown.")
    ] = None,
    plot: TrainPlot = None,
    json: Json = False,
) -> None:
    from fhe_face.process import calm_threads

    calm_threads()
    from fhe_face.commands import weights_card as command

    command.run(
        command.Request(
            *(weights, tuple(folders), development, aligned, bounds, teacher),
            *(stress, hunts, hunt_steps, out, plot),
        ),
        json,
    )
