"""``fhe-face authority token``: who may ask, and what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fhe_face.commands.options import Json

if TYPE_CHECKING:
    from fhe_face.authority.tokens import Token
    from fhe_face.authority.words import Scope

_NAMES = "ask, enrol, deliver, names, scores, watch"

token_app = typer.Typer(help="Tokens: who may ask the authority.", no_args_is_help=True)
_Folder = Annotated[Path, typer.Argument(help="The authority's folder.")]


@token_app.command("create", help="Make a token of a device. It is shown once.")
def create(
    folder: _Folder,
    device: Annotated[str, typer.Option("--device", help="Letters, digits, dots and hyphens.")],
    scopes: Annotated[
        str, typer.Option("--scopes", metavar="NAME,...", help=f"Any of {_NAMES}.")
    ] = "ask,deliver",
    days: Annotated[
        float | None, typer.Option("--days", help="Valid for so long; default: until revoked.")
    ] = None,
    label: Annotated[str, typer.Option("--label", help="What it is for.")] = "",
    sender: Annotated[
        str | None,
        typer.Option(
            "--device-id", help="The id of the device's key: no others' faces are asked about."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """On stdout only the token, so that a script can take it."""
    from fhe_face.authority.opening import opened
    from fhe_face.authority.tokens import create_token
    from fhe_face.commands.service_people import seconds_of, show_new

    chosen, seconds = _scopes(scopes), seconds_of(days)
    with opened(folder) as database:
        token, secret = create_token(
            database, device, chosen, seconds=seconds, label=label, sender=sender
        )
    show_new(_described(token), "device", secret, json)


@token_app.command("list", help="All tokens, without their secrets.")
def list_tokens(folder: _Folder, json: Json = False) -> None:
    """A secret is nowhere any more."""
    from fhe_face.authority.opening import opened
    from fhe_face.authority.tokens import all_tokens
    from fhe_face.commands.service_people import show_tokens

    with opened(folder) as database:
        tokens = [_described(token) for token in all_tokens(database)]
    show_tokens(tokens, "device", json)


@token_app.command("revoke", help="End a token at once.")
def revoke(
    folder: _Folder, id: Annotated[str, typer.Argument(help="As `token list` shows it.")]
) -> None:
    """Requests with it are refused from now on."""
    from fhe_face.authority.opening import opened
    from fhe_face.authority.tokens import revoke_token

    with opened(folder) as database:
        token = revoke_token(database, id)
    print(f"revoked token {token.id} of {token.device}")


def _scopes(text: str) -> set[Scope]:
    from fhe_face.authority.words import Scope
    from fhe_face.failures import UsageError

    try:
        return {Scope(name.strip()) for name in text.split(",") if name.strip()}
    except ValueError:
        raise UsageError(f"--scopes: a list of {_NAMES}, separated by commas") from None


def _described(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "device": token.device,
        "state": token.state,
        "scopes": [scope.value for scope in token.scopes],
        "device_id": token.sender,
        "label": token.label,
        "created": token.created,
        "expires": token.expires,
        "revoked": token.revoked,
    }
