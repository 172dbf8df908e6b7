"""Tokens of devices, and of whoever else may speak with the authority."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from fhe_core.formats.devices import is_device_id
from fhe_face.authority.tables import tokens
from fhe_face.authority.words import Caller, Scope, checked_name
from fhe_face.service import bearer
from fhe_face.service.errors import Invalid
from fhe_face.service.rows import now
from fhe_face.store.database import Database


@dataclass(frozen=True)
class Token:
    """What is known of a token, without its secret.

    id: public, for the log and to revoke it; sender: of the key that the device encrypts with.
    """

    id: str
    device: str
    scopes: tuple[Scope, ...]
    label: str
    created: int
    expires: int | None
    revoked: int | None
    sender: str | None = None

    @property
    def state(self) -> str:
        """Whether it can be used: "valid", "expired" or "revoked"."""
        return bearer.state_of(self.expires, self.revoked, now())


def create_token(
    database: Database,
    device: str,
    scopes: Collection[Scope],
    *,
    seconds: int | None = None,
    label: str = "",
    sender: str | None = None,
) -> tuple[Token, str]:
    """A new token of a device, and its secret, which is nowhere else afterwards.

    seconds: how long it is valid; None: until it is revoked. All tokens of a device share its
    limits and its requests. sender: the id of the key that the device encrypts with
    (`fhe-face device`): its requests are then about faces of that key only.

    Raises:
        Invalid: no scope, a time that has passed, or what is no name or id of a device.
    """
    checked_name(device, "device")
    if sender is not None and not is_device_id(sender):
        raise Invalid("the id of a device's key is 32 hexadecimal digits: fhe-face device list")
    bearer.require_sensible(scopes, seconds, label)
    secret, created = bearer.new_secret(), now()
    ordered = tuple(scope for scope in Scope if scope in scopes)
    expires = None if seconds is None else created + seconds
    id = secrets.token_hex(6)
    token = Token(id, device, ordered, label, created, expires, None, sender)
    with database.locked() as connection:
        connection.execute(
            tokens.insert().values(
                id=token.id,
                device=device,
                digest=bearer.digest_of(secret),
                scopes=" ".join(ordered),
                sender=sender,
                label=label,
                created=created,
                expires=expires,
            )
        )
    return token, secret


def all_tokens(database: Database) -> list[Token]:
    """In the order of making."""
    with database.reading() as connection:
        rows = connection.execute(select(tokens).order_by(tokens.c.created, tokens.c.id))
        return [_token(row) for row in rows]


def revoke_token(database: Database, id: str) -> Token:
    """End a token at once. NotHere: there is none of that public id."""
    return _token(bearer.revoke(database, tokens, id, now()))


def authenticate(database: Database, authorization: str | None) -> Caller:
    """Who sends this `Authorization` header.

    Raises:
        Unauthorized: no token, or none that can be used; the text does not say which.
    """
    token = _token(bearer.find(database, tokens, authorization))
    if token.state != "valid":
        raise bearer.refused()
    return Caller(token.device, token.id, frozenset(token.scopes), token.sender)


def _token(row: Any) -> Token:
    scopes = tuple(Scope(name) for name in str(row.scopes).split())
    ends = row.expires, row.revoked
    return Token(row.id, row.device, scopes, row.label, row.created, *ends, row.sender)
