"""Request tokens in the facts of bundles: an image carries its own, an embedding its image's, a
score those of both sides, in order. The server copies them; only the client can make or check one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fhe_core.container import Corrupt

#: In the facts of a bundle.
ENTRY = "requests"
NONCE_BYTES = 16
TAG_BYTES = 32
_TOKEN = re.compile(f"[0-9a-f]{{{2 * (NONCE_BYTES + TAG_BYTES)}}}")


def tokens_of(source: str, facts: Mapping[str, Any], count: int) -> list[str]:
    """The ``count`` tokens of a bundle's facts; source: names it in messages.

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
    if len(tokens) != count or not all(isinstance(t, str) and _TOKEN.fullmatch(t) for t in tokens):
        raise Corrupt(f"{source}: its request tokens are malformed, expected {count}")
    return [str(token) for token in tokens]
