"""A search over many nodes: who holds which blocks, what each answers, and all of it in order."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

import numpy as np

from fhe_core.formats.matching import to_bytes
from fhe_core.matching import MatchParameters, Probe
from fhe_core.matching.matcher import hide
from fhe_face.server.blocks import Mask, Words, no_words
from fhe_face.service.cluster.messages import raise_failed
from fhe_face.service.cluster.shards import split
from fhe_face.service.errors import Busy

#: Rounds of asking: blocks of nodes that died are given to others.
_ROUNDS: Final = 3
_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 5.0
#: Of a node on the circle of digests.
_POINTS: Final = 64


class Searchers(Protocol):
    """The nodes that search; `fhe_face.service.cluster.pool.Pool` is Ray's."""

    def nodes(self) -> Mapping[str, float]:
        """Those that are there."""

    def put(self, data: bytes) -> object:
        """Bytes for several nodes."""

    def search(
        self, asked: Mapping[str, str], probe: object, seconds: float
    ) -> Mapping[str, bytes | None]:
        """Answers by node; None of those that died. TimeoutError."""


@dataclass
class Spread:
    """One gallery's blocks, on all nodes: `Computing`. gallery: its folder inside the service's."""

    nodes: Searchers
    gallery: Path
    key_id: str
    parameters: MatchParameters
    memory_bytes: int = 0  # in this process
    _damaged: dict[str, str] = field(default_factory=dict)

    @property
    def damaged(self) -> Mapping[str, str]:
        """See `Computing`."""
        return MappingProxyType(self._damaged)

    def prepare(self, probe: Probe) -> object:
        """The probe, where all nodes can get it; each expands it for itself."""
        return self.nodes.put(to_bytes(probe))

    def search(
        self, prepared: object, order: Sequence[str], live: Mapping[str, Mask]
    ) -> tuple[tuple[str, ...], Words]:
        """See `Computing`. Busy: there are no nodes, or they die. TimeoutError. ValueError: a node
        answers something else."""
        self._damaged = {}
        found: dict[str, Words] = {}
        missing = list(order)
        for _ in range(_ROUNDS):
            if not missing:
                break
            found |= self._round(prepared, missing)
            missing = [name for name in order if name not in found and name not in self._damaged]
        if missing:
            raise Busy("nodes that hold this gallery are away; try again", _AGAIN_SECONDS)
        names = tuple(name for name in order if name in found)
        words = np.concatenate([no_words(self.parameters), *(found[n][None] for n in names)])
        for scores, name in zip(words, names, strict=True):
            hide(scores, live[name])
        return names, words

    def keep(self, names: Sequence[str]) -> None:
        """Nodes keep what the next search asks them for."""

    def close(self) -> None:
        """Nodes forget what was not asked for longest."""

    def _round(self, probe: object, names: Sequence[str]) -> dict[str, Words]:
        shares = shared(names, list(self.nodes.nodes()))
        asked = {node: self._request(own) for node, own in shares.items()}
        found: dict[str, Words] = {}
        for node, answer in self.nodes.search(asked, probe, _SECONDS).items():
            if answer is not None:
                said, words = split(answer, self.parameters)
                if "failed" in said:
                    raise_failed(_mapping(said["failed"]))
                searched, damaged = _names(said["names"]), _mapping(said["damaged"])
                if not {*searched, *damaged} <= set(shares[node]):
                    raise ValueError("a node answers about blocks that it was not asked for")
                self._damaged |= damaged
                found |= dict(zip(searched, words, strict=True))
        return found

    def _request(self, names: Sequence[str]) -> str:
        request = {"gallery": str(self.gallery), "key_id": self.key_id, "blocks": names}
        return json.dumps(request)


def shared(names: Sequence[str], nodes: Sequence[str]) -> dict[str, list[str]]:
    """Every node's blocks, in order: consistent hashing with bounded loads.

    No node has more than its part, rounded up; when a node comes or goes few blocks move; whoever
    asks next, in whatever process, decides the same.
    """
    points = sorted((_place(f"{node} {turn}"), node) for node in nodes for turn in range(_POINTS))
    most = -(-len(names) // len(nodes)) if nodes else 0
    shares: dict[str, list[str]] = {}
    for name in names:
        start = bisect(points, (_place(name), ""))
        for step in range(len(points)):
            node = points[(start + step) % len(points)][1]
            if len(shares.get(node, ())) < most:
                shares.setdefault(node, []).append(name)
                break
    return shares


def _place(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _mapping(value: Any) -> dict[str, str]:
    return {str(name): str(text) for name, text in dict(value).items()}


def _names(value: Any) -> list[str]:
    return [str(name) for name in value]
