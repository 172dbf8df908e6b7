"""What the cost model of many machines takes from measurements, each figure with its source."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from fhe_core.files import read_bounded, shown
from fhe_face.failures import UsageError

FILE: Final = Path(__file__).with_name("cluster_figures.json")
_LARGEST: Final = 1 << 20


@dataclass(frozen=True)
class Figure:
    """A number that was measured, or follows from one. source: file, field and machine."""

    value: float
    source: str


@dataclass(frozen=True)
class Figures:
    """Seconds, bytes, counts; of one machine, which is the model's node.

    Attributes:
        batch_faces: of one job. batch_seconds: a node computes them. batch_bytes: encrypted.
        batch_result_bytes: their embeddings. client_batch_seconds: a client encrypts them.
        key_bytes: evaluation keys for batches. key_load_seconds: from a node's disk into memory.
        upload_bytes_per_second: one API process receives, checks and syncs.
        queue_seconds: of a job, in the worker's process and the database.
        dispatch_seconds: Ray's, of a job of three requests.
        block_templates: of a full block. block_seconds: a node searches it. block_load_seconds:
            reads it. block_bytes, block_memory_bytes, block_result_bytes: file, memory, scores.
        block_open_seconds: a client opens its scores. probe_seconds: a node expands a probe.
        probe_seal_seconds, probe_bytes: a client seals it, and its size.
    """

    batch_faces: Figure
    batch_seconds: Figure
    batch_bytes: Figure
    batch_result_bytes: Figure
    client_batch_seconds: Figure
    key_bytes: Figure
    key_load_seconds: Figure
    upload_bytes_per_second: Figure
    queue_seconds: Figure
    dispatch_seconds: Figure
    block_templates: Figure
    block_seconds: Figure
    block_load_seconds: Figure
    block_bytes: Figure
    block_memory_bytes: Figure
    block_result_bytes: Figure
    block_open_seconds: Figure
    probe_seconds: Figure
    probe_seal_seconds: Figure
    probe_bytes: Figure

    def __post_init__(self) -> None:
        for name, figure in self.items():
            if not 0 < figure.value < math.inf or not figure.source:
                raise UsageError(f"figure {name}: a number above 0, with its source")

    def items(self) -> list[tuple[str, Figure]]:
        """By name."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


def load_figures(path: Path | None = None) -> Figures:
    """Of a file like the one beside this module, which is the default.

    Raises:
        UsageError: a figure is missing, unknown, or no number with a source.
        FileError: the file cannot be read.
    """
    place = path or FILE
    try:
        content: Any = json.loads(read_bounded(place, _LARGEST))
        return Figures(**{name: _figure(value) for name, value in content["figures"].items()})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        wanted = ", ".join(field.name for field in fields(Figures))
        raise UsageError(
            f"{shown(place)}: it must be an object with 'figures', each a 'value' with its "
            f"'source': {wanted}"
        ) from error


def _figure(value: Mapping[str, Any]) -> Figure:
    return Figure(float(value["value"]), str(value["source"]))
