"""``fhe-face serve``: options and texts; what the commands do stands in `fhe_face.service`.

Hooked in by ``app.add_typer(serve.app, name="serve")``; importing this module is cheap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhe_face.commands.options import Json, NewFolder
from fhe_face.commands.service_people import tenant_app, token_app
from fhe_face.commands.service_places import Data, DatabaseUrl, OnlyTenant

app = typer.Typer(help="Run the service: keys, jobs and galleries over HTTP.")
app.add_typer(token_app, name="token")
app.add_typer(tenant_app, name="tenant")


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Where all is kept; made if it is missing."),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on; 0: any that is free.")
    ] = 8443,
    database: DatabaseUrl = None,
    certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", help="A PEM file, with its chain.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--tls-key", help="The certificate's key.")] = None,
    proxy: Annotated[
        bool,
        typer.Option("--behind-proxy", help="A proxy on this machine does TLS: listen without it."),
    ] = False,
    worker: Annotated[
        bool,
        typer.Option("--worker/--no-worker", help="Compute on this machine, too."),
    ] = True,
    open_docs: Annotated[
        bool, typer.Option("--open-docs", help="Show /openapi.json without a token.")
    ] = False,
    print_unit: Annotated[
        bool, typer.Option("--print-unit", help="Print a unit for systemd, and end.")
    ] = False,
    memory: Annotated[
        str, typer.Option("--memory-max", help="The limit of all processes in the printed unit.")
    ] = "10G",
) -> None:
    """Serve until SIGTERM: an API process, and a worker process that computes."""
    if context.invoked_subcommand is not None:
        return
    if folder is None:
        raise typer.BadParameter("say where all is kept: --folder DATA")
    from fhe_face.extras import require_extra

    require_extra("the service", "service", "fastapi", "uvicorn", "prometheus_client", "limits")
    from fhe_face.service.listening import Address

    address = Address(host, port, certificate, key, proxy)
    if print_unit:
        _print_unit(folder, address, worker, open_docs, memory)
        return
    from fhe_face.service.serving import serve as run

    run(folder, address, url=database, worker=worker, open_docs=open_docs)


@app.command(help="Copy the whole service as of one moment into a new folder, while it runs.")
def backup(folder: Data, target: NewFolder) -> None:
    """Rows, container files (as hard links where possible) and galleries."""
    from fhe_face.service.backup import back_up
    from fhe_face.service.opening import open_service

    with open_service(folder) as service:
        back_up(service, target)
    print(f"backed up into {target}")


@app.command(help="Make a service in a new folder from a backup, which is checked.")
def restore(
    source: Annotated[Path, typer.Argument(help="A folder from `serve backup`.")],
    folder: Data,
    database: DatabaseUrl = None,
) -> None:
    """In SQLite, or in PostgreSQL, wherever the backup came from."""
    from fhe_face.service.restoring import restore as run

    run(source, folder, database)
    print(f"restored into {folder}")


@app.command(help="Show the audit log: who changed what, and who was refused.")
def audit(
    folder: Data,
    tenant: OnlyTenant = None,
    last: Annotated[
        int, typer.Option("--last", min=1, max=1_000_000, help="How many lines.")
    ] = 100,
    json: Json = False,
) -> None:
    """One line for every request that changed something or was refused."""
    from dataclasses import asdict
    from datetime import datetime, timezone

    from fhe_face.output import print_json
    from fhe_face.service.audit import read_deeds
    from fhe_face.service.opening import open_service

    with open_service(folder) as service:
        deeds = read_deeds(service.database, tenant, last)
    if json:
        print_json({"deeds": [asdict(deed) for deed in deeds]})
        return
    for deed in deeds:
        when = datetime.fromtimestamp(deed.at, timezone.utc).isoformat(timespec="seconds")
        who = f"{deed.tenant or '-'} {deed.token or '-'}"
        print(f"{when} {who} {deed.status} {deed.action} {deed.object} {deed.request}")


def _print_unit(folder: Path, address: object, worker: bool, open_docs: bool, memory: str) -> None:
    from fhe_face.service.listening import Address
    from fhe_face.service.opening import exists, open_service
    from fhe_face.service.unit import address_options, unit_text

    assert isinstance(address, Address)
    if address.certificate is None:
        address.check()
    options = address_options(address)
    options += [] if worker else ["--no-worker"]
    options += ["--open-docs"] if open_docs else []
    database = False
    if exists(folder):
        with open_service(folder) as service:
            database = service.url is not None
    print(unit_text(folder, options, memory, database), end="")
