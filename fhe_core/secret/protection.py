"""A secret under a passphrase: Scrypt (RFC 7914) makes a key, AES-256-GCM encrypts with it.

Both come from the cryptography package. The header of the file that holds the protected bytes is
authenticated with them, so that no part of it can be exchanged.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fhe_core.errors import Failure

SALT_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16
_KEY_BYTES = 32
#: 128 MiB and about half a second.
_LOG_COST = 17
_BLOCK = 8
#: A file may ask for 16 MiB to 512 MiB, and for nothing else.
_LOG_COSTS = range(14, 20)
_SCHEME = "scrypt, aes-256-gcm"


class ProtectionError(Failure, ValueError):
    """Protected bytes that are not opened; the text never holds content or passphrase."""

    code = "protection"


class WrongPassphrase(ProtectionError):
    """The passphrase does not open it, or the protected bytes or their header were changed."""

    code = "wrong-passphrase"


@dataclass(frozen=True)
class Scheme:
    """What a file says of its protection."""

    log_cost: int = _LOG_COST

    def describe(self) -> dict[str, Any]:
        """For metadata."""
        return {"scheme": _SCHEME, "log2_n": self.log_cost, "r": _BLOCK, "p": 1}

    @classmethod
    def from_description(cls, content: Any) -> Scheme:
        """Inverse of :meth:`describe`, bounded before anything is computed.

        Raises:
            ProtectionError: another scheme, or a cost beyond what is accepted.
        """
        cost = content.get("log2_n") if isinstance(content, Mapping) else None
        if type(cost) is not int or content != cls(cost).describe():
            raise ProtectionError("is protected in a way that this version does not know")
        if cost not in _LOG_COSTS:
            raise ProtectionError(
                f"asks for scrypt with N = 2^{cost}; 2^{_LOG_COSTS[0]} to 2^{_LOG_COSTS[-1]} is "
                "accepted"
            )
        return cls(cost)

    def key(self, passphrase: bytes, salt: bytes) -> bytes:
        """Takes 128 * 8 * 2^log_cost bytes of memory."""
        return Scrypt(salt, _KEY_BYTES, 1 << self.log_cost, _BLOCK, 1).derive(passphrase)


@dataclass(frozen=True)
class Protected:
    """``data`` is as long as the secret and a tag of 16 bytes."""

    salt: bytes
    nonce: bytes
    data: bytes


def protect(secret: bytes, passphrase: bytes, bound: bytes, scheme: Scheme) -> Protected:
    """Protect under a fresh salt; ``bound`` is authenticated with it.

    Raises:
        ProtectionError: the passphrase is empty.
    """
    if not passphrase:
        raise ProtectionError("the passphrase is empty")
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    data = AESGCM(scheme.key(passphrase, salt)).encrypt(nonce, secret, bound)
    return Protected(salt, nonce, data)


def unprotect(protected: Protected, passphrase: bytes, bound: bytes, scheme: Scheme) -> bytes:
    """Inverse of :func:`protect`.

    Raises:
        WrongPassphrase: it does not open.
    """
    try:
        opener = AESGCM(scheme.key(passphrase, protected.salt))
        return opener.decrypt(protected.nonce, protected.data, bound)
    except InvalidTag:
        raise WrongPassphrase("wrong passphrase, or the file was altered") from None
