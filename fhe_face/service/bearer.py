"""Bearer tokens: 256 random bits, shown once, of which only the SHA-256 is kept.

A hash without salt or stretching is right here: nobody guesses 256 random bits.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Any, Final

from sqlalchemy import Row, Table, select

from fhe_face.service.errors import Invalid, NotHere, Unauthorized
from fhe_face.store.database import Database

PREFIX: Final = "fhe_"
_TOKEN: Final = re.compile(PREFIX + "[A-Za-z0-9_-]{43}")
_NOBODY: Final = "0" * 64
_REFUSED: Final = "no valid token: send `Authorization: Bearer fhe_...`"
_MAX_LABEL: Final = 200


def new_secret() -> str:
    """A token that nobody has."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What is kept of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find(database: Database, tokens: Table, authorization: str | None) -> Row[Any]:
    """The row of the token in an `Authorization` header, whatever its state.

    tokens: has the columns `id`, `digest` and `revoked`. Unauthorized: no token, or an unknown one.
    """
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not _TOKEN.fullmatch(secret):
        raise refused()
    digest = digest_of(secret)
    with database.reading() as connection:
        row = connection.execute(select(tokens).where(tokens.c.digest == digest)).first()
    # Found by its digest, of which nobody can choose a part; compared once more without haste.
    same = hmac.compare_digest(digest, _NOBODY if row is None else str(row.digest))
    if row is None or not same:
        raise refused()
    return row


def revoke(database: Database, tokens: Table, id: str, at: int) -> Row[Any]:
    """End a token at once; its row. NotHere: there is none of that public id."""
    with database.locked() as connection:
        chosen = tokens.c.id == id
        unused = tokens.update().where(chosen, tokens.c.revoked.is_(None))
        connection.execute(unused.values(revoked=at))
        row = connection.execute(select(tokens).where(chosen)).first()
    if row is None:
        raise NotHere(f"there is no token '{id[:40]}'")
    return row


def refused() -> Unauthorized:
    """No token, or none that can be used; the text does not say which."""
    return Unauthorized(_REFUSED)


def state_of(expires: int | None, revoked: int | None, at: int) -> str:
    """Whether a token can be used at a time: "valid", "expired" or "revoked"."""
    if revoked is not None:
        return "revoked"
    return "expired" if expires is not None and expires <= at else "valid"


def require_sensible(scopes: object, seconds: int | None, label: str) -> None:
    """A new token may be so. Invalid: no scope, a time that has passed, or an odd label."""
    if not scopes:
        raise Invalid("a token needs at least one scope")
    if seconds is not None and seconds <= 0:
        raise Invalid("a token is valid for at least a second")
    if len(label) > _MAX_LABEL or not label.isprintable():
        raise Invalid(f"a label has at most {_MAX_LABEL} printable characters")
