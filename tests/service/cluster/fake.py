"""Nodes without Ray: the same text goes to the same code, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhe_face.progress import Stage
from fhe_face.service.cluster.cache import KeyCache
from fhe_face.service.cluster.messages import NodeSettings, Request, to_text
from fhe_face.service.cluster.node import EngineNode
from fhe_face.service.cluster.shards import SearchNode
from fhe_face.service.jobs.residents import Residents
from fhe_face.service.jobs.stopping import Died
from tests.gallery.kit import SMALL
from tests.service.jobs.engine import TinyEngines


@dataclass
class FakeEngine:
    """A node's engine. deaths: how often it dies when asked to do something.

    hello_changes: what it says of itself that is not so. silent: how often it does not answer.
    """

    node: EngineNode
    deaths: int = 0
    silent: int = 0
    hello_changes: Mapping[str, str] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    closed: bool = False

    def hello(self) -> Mapping[str, Any] | None:
        if self.silent:
            self.silent -= 1
            return None
        return {**json.loads(self.node.hello()), "mode": "token", **self.hello_changes}

    def ask(self, request: Request, stage: Stage) -> Mapping[str, Any]:
        self.asked.append(request)
        if self.deaths and request.do == "compute":
            self.deaths -= 1
            self.node.residents.clear()
            raise Died("its process on a node died")
        return dict(json.loads(self.node.ask(to_text(request))))

    def close(self) -> None:
        self.closed = True


def engine_node(folder: Path, cache: Path) -> EngineNode:
    engines = TinyEngines()
    return EngineNode(folder, engines, Residents(engines, 1 << 40), KeyCache(cache))


@dataclass
class FakeNodes:
    """A cluster of fake engines; there: those that can be seen."""

    engines: dict[str, FakeEngine]
    there: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.there = self.there or set(self.engines)

    def nodes(self) -> dict[str, float]:
        return dict.fromkeys(sorted(self.there), 1.0)

    def engine(self, node: str, processors: float) -> FakeEngine:
        return self.engines[node]


@dataclass
class FakeSearchers:
    """Nodes that search. dying: nodes that answer nothing; asked: blocks of each node, by round."""

    folder: Path
    there: list[str]
    dying: set[str] = field(default_factory=set)
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    after: Callable[[], None] = lambda: None
    mode: str = "token"
    _own: dict[str, SearchNode] = field(default_factory=dict)

    def nodes(self) -> dict[str, float]:
        return dict.fromkeys(self.there, 1.0)

    def put(self, data: bytes) -> object:
        return data

    def search(
        self, asked: Mapping[str, str], probe: object, seconds: float
    ) -> dict[str, bytes | None]:
        assert isinstance(probe, bytes)
        self.asked.append({node: json.loads(text)["blocks"] for node, text in asked.items()})
        answers: dict[str, bytes | None] = {}
        for node, text in asked.items():
            own = self._own.setdefault(node, SearchNode(self.folder, SMALL, 1, 1 << 30, self.mode))
            answers[node] = None if node in self.dying else own.search(text, probe)
        self.there = [node for node in self.there if node not in self.dying]
        self.after()
        return answers


def settings(folder: Path) -> NodeSettings:
    return NodeSettings(str(folder))
