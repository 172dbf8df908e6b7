"""Request tokens on the client's side: which results belong to a face that this key encrypted.

A token is a nonce and an HMAC-SHA256 (RFC 2104) over it and all that the client fixed when it
encrypted: kind, number of faces, plan and preparation. Its key follows from the secret key, so that
nothing has to be kept to check one. A token proves that this key asked, with these numbers; it does
not prove that the answer is the right one.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhe_core.container import ContainerError, Kind, canonical, read_header
from fhe_core.formats.ciphertexts import Bundle, known_facts
from fhe_core.formats.preparation import ENTRY as PREPARATION
from fhe_face.tokens import NONCE_BYTES, tokens_of

#: What the key of the tokens is derived for.
PURPOSE = "request tokens, version 1"

#: What was sent: the image or the embedding itself, or its file.
Sent = Bundle | str | os.PathLike[str]


class RequestMismatch(ContainerError):
    """A result that answers no request of this key, or another one than was meant."""


@dataclass(frozen=True)
class Asked:
    """What a request fixes. kind: of the image; plan: digest of the plan that it was packed for."""

    kind: str
    count: int
    plan: str
    preparation: Mapping[str, Any] | None

    def content(self, nonce: bytes) -> bytes:
        """The bytes under the tag."""
        how = None if self.preparation is None else dict(self.preparation)
        return canonical.encode([nonce.hex(), self.kind, self.count, self.plan, how])


class Requests:
    """Makes and checks the tokens of one key."""

    def __init__(self, key: bytes) -> None:
        """key: 32 bytes that nobody else has, from `SecretKey.derive`."""
        self._key = key

    def issue(self, asked: Asked) -> str:
        """A new token: hexadecimal, nonce first."""
        nonce = os.urandom(NONCE_BYTES)
        return (nonce + self._tag(asked, nonce)).hex()

    def require(self, source: str, tokens: Sequence[str], asked: Asked) -> None:
        """Check every token, each in constant time.

        Raises:
            RequestMismatch: one was not made with this key for these numbers.
        """
        for token in tokens:
            raw = bytes.fromhex(token)
            nonce, tag = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
            if not hmac.compare_digest(tag, self._tag(asked, nonce)):
                faces = "one face" if asked.count == 1 else f"{asked.count} faces"
                raise RequestMismatch(
                    f"{source}: answers no request that this key made for {faces} with this plan: "
                    "it was altered, or made by another version"
                )

    def _tag(self, asked: Asked, nonce: bytes) -> bytes:
        return hmac.digest(self._key, asked.content(nonce), hashlib.sha256)


def preparation_of(facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the faces were prepared, as the facts say."""
    found = facts.get(PREPARATION)
    return found if isinstance(found, Mapping) else None


def require_sent(source: str, tokens: Sequence[str], sent: Sequence[Sent]) -> None:
    """The result answers exactly these, in order: one for an embedding, two for a score.

    Raises:
        RequestMismatch: it answers others.
    """
    wanted = [_token_of(one) for one in sent]
    if len(wanted) != len(tokens):
        raise RequestMismatch(
            f"{source}: answers {len(tokens)} request(s), and {len(wanted)} were named as sent"
        )
    for number, (own, other) in enumerate(zip(tokens, wanted, strict=True), 1):
        if not hmac.compare_digest(own, other):
            raise RequestMismatch(
                f"{source}: answers request {short(own)}, not the one that was sent "
                f"({short(other)}, number {number})"
            )


def short(token: str) -> str:
    """The start of a token's nonce, for people: enough to tell requests apart."""
    return token[:16]


def _token_of(sent: Sent) -> str:
    if isinstance(sent, Bundle):
        return tokens_of("what was sent", sent.facts, 1)[0]
    header = read_header(sent, expect_kind=Kind.CIPHERTEXT)
    return tokens_of(header.source, known_facts(header), 1)[0]
