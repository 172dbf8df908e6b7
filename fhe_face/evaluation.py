"""Encrypted embeddings of many faces: resumable, because each takes long."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fhe_core.files import atomic_write, explain, open_regular
from fhe_core.formats.ciphertexts import Bundle
from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import HealthReport, UnhealthyResultError
from fhe_face.server.server import FaceServer

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]
_VERSION = 1
_MAX_CACHED_BYTES = 1 << 20


class Pipeline(Protocol):
    """A client and a server in one process."""

    def encrypt(self, crop: Pixels) -> Bundle:
        """Encrypt a crop (S, S, 3), with its mirror image where the circuit has two views."""

    @property
    def takes_pairs(self) -> bool:
        """Whether two images can be embedded together."""

    def embed(self, image: Bundle) -> Bundle:
        """The server's part."""

    def embed_pair(self, first: Bundle, second: Bundle) -> tuple[Bundle, Bundle]:
        """The server's part for two images at a time."""

    def decrypt_embedding(self, bundle: Bundle) -> Embedding:
        """Decrypt and check; UnhealthyResultError for what must not be used."""


@dataclass(frozen=True)
class FacePipeline:
    """The real thing."""

    client: FaceClient
    server: FaceServer

    def encrypt(self, crop: Pixels) -> Bundle:
        """See Pipeline."""
        return self.client.encrypt(crop)

    @property
    def takes_pairs(self) -> bool:
        """See Pipeline."""
        return self.server.takes_pairs

    def embed(self, image: Bundle) -> Bundle:
        """See Pipeline."""
        return self.server.embed(image)

    def embed_pair(self, first: Bundle, second: Bundle) -> tuple[Bundle, Bundle]:
        """See Pipeline."""
        return self.server.embed_pair(first, second)

    def decrypt_embedding(self, bundle: Bundle) -> Embedding:
        """See Pipeline."""
        return self.client.decrypt_embedding(bundle)


class ManyPipeline(Protocol):
    """A client and a server for batches, in one process."""

    @property
    def capacity(self) -> int:
        """Crops that are embedded at once, at most."""

    def embed_many(self, crops: Sequence[Pixels]) -> list[Embedding | HealthReport]:
        """Encrypt, embed and decrypt; a report for each that must not be used."""


@dataclass(frozen=True)
class FaceManyPipeline:
    """The real thing."""

    client: FaceClient
    server: FaceServer

    @property
    def capacity(self) -> int:
        """See ManyPipeline."""
        return self.client.capacity

    def embed_many(self, crops: Sequence[Pixels]) -> list[Embedding | HealthReport]:
        """See ManyPipeline."""
        result = self.server.embed(self.client.encrypt_many(crops))
        return self.client.decrypt_embeddings(result)


@dataclass(frozen=True)
class Batches:
    """How batches are computed: room for so many, keys and a server while the context lasts."""

    capacity: int
    start: Callable[[], AbstractContextManager[ManyPipeline]]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came back for one face: an embedding [256], or the reason why there is none.

    seconds: of the server's computation; squared_norm: None where it was not a number.
    """

    values: Array | None
    squared_norm: float | None
    reason: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As it is kept on disk."""
        values = None if self.values is None else self.values.tolist()
        return {
            "version": _VERSION,
            "embedding": values,
            "squared_norm": self.squared_norm,
            "reason": self.reason,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, content: Any) -> Outcome:
        """Inverse of :meth:`to_json`; ValueError for anything else."""
        if not isinstance(content, dict) or content.get("version") != _VERSION:
            raise ValueError("not a kept embedding of this version")
        numbers = [content.get("squared_norm"), content.get("seconds")]
        if not all(n is None or (type(n) in (int, float) and math.isfinite(n)) for n in numbers):
            raise ValueError("not numbers")
        norm, seconds = (None if n is None else float(n) for n in numbers)
        reason, values = content.get("reason"), content.get("embedding")
        if not isinstance(reason, str) or seconds is None or (values is None) != bool(reason):
            raise ValueError("neither an embedding nor a reason")
        if values is None:
            return cls(None, norm, reason, seconds)
        if not isinstance(values, list) or not values:
            raise ValueError("not an embedding")
        if not all(type(v) in (int, float) and math.isfinite(v) for v in values):
            raise ValueError("not an embedding")
        return cls(np.array(values, dtype=np.float64), norm, reason, seconds)


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
    start: Callable[[], Pipeline],
    report: Callable[[str], None],
    batches: Batches | None = None,
) -> list[Outcome]:
    """Encrypt, embed and decrypt crops, in order; what the cache has is not computed again.

    start: makes keys and loads the server; called once, and not at all when nothing is missing.
    Batches come first, while half of one can be filled. Then two crops are computed together where
    the server can. What is refused there is computed again alone, because a face that diverges
    takes its partners along.
    report: gets a line of progress. An interruption loses what is being computed.
    """
    outcomes = [cache.load(crop) for crop in crops]
    missing = [k for k, outcome in enumerate(outcomes) if outcome is None]
    if len(missing) < len(crops):
        report(f"{len(crops) - len(missing)} of {len(crops)} embeddings are kept from before")
    if not missing:
        return [outcome for outcome in outcomes if outcome is not None]
    if batches is not None and 2 * len(missing) >= batches.capacity:
        missing = _in_batches(crops, missing, outcomes, cache, report, batches)
    if not missing:
        return [outcome for outcome in outcomes if outcome is not None]
    pipeline = start()
    started = time.perf_counter()
    together = 2 if pipeline.takes_pairs else 1
    for first in range(0, len(missing), together):
        group = missing[first : first + together]
        for k, outcome in zip(group, _outcomes(pipeline, [crops[k] for k in group]), strict=True):
            outcomes[k] = outcome
            cache.save(crops[k], outcome)
        done = first + len(group)
        each = (time.perf_counter() - started) / done
        report(
            f"encrypted {done} of {len(missing)}, {each:.1f} s each"
            + (f", {_duration(each * (len(missing) - done))} left" if done < len(missing) else "")
        )
    return [outcome for outcome in outcomes if outcome is not None]


def _in_batches(
    crops: Sequence[Pixels],
    missing: list[int],
    outcomes: list[Outcome | None],
    cache: Cache,
    report: Callable[[str], None],
    batches: Batches,
) -> list[int]:
    """Fill ``outcomes`` from batches; returns what is still missing."""
    waiting, refused = list(missing), list[int]()
    with batches.start() as pipeline:
        while 2 * len(waiting) >= batches.capacity:
            group, waiting = waiting[: batches.capacity], waiting[batches.capacity :]
            started = time.perf_counter()
            found = pipeline.embed_many([crops[k] for k in group])
            seconds = (time.perf_counter() - started) / len(group)
            for k, result in zip(group, found, strict=True):
                if isinstance(result, HealthReport):
                    refused.append(k)
                    continue
                outcome = Outcome(result.values, result.health.squared_norms[0], "", seconds)
                outcomes[k] = outcome
                cache.save(crops[k], outcome)
            report(f"encrypted a batch of {len(group)}, {seconds:.1f} s each")
    return sorted(refused + waiting)


def _outcomes(pipeline: Pipeline, crops: list[Pixels]) -> list[Outcome]:
    images = [pipeline.encrypt(crop) for crop in crops]
    if len(images) > 1:
        started = time.perf_counter()
        pair = pipeline.embed_pair(images[0], images[1])
        seconds = (time.perf_counter() - started) / len(pair)
        found = [_outcome(pipeline, result, seconds) for result in pair]
        if all(outcome.values is not None for outcome in found):
            return found
    alone = []
    for image in images:
        started = time.perf_counter()
        result = pipeline.embed(image)
        alone.append(_outcome(pipeline, result, time.perf_counter() - started))
    return alone


def _outcome(pipeline: Pipeline, result: Bundle, seconds: float) -> Outcome:
    try:
        embedding = pipeline.decrypt_embedding(result)
    except UnhealthyResultError as error:
        norm = error.report.squared_norms[0]
        kept = norm if math.isfinite(norm) else None
        return Outcome(None, kept, error.report.message, seconds)
    return Outcome(embedding.values, embedding.health.squared_norms[0], "", seconds)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
