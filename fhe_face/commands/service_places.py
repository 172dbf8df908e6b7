"""Options that all commands of the service share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Option("--folder", help="The service's folder.")]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="The PostgreSQL database of a new service; default: SQLite files inside.",
    ),
]
OnlyTenant = Annotated[str | None, typer.Option("--tenant", help="Show only this tenant.")]
