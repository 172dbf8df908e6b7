"""``fhe-face bench``: options and their texts; the commands are in modules beside this one.

Hooked in by ``app.add_typer(bench.app, name="bench")``; importing this module is cheap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhe_face.commands.options import DEFAULT_WEIGHTS, Json, Threads, Weights

app = typer.Typer(help="Measure this machine: times, ratios and limits.", no_args_is_help=True)

OneThread = Annotated[int, typer.Option("--threads", min=1, max=1024, help="Threads.")]
Repeat = Annotated[
    int, typer.Option("--repeat", min=1, max=10_000, help="Runs; medians are shown.")
]
Rounds = Annotated[
    int,
    typer.Option("--rounds", min=1, max=10_000, help="How often everything is timed, in turns."),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", help="Draw it (.png, .svg, .pdf); needs matplotlib.")
]
OpenFhePython = Annotated[
    Path | None,
    typer.Option("--openfhe-python", help="A Python that has the openfhe package."),
]


@app.callback()
def _group() -> None:
    pass


@app.command(
    help="The roofline: every kernel beside what memory and arithmetic of this machine allow."
)
def kernels(rounds: Rounds = 7, json: Json = False) -> None:
    from fhe_face.bench.commands import kernels as command

    command.run(rounds, json)


@app.command(help="Rotation, product and the other operations, beside a memory copy and OpenFHE.")
def operations(
    rounds: Rounds = 7,
    threads: OneThread = 1,
    openfhe_python: OpenFhePython = None,
    json: Json = False,
) -> None:
    from fhe_face.bench.commands import operations as command

    command.run(rounds, threads, openfhe_python, json)


@app.command(help="Every step of the plan: measured time beside the cost model's estimate.")
def profile(
    weights: Weights = DEFAULT_WEIGHTS,
    repeat: Repeat = 1,
    plot: Plot = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.bench.commands import profile as command

    command.run(weights, repeat, plot, threads, json)


@app.command(help="One face three ways: patches in sequence, on threads, and packed into slots.")
def modes(
    weights: Weights = DEFAULT_WEIGHTS,
    repeat: Repeat = 1,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.bench.commands import modes as command

    command.run(weights, repeat, threads, json)


@app.command(help="Latency, throughput, sizes and memory against their targets, with PASS or FAIL.")
def targets(
    weights: Weights = DEFAULT_WEIGHTS,
    batch: Annotated[
        int, typer.Option("--batch", min=2, max=100_000, help="Faces in the batch.")
    ] = 64,
    repeat: Repeat = 3,
    rounds: Rounds = 5,
    threads: Threads = None,
    openfhe_python: OpenFhePython = None,
    json: Json = False,
) -> None:
    from fhe_face.bench.commands import targets as command

    command.run(weights, batch, repeat, rounds, threads, openfhe_python, json)


@app.command("batch", help="Seconds and memory per face for batches of several sizes.")
def batch_sizes(
    weights: Weights = DEFAULT_WEIGHTS,
    sizes: Annotated[str, typer.Option("--sizes", help="Batch sizes, as in 1,2,4,8.")] = "1,2,4,8",
    plot: Plot = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.bench.commands import batch as command

    command.run(weights, sizes, plot, threads, json)


@app.command(help="A search in a sealed gallery: times, sizes and errors against their goals.")
def gallery(
    templates: Annotated[
        int | None,
        typer.Option(
            "--templates",
            min=1,
            max=1_000_000_000,
            help="So many; default: 1,000,000 (3.1 GB of blocks), or 100,000 on a small machine.",
        ),
    ] = None,
    rounds: Rounds = 7,
    threads: Threads = None,
    json: Json = False,
) -> None:
    from fhe_face.bench.commands import gallery as command

    command.run(templates, rounds, threads, json)


@app.command(help="What many machines would give, and what binds: measured figures, simulated.")
def cluster(
    nodes: Annotated[str, typer.Option("--nodes", help="Numbers of nodes.")] = "10,100,1000",
    enrolments: Annotated[
        int, typer.Option("--enrolments", min=1, max=100_000_000, help="Faces to enrol.")
    ] = 1_000_000,
    templates: Annotated[
        int,
        typer.Option("--templates", min=1, max=10_000_000_000, help="Templates in the gallery."),
    ] = 100_000_000,
    tenants: Annotated[
        int, typer.Option("--tenants", min=1, max=10_000, help="Tenants with keys.")
    ] = 10,
    clients: Annotated[
        int,
        typer.Option("--clients", min=1, max=10_000, help="Clients of each tenant that encrypt."),
    ] = 10,
    apis: Annotated[
        int, typer.Option("--apis", min=1, max=10_000, help="Processes that take uploads.")
    ] = 1,
    folder: Annotated[
        float, typer.Option("--folder-rate", min=0.001, help="Speed of the shared folder, GB/s.")
    ] = 1.0,
    network: Annotated[
        float, typer.Option("--network-rate", min=0.001, help="Speed of a machine's network, GB/s.")
    ] = 1.25,
    link: Annotated[
        float, typer.Option("--link-rate", min=0.001, help="Speed of a client's link, GB/s.")
    ] = 0.125,
    speed: Annotated[
        float, typer.Option("--speed", min=0.01, help="Speed of a node; 1: the measured machine.")
    ] = 1.0,
    turn: Annotated[
        float,
        typer.Option("--turn-seconds", min=0.0, help="The service's setting of that name."),
    ] = 60.0,
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds give equal numbers.")] = 1,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="A file of other figures, with sources.")
    ] = None,
    plot: Plot = None,
    json: Json = False,
) -> None:
    from fhe_face.bench.cluster_model import Assumed
    from fhe_face.bench.commands import cluster as command

    assumed = Assumed(
        tenants=tenants,
        clients=clients,
        apis=apis,
        folder=folder * 1e9,
        network=network * 1e9,
        link=link * 1e9,
        speed=speed,
        turn_seconds=turn,
    )
    command.run(nodes, enrolments, templates, assumed, seed, figures, plot, json)
