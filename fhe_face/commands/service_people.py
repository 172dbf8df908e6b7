"""``fhe-face serve token`` and ``serve tenant``: who may use the service, and how much of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fhe_face.commands.options import Json, Yes
from fhe_face.commands.service_places import Data, DatabaseUrl, OnlyTenant

if TYPE_CHECKING:
    from fhe_face.service.rows import Quotas, Scope
    from fhe_face.service.tokens import Token

_DAY = 24 * 3600
_MOST_DAYS = 1_000_000
_NAMES = "keys, embed, submit, enrol, search, read, admin"
_DEFAULT_SCOPES = "keys,embed,enrol,search,read"

token_app = typer.Typer(help="Tokens: who may use the service.", no_args_is_help=True)
tenant_app = typer.Typer(help="Tenants: namespaces and their quotas.", no_args_is_help=True)
Tenant = Annotated[str, typer.Option("--tenant", help="Letters, digits and hyphens.")]
Bytes = Annotated[int | None, typer.Option("--bytes", min=0, help="Quota: bytes stored.")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=0, help="Quota: jobs that wait.")]
Requests = Annotated[int | None, typer.Option("--requests", min=1, help="Quota: per minute.")]


@token_app.command("create", help="Make a token, and its tenant if that is new. It is shown once.")
def create(
    folder: Data,
    tenant: Tenant,
    scopes: Annotated[
        str, typer.Option("--scopes", metavar="NAME,...", help=f"Any of {_NAMES}.")
    ] = _DEFAULT_SCOPES,
    days: Annotated[
        float | None, typer.Option("--days", help="Valid for so long; default: until revoked.")
    ] = None,
    label: Annotated[str, typer.Option("--label", help="What it is for.")] = "",
    database: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """On stdout only the token, so that a script can take it."""
    from fhe_face.service.opening import make_or_open
    from fhe_face.service.settings import load_settings
    from fhe_face.service.tenants import make_tenant, quotas_of
    from fhe_face.service.tokens import create_token

    chosen, seconds = _scopes(scopes), seconds_of(days)
    with make_or_open(folder, database) as service:
        if quotas_of(service.database, tenant) is None:
            make_tenant(service.database, tenant, _default(load_settings(folder)))
        token, secret = create_token(service.database, tenant, chosen, seconds=seconds, label=label)
    show_new(_described(token), "tenant", secret, json)


@token_app.command("list", help="All tokens, without their secrets.")
def list_tokens(
    folder: Data,
    tenant: OnlyTenant = None,
    json: Json = False,
) -> None:
    """A secret is nowhere any more."""
    from fhe_face.service.opening import open_service
    from fhe_face.service.tokens import all_tokens

    with open_service(folder) as service:
        tokens = [_described(token) for token in all_tokens(service.database, tenant)]
    show_tokens(tokens, "tenant", json)


@token_app.command("revoke", help="End a token at once.")
def revoke(
    folder: Data, id: Annotated[str, typer.Argument(help="As `token list` shows it.")]
) -> None:
    """Requests with it are refused from now on."""
    from fhe_face.service.opening import open_service
    from fhe_face.service.tokens import revoke_token

    with open_service(folder) as service:
        token = revoke_token(service.database, id)
    print(f"revoked token {token.id} of {token.tenant}")


@tenant_app.command("list", help="All tenants, their quotas, and what they use.")
def list_tenants(folder: Data, json: Json = False) -> None:
    """By name."""
    from fhe_face.output import Output
    from fhe_face.service.opening import open_service
    from fhe_face.service.tenants import all_tenants, bytes_used
    from fhe_face.tables import Grid

    tenants = []
    with open_service(folder) as service:
        for one in all_tenants(service.database):
            with service.database.reading() as connection:
                used = bytes_used(connection, one.name)
            quotas = one.quotas
            tenants.append(
                {
                    "tenant": one.name,
                    "bytes_used": used,
                    "bytes": quotas.bytes,
                    "jobs": quotas.jobs,
                    "requests": quotas.requests,
                }
            )
    names = ["tenant", "bytes_used", "bytes", "jobs", "requests"]
    cells = [[_cell(row[name]) for name in names] for row in tenants]
    grid = Grid("Tenants", names, cells, 1)
    Output(json).answer({"tenants": tenants}, lambda console: console.print(grid))


@tenant_app.command("set", help="Make a tenant, or change its quotas.")
def set_tenant(
    folder: Data, tenant: Tenant, bytes: Bytes = None, jobs: Jobs = None, requests: Requests = None
) -> None:
    """What is not said stays as it is."""
    from fhe_face.service.opening import open_service
    from fhe_face.service.rows import Quotas
    from fhe_face.service.settings import load_settings
    from fhe_face.service.tenants import make_tenant, quotas_of

    with open_service(folder) as service:
        old = quotas_of(service.database, tenant) or _default(load_settings(folder))
        new = Quotas(
            old.bytes if bytes is None else bytes,
            old.jobs if jobs is None else jobs,
            old.requests if requests is None else requests,
        )
        make_tenant(service.database, tenant, new)
    print(f"{tenant}: {new.bytes} bytes, {new.jobs} jobs, {new.requests} requests a minute")


@tenant_app.command("remove", help="Remove a tenant with all its files, galleries and tokens.")
def remove(
    folder: Data,
    tenant: Tenant,
    yes: Yes = False,
) -> None:
    """For good. Backups that were made before still hold it."""
    from fhe_face.service.opening import open_service
    from fhe_face.service.removal import remove_tenant

    if not yes:
        typer.confirm(f"remove {tenant} with everything it has?", abort=True)
    with open_service(folder) as service:
        remove_tenant(service, tenant)
    print(f"removed {tenant}")


def _scopes(text: str) -> set[Scope]:
    from fhe_face.failures import UsageError
    from fhe_face.service.rows import Scope

    try:
        return {Scope(name.strip()) for name in text.split(",") if name.strip()}
    except ValueError:
        raise UsageError(f"--scopes: a list of {_NAMES}, separated by commas") from None


def seconds_of(days: float | None) -> int | None:
    """Of --days. UsageError: no number, or more than any token lives."""
    from fhe_face.failures import UsageError

    if days is None:
        return None
    if not days <= _MOST_DAYS:
        raise UsageError(f"--days is {days}; a number up to {_MOST_DAYS:,}")
    return int(days * _DAY)


def _default(settings: Any) -> Quotas:
    from fhe_face.service.rows import Quotas

    return Quotas(settings.tenant_bytes, settings.tenant_jobs, settings.tenant_requests)


def _described(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "tenant": token.tenant,
        "state": token.state,
        "scopes": [scope.value for scope in token.scopes],
        "label": token.label,
        "created": token.created,
        "expires": token.expires,
        "revoked": token.revoked,
    }


def show_new(token: dict[str, Any], whose: str, secret: str, json: bool) -> None:
    """A token that was made. whose: which entry of it says who has it."""
    from fhe_face.output import print_json

    if json:
        print_json({**token, "token": secret})
    else:
        typer.echo(f"token {token['id']} of {token[whose]}; it is shown only now:", err=True)
        print(secret)


def show_tokens(tokens: list[dict[str, Any]], whose: str, json: bool) -> None:
    """All tokens of a kind. whose: as in `show_new`."""
    from fhe_face.output import Output
    from fhe_face.tables import Grid

    names = ["id", whose, "state", "scopes", "expires", "label"]
    cells = [[_cell(token[name]) for name in names] for token in tokens]
    grid = Grid("Tokens", names, cells, len(names))
    Output(json).answer({"tokens": tokens}, lambda console: console.print(grid))


def _cell(value: Any) -> str:
    """A value in a table."""
    if isinstance(value, list):
        return ", ".join(value)
    return "-" if value is None else str(value)
