"""Nodes of a Ray cluster and the two processes of ours on each. Nothing else imports Ray.

Ray starts a process again when it dies, on the same node, and repeats what it was asked: twice at
most, then the worker's queue decides. Text and bytes are all that is sent: Ray passes these on as
they are, and pickles only what is its own: handles of actors, the names of our two classes, errors.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import ray
from ray.exceptions import ActorDiedError, GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fhe_core.files import one_line
from fhe_face.progress import Stage
from fhe_face.service.cluster.messages import NodeSettings, Request, raise_failed, to_text
from fhe_face.service.cluster.node import EngineActor
from fhe_face.service.cluster.reaching import NoCluster, require_token_mode
from fhe_face.service.jobs.stopping import Died

#: Tries of Ray's after a process died; one that only could not be reached counts, too.
_RETRIES: Final = 2
#: Whether to go on is asked that often, and what a node is doing; of all nodes together no more
#: often than `_LOOKS` a second.
_LOOK_SECONDS: Final = 0.5
_LOOKS: Final = 200.0
_HELLO_SECONDS: Final = 5.0
#: A computation that was told to stop may take so much longer: a step of its plan.
_STOP_SECONDS: Final = 10.0
#: Threads of an engine's process that answer while it computes.
_CONTROL: Final = "control"
_RESTARTED: Final = {"max_restarts": -1, "max_task_retries": _RETRIES}


@dataclass
class Pool:
    """A connection to a cluster, of this whole process; use it in one `with`."""

    address: str
    settings: NodeSettings
    namespace: str
    look_seconds: float = _LOOK_SECONDS
    _searchers: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Pool:
        """Connect.

        Raises:
            NoCluster: it cannot be reached, or wants another token.
        """
        require_token_mode(os.environ)
        try:
            ray.init(
                address=self.address,
                namespace=self.namespace,
                log_to_driver=False,
                configure_logging=False,
            )
        except (RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise NoCluster(
                f"the Ray cluster at {self.address}: {one_line(str(error), 300)}"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect; processes of ours on nodes end."""
        ray.shutdown()

    def nodes(self) -> dict[str, float]:
        """Processors of every node that is there and has any, by its id."""
        found = {}
        told: Callable[[], list[dict[str, Any]]] = ray.nodes
        for node in told():
            processors = float(node["Resources"].get("CPU", 0.0))
            if node["Alive"] and processors >= 1.0:
                found[str(node["NodeID"])] = processors
        self.look_seconds = max(_LOOK_SECONDS, len(found) / _LOOKS)
        return dict(sorted(found.items()))

    def engine(self, node: str, processors: float) -> Engine:
        """The engine of a node; it has all processors that Ray may give there."""
        options = {
            "num_cpus": processors,
            "scheduling_strategy": _on(node),
            **_RESTARTED,
        }
        actor: Callable[..., Any] = ray.remote
        made = actor(concurrency_groups={_CONTROL: 2})(EngineActor)
        return Engine(self, made.options(**options))

    def search(
        self, asked: Mapping[str, str], probe: object, seconds: float
    ) -> dict[str, bytes | None]:
        """Answers of nodes to what each is asked, by node; None of those that died.

        probe: from `put`. TimeoutError: it took too long.
        """
        refs = {
            self._searcher(node).search.remote(text, probe): node for node, text in asked.items()
        }
        end, answers = time.monotonic() + seconds, {}
        for ref, node in refs.items():
            try:
                answers[node] = ray.get(ref, timeout=max(0.0, end - time.monotonic()))
            except GetTimeoutError:
                raise TimeoutError(f"the search took longer than {seconds:.0f} s") from None
            except RayError:
                self._searchers.pop(node, None)
                answers[node] = None
        return answers

    def put(self, data: bytes) -> object:
        """Bytes that several nodes are about to ask for: each gets them once."""
        return ray.put(data)

    def _searcher(self, node: str) -> Any:
        from fhe_face.service.cluster.shards import SearchActor  # not where jobs are handed out

        with self._lock:
            if node not in self._searchers:
                options = {"num_cpus": 0, "scheduling_strategy": _on(node), **_RESTARTED}
                actor = ray.remote(SearchActor).options(**options)
                self._searchers[node] = actor.remote(to_text(self.settings))
            return self._searchers[node]


class Engine:
    """The engine of one node, as the worker speaks to it."""

    def __init__(self, pool: Pool, made: Any) -> None:
        """made: the actor's class with Ray's options."""
        self._pool, self._made = pool, made
        self._actor: Any = None

    def hello(self) -> dict[str, Any] | None:
        """Who is there; None as long as nobody answers. Errors as of `raise_failed`."""
        try:
            answer = json.loads(ray.get(self._living().hello.remote(), timeout=_HELLO_SECONDS))
        except RayError as error:
            self._note(error)
            return None
        if "failed" in answer:
            raise_failed(answer["failed"])
        return dict(answer)

    def ask(self, request: Request, stage: Stage) -> dict[str, Any]:
        """Have it done, and tell meanwhile how it goes on.

        Raises:
            Died: its process did, as often as Ray tries. What `stage` raises: the node stops then.
        """
        reference = self._living().ask.remote(to_text(request))
        told = _Told(self._actor)
        try:
            while not _is_there(reference, self._pool.look_seconds):
                stage(*told.now())
        except BaseException:
            self._stop(request.call, reference)
            raise
        try:
            return dict(json.loads(ray.get(reference)))
        except RayError as error:
            self._note(error)
            raise Died("its process on a node died") from error

    def close(self) -> None:
        """End its process; a new one is started where it is asked again."""
        if self._actor is not None:
            ray.kill(self._actor, no_restart=True)
            self._actor = None

    def _living(self) -> Any:
        if self._actor is None:
            self._actor = self._made.remote(to_text(self._pool.settings))
        return self._actor

    def _note(self, error: RayError) -> None:
        if isinstance(error, ActorDiedError):  # for good: its node is gone, or it was ended
            self._actor = None

    def _stop(self, call: str, reference: Any) -> None:
        """Let it end at its next step; its process, where it does not."""
        self._actor.stop.options(concurrency_group=_CONTROL).remote(call)
        if not _is_there(reference, _STOP_SECONDS):
            self.close()


@dataclass
class _Told:
    """What a node said last of what it is doing; asked for again when it has answered."""

    actor: Any
    _last: tuple[str, int, int] = ("computing", 0, 0)
    _asked: Any = None

    def now(self) -> tuple[str, int, int]:
        if self._asked is not None and _is_there(self._asked, 0.0):
            try:
                what, done, total = json.loads(ray.get(self._asked))
                self._last = (str(what) or "computing", int(done), int(total))
            except RayError:
                pass  # it has died, or is dying: `ask` will say so
            self._asked = None
        if self._asked is None:
            self._asked = self.actor.progress.options(concurrency_group=_CONTROL).remote()
        return self._last


def _on(node: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node, soft=False)


def _is_there(reference: Any, seconds: float) -> bool:
    ready, _ = ray.wait([reference], timeout=seconds)
    return bool(ready)
