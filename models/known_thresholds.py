"""Thresholds of published weights, whose own files have no place for them."""

import json
from importlib.resources import files
from typing import Any

from fhe_face.models.thresholds import Thresholds


def known_thresholds(tensors_sha256: str) -> Thresholds | None:
    """Those of the weights whose tensors have this digest (models/manifest.py); None for others.

    Measured with `fhe-face evaluate` on the sets that they name (docs/evaluation.md).
    """
    text = files("fhe_face.models").joinpath("known_thresholds.json").read_text(encoding="ascii")
    known: dict[str, Any] = json.loads(text)
    content = known.get(tensors_sha256)
    return None if content is None else Thresholds.from_json(content)
