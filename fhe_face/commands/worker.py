"""``fhe-face worker``: options and texts; what it does stands in `fhe_face.service.jobs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhe_face.commands.options import gigabytes

HELP = (
    "Compute the jobs and searches of a service, beside the worker that `serve` starts: on another "
    "machine that sees the same folder and the same PostgreSQL database. With --ray the nodes of a "
    "Ray cluster compute."
)


def worker(
    folder: Annotated[Path, typer.Option("--folder", help="The folder of the service.")],
    weights: Annotated[
        str | None, typer.Option(help="A file, bundled or official; default: the service's.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Default: the service's.")
    ] = None,
    memory: Annotated[
        float | None, typer.Option(min=0.1, help="In GB, for keys and computing; searches apart.")
    ] = None,
    blocks: Annotated[
        float | None, typer.Option(min=0.0, help="In GB, for blocks of galleries; default: 1.07.")
    ] = None,
    grace: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds for what is computed at the end.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help="HOST:PORT of a Ray cluster: its nodes compute instead of this machine. Memory "
            "and threads are each node's then (docs/cluster.md).",
        ),
    ] = None,
) -> None:
    """Until SIGTERM: what is computed may end within the grace, the rest is handed back."""
    from fhe_face.service.jobs.worker import serve, settings_for

    if ray is not None:
        require_cluster(ray)
    settings = settings_for(
        folder,
        weights=weights,
        threads=threads,
        memory=gigabytes("--memory", memory),
        blocks=gigabytes("--blocks", blocks),
        grace=grace,
        ray=ray,
    )
    raise typer.Exit(serve(settings))


def require_cluster(address: str) -> None:
    """What can be said before a process is started."""
    from fhe_face.extras import require_extra

    require_extra("a Ray cluster", "ray", "ray")
    from fhe_face.service.cluster.reaching import require_reachable

    require_reachable(address)
