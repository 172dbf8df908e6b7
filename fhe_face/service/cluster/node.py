"""The engine of a node: keys by their digest from the node's own disk, and what is asked of them.

Requests come one at a time; `progress` and `stop` may be called meanwhile, from other threads. It
has no database, and reads and writes nothing outside the service's folder and its own cache.
"""

from __future__ import annotations

import json
import os
import socket
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fhe_core.container import ContainerError
from fhe_face.service.cluster.cache import KeyCache, cache_folder
from fhe_face.service.cluster.messages import (
    NodeSettings,
    Request,
    failed,
    named,
    request_from,
    settings_from,
)
from fhe_face.service.cluster.reaching import AUTH_MODE
from fhe_face.service.folders import within
from fhe_face.service.jobs.confining import confine
from fhe_face.service.jobs.engines import Engines, Resident, Work
from fhe_face.service.jobs.lane import budget, log
from fhe_face.service.jobs.records import Kind
from fhe_face.service.jobs.residents import Residents
from fhe_face.service.jobs.stopping import HandedBack

_NICENESS: Final = 5


@dataclass
class EngineNode:
    """One process's engine. folder: the service's."""

    folder: Path
    engines: Engines
    residents: Residents
    cache: KeyCache
    _open: tuple[tuple[str, ...], Work] | None = None
    _call: str = ""
    _stopped: str | None = None
    _told: tuple[str, int, int] = ("", 0, 0)

    @classmethod
    def of(cls, settings: NodeSettings) -> EngineNode:
        """Made of what the worker says; no key is loaded yet."""
        engines: Engines = named(settings.engine)(settings.weights, settings.threads)
        residents = Residents(engines, settings.memory or budget())
        cache = KeyCache(cache_folder(), filled=lambda digest: log("cached", {"key": digest}))
        return cls(Path(settings.folder), engines, residents, cache)

    def hello(self) -> str:
        """Who this is, and what it computes with; or why it cannot."""
        try:
            mode = os.environ.get(AUTH_MODE, "")
            identity = self.engines.identity()
            known = {"identity": identity, "engine": self.engines.name, "mode": mode}
            return json.dumps({**known, "host": socket.gethostname(), "pid": os.getpid()})
        except Exception as error:
            return json.dumps({"failed": failed(error)})

    def ask(self, text: str) -> str:
        """Do what is asked; the answer has "loaded" (digests of keys), how many "seconds" it took
        here, and "failed" if it did."""
        began = time.monotonic()
        try:
            request = request_from(text)
            self._call, self._told = request.call, ("", 0, 0)
            answer = self._do(request)
        except MemoryError as error:
            self._open = None
            self.residents.clear()
            answer = {"failed": failed(error)}
        except Exception as error:
            answer = {"failed": failed(error)}
            where = traceback.extract_tb(error.__traceback__)[-1]
            told_where = f"{Path(where.filename).name}:{where.lineno}"
            log("failed", {"error": type(error).__name__, "where": told_where})
        told = {"loaded": list(self.residents.loaded), "seconds": time.monotonic() - began}
        return json.dumps({**answer, **told})

    def progress(self) -> str:
        """What is being done, how much of it is done, how much there is."""
        return json.dumps(self._told)

    def stop(self, call: str) -> None:
        """Nobody wants the answer of that call any more: it ends at its next step."""
        self._stopped = call

    def _do(self, request: Request) -> Mapping[str, Any]:
        resident = self._resident(request)
        if request.do == "load":
            return {"memory_bytes": resident.memory_bytes}
        work = self._work(request, resident)
        if request.do == "open":
            return {"parts": work.parts}
        target = self._path(request.target)
        if request.do == "join":
            work.join([self._path(part) for part in request.parts], target)
        elif not target.is_file():  # it may be: the answer was lost, and it is asked again
            work.compute(request.part, target, self._tell)
        return {}

    def _resident(self, request: Request) -> Resident:
        """The keys, loaded once, from this node's own disk."""
        if request.key not in self.residents.loaded:
            self._open = None  # its keys may have to leave
            self._tell("loading keys", 0, 0)
        source = self._path(request.key_file)
        if request.key in self.residents.loaded:
            return self.residents.get(request.key, source, self._tell, request.inputs_bytes)
        copy = self.cache.get(request.key, source)
        try:
            return self.residents.get(request.key, copy, self._tell, request.inputs_bytes)
        except ContainerError:  # perhaps only the copy is damaged; then the source decides
            self.cache.forget(request.key)
            return self.residents.get(request.key, source, self._tell, request.inputs_bytes)

    def _work(self, request: Request, resident: Resident) -> Work:
        """A job's inputs; those of the last request are still here."""
        name = (request.key, request.kind, *request.files)
        if self._open is None or self._open[0] != name:
            self._open = None
            files = [self._path(file) for file in request.files]
            self._open = (name, resident.open(Kind(request.kind), files))
        return self._open[1]

    def _path(self, name: str) -> Path:
        return within(self.folder, name, "a file outside the service's folder")

    def _tell(self, what: str, done: int, total: int) -> None:
        if self._stopped == self._call:
            raise HandedBack
        self._told = (what, done, total)


class EngineActor:
    """`EngineNode` as Ray's process runs it: confined, and after searches."""

    def __init__(self, settings: str) -> None:
        confine()
        os.nice(_NICENESS)
        self._node = EngineNode.of(settings_from(settings))

    def hello(self) -> str:
        """See `EngineNode`."""
        return self._node.hello()

    def ask(self, text: str) -> str:
        """See `EngineNode`."""
        return self._node.ask(text)

    def progress(self) -> str:
        """See `EngineNode`."""
        return self._node.progress()

    def stop(self, call: str) -> None:
        """See `EngineNode`."""
        self._node.stop(call)
