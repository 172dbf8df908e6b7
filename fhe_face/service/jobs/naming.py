"""Names of requests, computations and outputs: digests of all that decides about their content.

Evaluation is deterministic bit for bit, so two computations of one name have the same output,
on whatever machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from fhe_face.service.jobs.records import Kind


def work_name(kind: Kind, digests: Mapping[str, str], model: str) -> str:
    """What is computed of which inputs; digests: of the inputs' content, by what they are."""
    return _digest(["work", kind.value, sorted(digests.items()), model])


def request_name(work: str, room: str, target: str) -> str:
    """The same, and where the output goes."""
    return _digest(["request", work, room, target])


def output_name(work: str, identity: str) -> str:
    """The output of a computation by an engine with certain weights."""
    return _digest(["output", work, identity])


def _digest(parts: Sequence[object]) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
