"""Tokens: 256 random bits, shown once, of which only the SHA-256 is kept.

A hash without salt or stretching is right here: nobody guesses 256 random bits.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select

from fhe_face.service.errors import Invalid, NotHere, Unauthorized
from fhe_face.service.rows import Caller, Scope, now
from fhe_face.service.tables import tenants, tokens
from fhe_face.store.database import Database

PREFIX: Final = "fhe_"
_TOKEN: Final = re.compile(PREFIX + "[A-Za-z0-9_-]{43}")
_NOBODY: Final = "0" * 64
_REFUSED: Final = "no valid token: send `Authorization: Bearer fhe_...`"
_MAX_LABEL: Final = 200


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
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now() else "valid"


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
    if not scopes:
        raise Invalid("a token needs at least one scope")
    if seconds is not None and seconds <= 0:
        raise Invalid("a token is valid for at least a second")
    if len(label) > _MAX_LABEL or not label.isprintable():
        raise Invalid(f"a label has at most {_MAX_LABEL} printable characters")
    secret = PREFIX + secrets.token_urlsafe(32)
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
                digest=_digest(secret),
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
    with database.locked() as connection:
        chosen = tokens.c.id == id
        unused = tokens.update().where(chosen, tokens.c.revoked.is_(None))
        connection.execute(unused.values(revoked=now()))
        row = connection.execute(select(tokens).where(chosen)).first()
    if row is None:
        raise NotHere(f"there is no token '{id}'")
    return _token(row)


def authenticate(database: Database, authorization: str | None) -> Caller:
    """Who sends this `Authorization` header.

    Raises:
        Unauthorized: no token, or none that can be used; the text does not say which.
    """
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not _TOKEN.fullmatch(secret):
        raise Unauthorized(_REFUSED)
    digest = _digest(secret)
    with database.reading() as connection:
        row = connection.execute(select(tokens).where(tokens.c.digest == digest)).first()
    # Found by its digest, of which nobody can choose a part; compared once more without haste.
    found = hmac.compare_digest(digest, _NOBODY if row is None else str(row.digest))
    if row is None or not found:
        raise Unauthorized(_REFUSED)
    token = _token(row)
    if token.state != "valid":
        raise Unauthorized(_REFUSED)
    return Caller(token.tenant, token.id, frozenset(token.scopes))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: Any) -> Token:
    scopes = tuple(Scope(name) for name in str(row.scopes).split())
    return Token(row.id, row.tenant, scopes, row.label, row.created, row.expires, row.revoked)
