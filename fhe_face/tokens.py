"""Request tokens in the facts of bundles: one for every face, or for every batch. An embedding
carries its image's, a score those of both sides, in order. The server copies them; only the client
can make or check one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fhe_core.container import Corrupt
from fhe_face.places import SCORE

#: In the facts of a bundle.
ENTRY = "requests"
NONCE_BYTES = 16
TAG_BYTES = 32
_TOKEN = re.compile(f"[0-9a-f]{{{2 * (NONCE_BYTES + TAG_BYTES)}}}")


def sides_of(what: str) -> int:
    """How many requests every run of a bundle answers: a score belongs to two faces."""
    return 2 if what == SCORE else 1


def tokens_of(source: str, facts: Mapping[str, Any], count: int | None = None) -> list[str]:
    """The ``count`` tokens of a bundle's facts, or any number; source: names it in messages.

    Raises:
        Corrupt: there are none, another number of them, or what is no token.
    """
    found = facts.get(ENTRY)
    if found is None:
        raise Corrupt(
            f"{source}: carries no request token: it was made by an older version, or not from a "
            "face that was encrypted; encrypt the face again"
        )
    tokens = found if isinstance(found, list) else []
    if count is None:
        count = max(1, len(tokens))
    if len(tokens) != count or not all(isinstance(t, str) and _TOKEN.fullmatch(t) for t in tokens):
        raise Corrupt(f"{source}: its request tokens are malformed, expected {count}")
    return [str(token) for token in tokens]
