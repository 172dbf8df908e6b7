"""Bearer tokens: 256 random bits, shown once, of which only the SHA-256 is kept.

A hash without salt or stretching is right here: nobody guesses 256 random bits.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

from fhe_face.service.errors import Invalid, Unauthorized

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


def presented(authorization: str | None) -> str:
    """The digest of the token in an `Authorization` header. Unauthorized: there is none."""
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not _TOKEN.fullmatch(secret):
        raise refused()
    return digest_of(secret)


def require_same(presented: str, kept: str | None) -> None:
    """What was found by its digest, of which nobody can choose a part, compared without haste.

    kept: None where nothing was found. Unauthorized: they differ.
    """
    if not hmac.compare_digest(presented, _NOBODY if kept is None else kept) or kept is None:
        raise refused()


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
