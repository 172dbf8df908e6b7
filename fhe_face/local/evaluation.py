"""Encrypted embeddings of many faces: resumable, because each takes long."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fhe_core.files import atomic_write, explain, open_regular
from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Embedding
from fhe_face.client.embedding import Embedded
from fhe_face.client.health import HealthReport
from fhe_face.places import Packing
from fhe_face.server.server import FaceServer
from fhe_face.system import duration

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]
_VERSION = 1
_MAX_CACHED_BYTES = 1 << 20


class Pipeline(Protocol):
    """A client and a server in one process."""

    @property
    def together(self) -> int:
        """Crops that are best embedded at once."""

    def embed(self, crops: Sequence[Pixels]) -> Embedded:
        """Encrypt crops (S, S, 3), compute, decrypt; faces that others spoiled again."""


@dataclass(frozen=True)
class FacePipeline:
    """The real thing."""

    client: FaceClient
    server: FaceServer

    @property
    def together(self) -> int:
        """See Pipeline."""
        batched = Packing.BATCH in self.client.engine.packings
        return self.client.engine.capacity if batched else 1

    def embed(self, crops: Sequence[Pixels]) -> Embedded:
        """See Pipeline."""
        return self.client.embed(list(crops), self.server)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came back for one face: an embedding [256], or the reason why there is none.

    seconds: of the server's computation; squared_norm: None where it was not a number; contrast:
    below 1 where the network diverged on the face as it is.
    """

    values: Array | None
    squared_norm: float | None
    reason: str
    seconds: float
    contrast: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """As it is kept on disk."""
        values = None if self.values is None else self.values.tolist()
        return {
            "version": _VERSION,
            "embedding": values,
            "squared_norm": self.squared_norm,
            "reason": self.reason,
            "seconds": self.seconds,
            "contrast": self.contrast,
        }

    @classmethod
    def from_json(cls, content: Any) -> Outcome:
        """Inverse of :meth:`to_json`; ValueError for anything else."""
        if not isinstance(content, dict) or content.get("version") != _VERSION:
            raise ValueError("not a kept embedding of this version")
        names = ("squared_norm", "seconds", "contrast")
        numbers = [content.get(name) for name in names]
        if not all(n is None or (type(n) in (int, float) and math.isfinite(n)) for n in numbers):
            raise ValueError("not numbers")
        norm, seconds, contrast = (None if n is None else float(n) for n in numbers)
        if contrast is None:  # of an older version
            contrast = 1.0
        if not 0 < contrast <= 1:
            raise ValueError("not a part of the contrast")
        reason, values = content.get("reason"), content.get("embedding")
        if not isinstance(reason, str) or seconds is None or (values is None) != bool(reason):
            raise ValueError("neither an embedding nor a reason")
        if values is None:
            return cls(None, norm, reason, seconds)
        if not isinstance(values, list) or not values:
            raise ValueError("not an embedding")
        if not all(type(v) in (int, float) and math.isfinite(v) for v in values):
            raise ValueError("not an embedding")
        return cls(np.array(values, dtype=np.float64), norm, reason, seconds, contrast)


class Cache:
    """A folder of decrypted embeddings, readable by their owner only; None keeps nothing."""

    def __init__(self, folder: Path | None, network: str) -> None:
        """`network`: what an embedding depends on beside the image, such as digests.

        Raises:
            FileError: the folder cannot be made.
        """
        self._folder, self._network = folder, network
        if folder is not None:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise explain(folder, "create folder", error) from error

    def load(self, crop: Pixels) -> Outcome | None:
        """What was kept for a crop; None where there is nothing, or it is damaged."""
        if self._folder is None:
            return None
        with suppress(OSError, ValueError, OverflowError, RecursionError):
            with open_regular(self._file(crop)) as stream:
                content = stream.read(_MAX_CACHED_BYTES)
            return Outcome.from_json(json.loads(content))
        return None

    def save(self, crop: Pixels, outcome: Outcome) -> None:
        """Keep an outcome.

        Raises:
            FileError: it cannot be written.
        """
        if self._folder is None:
            return
        with atomic_write(self._file(crop), private=True) as stream:
            stream.write(json.dumps(outcome.to_json()).encode("ascii"))

    def _file(self, crop: Pixels) -> Path:
        digest = hashlib.sha256(self._network.encode())
        digest.update(repr((crop.shape, str(crop.dtype))).encode())
        digest.update(crop.tobytes())
        assert self._folder is not None
        return self._folder / f"{digest.hexdigest()}.json"


def embed_encrypted(
    crops: Sequence[Pixels],
    cache: Cache,
    start: Callable[[int], Pipeline],
    report: Callable[[str], None],
) -> list[Outcome]:
    """Encrypt, embed and decrypt crops, in order; what the cache has is not computed again.

    start: makes keys and loads the server, given how many crops are missing; called once, and not
    at all when nothing is.
    report: gets a line of progress. An interruption loses what is being computed.
    """
    outcomes = [cache.load(crop) for crop in crops]
    missing = [k for k, outcome in enumerate(outcomes) if outcome is None]
    if len(missing) < len(crops):
        report(f"{len(crops) - len(missing)} of {len(crops)} embeddings are kept from before")
    if not missing:
        return [outcome for outcome in outcomes if outcome is not None]
    pipeline = start(len(missing))
    report(_plan(len(missing), pipeline.together))
    started = time.perf_counter()
    done, healthy, again = 0, 0, 0
    for first in range(0, len(missing), pipeline.together):
        group = missing[first : first + pipeline.together]
        found = pipeline.embed([crops[k] for k in group])
        for k, result in zip(group, found.results, strict=True):
            outcomes[k] = _outcome(result, found.seconds / len(group))
            cache.save(crops[k], _outcome(result, found.seconds / len(group)))
        done, healthy, again = done + len(group), healthy + found.healthy, again + found.retried
        each = (time.perf_counter() - started) / done
        report(
            f"encrypted {done} of {len(missing)}, {each:.1f} s each"
            + (f", {duration(each * (len(missing) - done))} left" if done < len(missing) else "")
        )
    per_hour = 3600 * healthy / (time.perf_counter() - started)
    report(
        f"{healthy} of {done} are healthy, {again} were computed again with less contrast: "
        f"{per_hour:.0f} healthy embeddings per hour"
    )
    return [outcome for outcome in outcomes if outcome is not None]


def _plan(faces: int, together: int) -> str:
    if together >= faces:
        return f"encrypting {faces} faces, all together; they are kept when they are done"
    many = "one by one" if together == 1 else f"{together} at a time"
    return f"encrypting {faces} faces, {many}; an interruption loses those at work"


def _outcome(result: Embedding | HealthReport, seconds: float) -> Outcome:
    if isinstance(result, HealthReport):
        norm = result.squared_norms[0]
        return Outcome(None, norm if math.isfinite(norm) else None, result.message, seconds)
    norm = result.health.squared_norms[0]
    return Outcome(result.values, norm, "", seconds, result.contrast)
