"""Tokens of tenants: who may do what in the service."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from fhe_face.service import bearer
from fhe_face.service.errors import NotHere
from fhe_face.service.rows import Caller, Scope, now
from fhe_face.service.tables import tenants, tokens
from fhe_face.store.database import Database


@dataclass(frozen=True)
class Token:
    """What is known of a token, without its secret. id: public, for the log and to revoke it."""

    id: str
    tenant: str
    scopes: tuple[Scope, ...]
    label: str
    created: int
    expires: int | None
    revoked: int | None

    @property
    def state(self) -> str:
        """Whether it can be used: "valid", "expired" or "revoked"."""
        return bearer.state_of(self.expires, self.revoked, now())


def create_token(
    database: Database,
    tenant: str,
    scopes: Collection[Scope],
    *,
    seconds: int | None = None,
    label: str = "",
) -> tuple[Token, str]:
    """A new token of a tenant, and its secret, which is nowhere else afterwards.

    seconds: how long it is valid; None: until it is revoked.

    Raises:
        NotHere: there is no such tenant. Invalid: no scope, or a time that has passed.
    """
    bearer.require_sensible(scopes, seconds, label)
    secret = bearer.new_secret()
    created = now()
    ordered = tuple(scope for scope in Scope if scope in scopes)
    expires = None if seconds is None else created + seconds
    token = Token(secrets.token_hex(6), tenant, ordered, label, created, expires, None)
    with database.locked() as connection:
        query = select(tenants.c.name).where(tenants.c.name == tenant)
        if connection.execute(query).first() is None:
            raise NotHere(f"there is no tenant '{tenant}'")
        connection.execute(
            tokens.insert().values(
                id=token.id,
                tenant=tenant,
                digest=bearer.digest_of(secret),
                scopes=" ".join(ordered),
                label=label,
                created=created,
                expires=expires,
            )
        )
    return token, secret


def all_tokens(database: Database, tenant: str | None = None) -> list[Token]:
    """Of all tenants, or of one, in the order of making."""
    query = select(tokens).order_by(tokens.c.created, tokens.c.id)
    if tenant is not None:
        query = query.where(tokens.c.tenant == tenant)
    with database.reading() as connection:
        return [_token(row) for row in connection.execute(query)]


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
    return Caller(token.tenant, token.id, frozenset(token.scopes))


def _token(row: Any) -> Token:
    scopes = tuple(Scope(name) for name in str(row.scopes).split())
    return Token(row.id, row.tenant, scopes, row.label, row.created, row.expires, row.revoked)
