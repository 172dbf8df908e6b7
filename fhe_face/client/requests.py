"""Request tokens on the client's side: which results belong to a face that this key encrypted.

A token is a nonce and an HMAC-SHA256 (RFC 2104) over it and all that the client fixed when it
encrypted: packing, number of faces, plan and preparation, but for the contrast, which may differ
between the two faces of a score. Its key follows from the secret key, so
that nothing has to be kept to check one. A token proves that this key asked, with these numbers; it
does not prove that the answer is the right one.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhe_core.container import ContainerError, Kind, canonical, read_header
from fhe_core.files import shown
from fhe_core.formats.ciphertexts import Bundle, known_facts
from fhe_core.formats.preparation import ENTRY as PREPARATION
from fhe_face.client.receipts import receipt_facts
from fhe_face.engine import Engine
from fhe_face.models.faces import whatever_contrast
from fhe_face.places import Run
from fhe_face.tokens import NONCE_BYTES, tokens_of

#: What the key of the tokens is derived for.
PURPOSE = "request tokens, version 1"
#: The same for those of a device, whose id follows.
DEVICE_PURPOSE = "request tokens of a device, version 1: "

#: What was sent: the image or the embedding itself, its file, or a receipt of it.
Sent = Bundle | str | os.PathLike[str]


class RequestMismatch(ContainerError):
    """A result that answers no request of this key, or another one than was meant."""

    code = "request-mismatch"


@dataclass(frozen=True)
class Asked:
    """What a request fixes, for a face or a batch. kind: how its faces are packed; plan: digest of
    the plan that they were packed for."""

    kind: str
    count: int
    plan: str
    preparation: Mapping[str, Any] | None

    def content(self, nonce: bytes) -> bytes:
        """The bytes under the tag."""
        how = None if self.preparation is None else whatever_contrast(self.preparation)
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

    def is_for(self, token: str, asked: Asked) -> bool:
        """Whether this key made it for these numbers."""
        raw = bytes.fromhex(token)
        nonce, tag = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
        return hmac.compare_digest(tag, self._tag(asked, nonce))

    def _tag(self, asked: Asked, nonce: bytes) -> bytes:
        return hmac.digest(self._key, asked.content(nonce), hashlib.sha256)


def asked_of(engine: Engine, run: Run, facts: object) -> Asked:
    """What the token of a run of images or results fixes."""
    plan = engine.of(run.packing).plan.digest
    return Asked(run.packing.value, run.faces, plan, preparation_of(facts))


def require_asked(
    source: str, tokens: Sequence[tuple[Requests, str]], asked: Sequence[Asked]
) -> None:
    """Check every token with the key of who asked, each in constant time.

    asked: what each may be for; at least one of the tokens must be for the first of them, which
    has the number of faces of the result.

    Raises:
        RequestMismatch: one was not made with its key for these numbers.
    """
    found = [[own.is_for(token, one) for one in asked] for own, token in tokens]
    if all(map(any, found)) and any(own[0] for own in found):
        return
    count = asked[0].count
    faces = "one face" if count == 1 else f"{count} faces"
    raise RequestMismatch(
        f"{source}: answers no request that this key made for {faces} with this plan: "
        "it was altered, or made by another version"
    )


def preparation_of(facts: Any) -> Mapping[str, Any] | None:
    """How the faces were prepared, as the facts say."""
    found = facts.get(PREPARATION) if isinstance(facts, Mapping) else None
    return found if isinstance(found, Mapping) else None


def require_once(source: str, tokens: Sequence[str], sides: int) -> None:
    """No face or batch, and no comparison of two, is answered twice in one result.

    A token can be copied: otherwise one request would pay for as many "faces" as a file may hold.

    Raises:
        RequestMismatch: one is.
    """
    answered = [tuple(tokens[n : n + sides]) for n in range(0, len(tokens), sides)]
    if len(set(answered)) != len(answered):
        raise RequestMismatch(f"{source}: answers one request more than once")


def require_sent(source: str, tokens: Sequence[str], sent: Sequence[Sent], sides: int) -> None:
    """The result answers exactly these, in order: one bundle for embeddings, two for scores.

    Raises:
        RequestMismatch: it answers others.
    """
    named = [_tokens_of(one) for one in sent]
    longest = max(map(len, named))
    # One face that is compared with many belongs to every score.
    sent_as = [own * longest if len(own) == 1 else own for own in named]
    fits = len(named) == sides and all(len(own) * sides == len(tokens) for own in sent_as)
    if not fits:
        raise RequestMismatch(
            f"{source}: answers {len(tokens)} request(s), and {sum(map(len, named))} were named as "
            f"sent, in {len(named)} file(s); it takes {sides}"
        )
    wanted = [token for row in zip(*sent_as, strict=True) for token in row]
    for number, (own, other) in enumerate(zip(tokens, wanted, strict=True), 1):
        if not hmac.compare_digest(own, other):
            raise RequestMismatch(
                f"{source}: answers request {short(own)}, not the one that was sent "
                f"({short(other)}, number {number})"
            )


def short(token: str) -> str:
    """The start of a token's nonce, for people: enough to tell requests apart."""
    return token[:16]


def facts_of_sent(sent: Sent) -> tuple[str, Mapping[str, Any]]:
    """What was sent, for messages, and its facts, unchecked."""
    if isinstance(sent, Bundle):
        return "what was sent", sent.facts
    noted = receipt_facts(Path(sent))
    if noted is not None:
        return shown(sent), noted
    header = read_header(sent, expect_kind=Kind.CIPHERTEXT)
    return header.source, known_facts(header)


def _tokens_of(sent: Sent) -> list[str]:
    """All tokens of an image or of embeddings."""
    return tokens_of(*facts_of_sent(sent))
