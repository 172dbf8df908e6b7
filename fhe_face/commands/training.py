"""Commands that make networks: options and their texts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fhe_face.commands.options import (
    DEFAULT_WEIGHTS,
    Aligned,
    Compiled,
    Device,
    Half,
    HeldOut,
    Json,
    Rate,
    Seed,
    TrainData,
    TrainOut,
    TrainPlot,
    Weights,
)

app = typer.Typer()


@app.command(help="Train a network from scratch on labelled faces: ArcFace and jigsaw losses.")
def train(
    data: TrainData,
    out: TrainOut,
    epochs: Annotated[int, typer.Option(min=1, help="How often each image is seen.")] = 20,
    batch: Annotated[
        int | None, typer.Option(min=2, help="Images per step. Default: 128, fewer of few.")
    ] = None,
    rate: Rate = 1e-3,
    held_out: HeldOut = None,
    seed: Seed = 0,
    aligned: Aligned = False,
    plot: TrainPlot = None,
    half: Half = False,
    compiled: Compiled = False,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    from fhe_face.commands import train as command

    options: dict[str, Any] = {
        "epochs": epochs,
        "batch": batch,
        "rate": rate,
        "held_out": held_out,
        "seed": seed,
    }
    options |= {"half": half, "compiled": compiled, "device": device}
    command.train(data, out, plot, aligned, options, json)


@app.command(
    help="Fine-tune a network on labelled faces: InfoNCE over different images of each person."
)
def finetune(
    data: TrainData,
    out: TrainOut,
    weights: Weights = DEFAULT_WEIGHTS,
    epochs: Annotated[int, typer.Option(min=1, help="How often each person is seen.")] = 20,
    people: Annotated[
        int | None, typer.Option(min=2, help="People per step. Default: 16, fewer of few.")
    ] = None,
    images: Annotated[int, typer.Option(min=2, help="Images of each of them.")] = 4,
    temperature: Annotated[
        float,
        typer.Option("--temperature", help="Temperature of InfoNCE: lower looks at harder pairs."),
    ] = 0.07,
    losses: Annotated[
        str,
        typer.Option(
            "--losses",
            metavar="contrast|arcface|both",
            help="InfoNCE, an ArcFace head over the people, or both.",
        ),
    ] = "contrast",
    allow_worse: Annotated[
        bool,
        typer.Option(
            "--allow-worse", help="Write weights that are worse on held-out people than before."
        ),
    ] = False,
    rate: Rate = 1e-4,
    held_out: HeldOut = None,
    seed: Seed = 0,
    aligned: Aligned = False,
    plot: TrainPlot = None,
    half: Half = False,
    compiled: Compiled = False,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    from fhe_face.commands import train as command

    options: dict[str, Any] = {
        "epochs": epochs,
        "groups": people,
        "images": images,
        "rate": rate,
        "seed": seed,
    }
    options |= {"held_out": held_out, "half": half, "compiled": compiled, "device": device}
    options |= {"temperature": temperature, "losses": losses, "allow_worse": allow_worse}
    command.finetune(data, weights, out, plot, aligned, options, json)
