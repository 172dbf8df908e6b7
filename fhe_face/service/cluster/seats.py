"""A seat for every node: it claims jobs from the queue, and has the node compute them."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from fhe_core.errors import Failure
from fhe_core.files import one_line
from fhe_face.places import MAX_FACES
from fhe_face.progress import Stage, silent
from fhe_face.service.blobs import Blobs
from fhe_face.service.cluster.messages import Request, raise_failed
from fhe_face.service.cluster.reaching import require_guarded
from fhe_face.service.jobs.claims import Claims
from fhe_face.service.jobs.engines import Resident, require_secure
from fhe_face.service.jobs.keeping import gone, seen
from fhe_face.service.jobs.lane import log, work
from fhe_face.service.jobs.records import Kind, NodeFailed
from fhe_face.service.jobs.steps import TELL_SECONDS, Runner
from fhe_face.service.jobs.stopping import Died, Stopping
from fhe_face.service.jobs.turns import Turns
from fhe_face.store.errors import StoreError

#: A node that cannot be used says why so often.
_SAY_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 1.0
#: Reports of progress a second to the database, of all nodes together.
_REPORTS: Final = 100.0


class Asked(Protocol):
    """The engine of a node; `fhe_face.service.cluster.pool.Engine` is Ray's."""

    def hello(self) -> Mapping[str, Any] | None:
        """Who is there; None as long as nobody answers."""

    def ask(self, request: Request, stage: Stage) -> Mapping[str, Any]:
        """Have it done. Raises Died, and what `stage` raises."""

    def close(self) -> None:
        """End its process."""


@dataclass
class NodeKeys:
    """Evaluation keys in a node's memory, as `Runner` sees them.

    folder: the service's. mine: engine and weights of this service. insecure: whether rings that
    protect nothing are allowed; only tests say so.
    """

    node: str
    engine: Asked
    folder: Path
    mine: str
    insecure: bool = False
    loaded: Collection[str] = ()
    sure: bool = False
    _stage: Stage = silent
    _said: float = float("-inf")

    def identity(self) -> str:
        """Of engine and weights; `ready` has seen that the node has them."""
        return self.mine

    def ready(self) -> bool:
        """Whether the node answers, and is what it should be; asked again after a death."""
        if not self.sure:
            try:
                self.sure = self._is_usable()
            except (Failure, OSError, RuntimeError) as error:
                self._say(one_line(str(error)))
        return self.sure

    def get(self, digest: str, key: Path, stage: Stage, inputs_bytes: int = 0) -> Resident:
        """See `Keys`."""
        self._stage = stage
        named = {"key": digest, "key_file": self.name(key), "inputs_bytes": inputs_bytes}
        answer = self.ask("load", named, stage)
        return NodeResident(self, named, int(answer["memory_bytes"]))

    def clear(self) -> None:
        """The node has done so by itself."""

    def ask(
        self, do: str, what: Mapping[str, Any], stage: Stage | None = None
    ) -> Mapping[str, Any]:
        """An answer that is no failure; others are raised."""
        request = Request(call=secrets.token_hex(8), do=do, **what)
        try:
            answer = self.engine.ask(request, stage or self._stage)
        except Died:
            self.sure, self.loaded = False, ()
            raise
        self.loaded = tuple(map(str, answer["loaded"]))
        if "failed" in answer:
            raise_failed(answer["failed"])
        return answer

    def name(self, path: Path) -> str:
        """A file's name on every machine."""
        return str(path.relative_to(self.folder))

    def _is_usable(self) -> bool:
        found = self.engine.hello()
        if found is None:
            self._say("it does not answer")
            return False
        require_secure(str(found["engine"]), insecure=self.insecure)
        require_guarded(str(found["mode"]))
        if found["identity"] != self.mine:
            raise Failure(f"it has '{found['identity']}', this service '{self.mine}'")
        log("node ready", {"node": self.node, "host": found["host"], "pid": found["pid"]})
        return True

    def _say(self, why: str) -> None:
        if time.monotonic() - self._said > _SAY_SECONDS:
            self._said = time.monotonic()
            log("node not used", {"node": self.node, "why": why})


@dataclass(frozen=True)
class NodeResident:
    """One client's keys on a node. named: they, in requests."""

    keys: NodeKeys
    named: Mapping[str, Any]
    memory_bytes: int

    def open(self, kind: Kind, files: Sequence[Path]) -> NodeWork:
        """Failure: the inputs cannot be used, or the node counts more parts than there can be."""
        names = tuple(self.keys.name(file) for file in files)
        what = {**self.named, "kind": kind.value, "files": names}
        parts = int(self.keys.ask("open", what)["parts"])
        if not 1 <= parts <= MAX_FACES:  # a part has a face at least
            raise NodeFailed(f"a node says that a job has {parts} parts")
        return NodeWork(self.keys, what, parts)


@dataclass(frozen=True)
class NodeWork:
    """One job, computed on a node. Every request names all that it needs: a process that has just
    been started can go on."""

    keys: NodeKeys
    what: Mapping[str, Any]
    parts: int

    def compute(self, part: int, target: Path, stage: Stage) -> None:
        """Write the output of a part to a new file, whole or not at all."""
        place = {"part": part, "target": self.keys.name(target)}
        self.keys.ask("compute", {**self.what, **place}, stage)

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """Write the job's output, of the outputs of all its parts."""
        names = tuple(self.keys.name(part) for part in parts)
        self.keys.ask("join", {**self.what, "parts": names, "target": self.keys.name(target)})


class Nodes(Protocol):
    """Who is there; `fhe_face.service.cluster.pool.Pool` is Ray's."""

    def nodes(self) -> Mapping[str, float]:
        """Processors of every node that is there, by its id."""

    def engine(self, node: str, processors: float) -> Asked:
        """The engine of a node."""


@dataclass
class Seats:
    """A thread for each node, as nodes come and go. mine, insecure: see `NodeKeys`."""

    claims: Claims
    blobs: Blobs
    folder: Path
    nodes: Nodes
    mine: str
    stopping: Stopping
    insecure: bool = False
    _seats: dict[str, _Seat] = field(default_factory=dict)
    _told: float = float("-inf")

    def run(self) -> None:
        """Until asked to end; what is computed may end within the grace."""
        try:
            while not self.stopping.asked:
                self._follow(self.nodes.nodes())
                self._tell()
                self.stopping.nap(_LOOK_SECONDS)
        finally:
            for seat in self._seats.values():
                seat.stopping.ask()
            for seat in self._seats.values():
                seat.thread.join()

    def _follow(self, found: Mapping[str, float]) -> None:
        for node, processors in found.items():
            if node not in self._seats:
                self._seats[node] = self._sit(node, processors)
        for node, seat in list(self._seats.items()):
            if node not in found:
                seat.stopping.ask()
            seat.runner.tell_seconds = tell_seconds(len(found))
            if not seat.thread.is_alive():
                del self._seats[node]  # a node that is there gets a new one

    def _tell(self) -> None:
        """Every node that computes is a worker, to those who ask when a job will be done."""
        claims = self.claims
        if time.monotonic() - self._told < claims.limits.lease_seconds / 4:
            return
        self._told = time.monotonic()
        try:
            for node, seat in self._seats.items():
                if seat.keys.sure:
                    seen(claims.seat(node))
        except StoreError as error:
            log("database", {"error": one_line(str(error))})

    def _sit(self, node: str, processors: float) -> _Seat:
        engine = self.nodes.engine(node, processors)
        keys = NodeKeys(node, engine, self.folder, self.mine, self.insecure)
        stopping = Stopping(self.stopping.grace)
        claims = self.claims.seat(node)
        runner = Runner(claims, self.blobs, keys, self.folder, stopping, log)
        turns = Turns(claims.limits.turn_seconds)
        thread = threading.Thread(
            target=_serve, args=(runner, turns, stopping, keys), name=f"seat-{node[:8]}"
        )
        thread.start()
        return _Seat(keys, runner, stopping, thread)


@dataclass(frozen=True)
class _Seat:
    keys: NodeKeys
    runner: Runner
    stopping: Stopping
    thread: threading.Thread


def tell_seconds(nodes: int) -> float:
    """Between two reports of a job, where so many nodes compute."""
    return max(TELL_SECONDS, nodes / _REPORTS)


def _serve(runner: Runner, turns: Turns, stopping: Stopping, keys: NodeKeys) -> None:
    try:
        work(runner, turns, stopping, keys.ready)
    finally:
        keys.engine.close()
        runner.claims.give_back_all()
        gone(runner.claims)
