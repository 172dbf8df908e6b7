"""What a gallery says about itself: JSON that its owner wrote, with one word that a store needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fhe_face.store.errors import StoreError
from fhe_face.store.tables import EACH, MEAN


def facts_text(facts: Mapping[str, Any]) -> str:
    """The facts as one canonical text.

    Raises:
        StoreError: they are not JSON, or `mode` is neither "mean" nor "each".
    """
    if facts.get("mode") not in (MEAN, EACH):
        raise StoreError(f"facts: mode must be {MEAN!r} or {EACH!r}, not {facts.get('mode')!r}")
    try:
        return json.dumps(dict(facts), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"facts: not JSON: {error}") from error


def facts_of(text: str) -> dict[str, Any]:
    """The facts that a text holds. StoreError: it is damaged."""
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise StoreError("the gallery's facts are damaged: restore a backup") from error
    if not isinstance(facts, dict) or facts.get("mode") not in (MEAN, EACH):
        raise StoreError("the gallery's facts are damaged: restore a backup")
    return facts


def mode_of(text: str) -> str:
    """Who owns entries: "mean" (subjects) or "each" (templates)."""
    return str(facts_of(text)["mode"])
