"""What many machines give, and what binds: a small discrete simulation of queues and pipes.

Everything that takes time is a *station*: one or several servers that do one thing after the
other. What a station takes is measured (`cluster_figures`) or assumed (`Assumed`); times scatter by
a seed. Nothing here knows Ray: it is the arithmetic of docs/cluster.md, and can be run again.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from fhe_face.bench.cluster_figures import Figures

#: Evaluation keys that a node holds at once.
_RESIDENT: Final = 2
#: Searches of a simulation, and of those how many are asked at once.
_SEARCHES: Final = 64
_AT_ONCE: Final = 8


@dataclass(frozen=True)
class Assumed:
    """What no figure says. Bandwidths in bytes a second.

    tenants: each with a key of its own, an equal part of the enrolments, and `clients` machines
    that encrypt. apis: API processes. folder: the shared folder, network: every machine's own,
    link: a client's. speed: of a node, 1 is the measured machine. scatter: relative deviation of
    a batch's time. turn_seconds: the service's setting: a node loads other keys no more often.
    """

    tenants: int = 10
    clients: int = 10
    apis: int = 1
    folder: float = 1e9
    network: float = 1.25e9
    link: float = 1.25e8
    speed: float = 1.0
    scatter: float = 0.05
    turn_seconds: float = 60.0


@dataclass
class Station:
    """Servers that do one thing after the other, whoever is free first."""

    servers: int
    busy: float = 0.0
    _free: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._free = [0.0] * self.servers

    def serve(self, now: float, seconds: float) -> float:
        """When something that comes now and takes so long is done."""
        end = max(now, self._free[0]) + seconds
        heapq.heapreplace(self._free, end)
        self.busy += seconds
        return end

    def used(self, seconds: float) -> float:
        """Which part of that time its servers were busy."""
        return self.busy / (self.servers * seconds)


@dataclass(frozen=True)
class Outcome:
    """seconds: until the last was done. used: of every station, the part of the time it worked."""

    seconds: float
    used: Mapping[str, float]

    @property
    def binds(self) -> str:
        """The station that works most of the time."""
        return max(self.used, key=lambda name: self.used[name])


@dataclass
class _Node:
    """loaded: tenants' keys in memory, the newest last; copied: on its disk. busy: seconds of
    computing."""

    loaded: list[int] = field(default_factory=list)
    copied: set[int] = field(default_factory=set)
    loaded_at: float = -math.inf
    served: dict[int, float] = field(default_factory=dict)
    busy: float = 0.0

    def choose(self, wanted: Collection[int], now: float, turn_seconds: float) -> int:
        """As `fhe_face.service.jobs.turns`: keys in memory first, but everybody gets a turn."""
        here = [tenant for tenant in sorted(wanted) if tenant in self.loaded]
        others = [tenant for tenant in sorted(wanted) if tenant not in self.loaded]
        if others and (not here or now - self.loaded_at >= turn_seconds):
            here, self.loaded_at = others, now
        chosen = min(here, key=lambda tenant: self.served.get(tenant, -math.inf))
        self.served[chosen] = now
        return chosen


#: What a process does next: so many seconds at a station, or by itself (None).
Steps = Iterator[tuple[str | None, float]]


class Enrolment:
    """Faces enrolled in batches: clients encrypt and send, nodes compute."""

    def __init__(self, figures: Figures, assumed: Assumed, nodes: int, seed: int) -> None:
        self._figures, self._assumed = figures, assumed
        self._draw = random.Random(seed)
        self._nodes = [_Node() for _ in range(nodes)]
        self._idle = list(range(nodes))
        self._waiting = dict.fromkeys(range(assumed.tenants), 0)
        self._going: list[tuple[float, int, Steps]] = []
        self._now = 0.0
        self._number = 0
        self._stations = {
            "client": Station(assumed.tenants * assumed.clients),
            "link": Station(assumed.tenants * assumed.clients),
            "api": Station(assumed.apis),
            "folder": Station(1),
            "worker": Station(1),
        }

    def run(self, enrolments: int) -> Outcome:
        """Until the last of so many has its embedding."""
        batches = math.ceil(enrolments / self._figures.batch_faces.value)
        for number in range(batches):
            self._go(0.0, self._sent(number % self._assumed.tenants))
        while self._going:
            self._now, _, steps = heapq.heappop(self._going)
            step = next(steps, None)
            if step is not None:
                station, seconds = step
                free = self._now + seconds
                if station is not None:
                    free = self._stations[station].serve(self._now, seconds)
                self._go(free, steps)
        end = self._now
        used = {name: station.used(end) for name, station in self._stations.items()}
        used["nodes"] = sum(node.busy for node in self._nodes) / (len(self._nodes) * end)
        return Outcome(end, used)

    def _go(self, when: float, steps: Steps) -> None:
        self._number += 1
        heapq.heappush(self._going, (when, self._number, steps))

    def _sent(self, tenant: int) -> Steps:
        """A batch on its way to the queue."""
        f, a = self._figures, self._assumed
        yield "client", f.client_batch_seconds.value
        yield "link", f.batch_bytes.value / a.link
        yield "api", f.batch_bytes.value / f.upload_bytes_per_second.value
        yield "folder", f.batch_bytes.value / a.folder
        self._waiting[tenant] += 1
        self._start()

    def _start(self) -> None:
        """Give what waits to nodes that are idle, those that hold its key first."""
        while self._idle and any(self._waiting.values()):
            wanted = {tenant for tenant, jobs in self._waiting.items() if jobs}
            places = reversed(range(len(self._idle)))
            holds = (i for i in places if wanted & set(self._nodes[self._idle[i]].loaded))
            number = self._idle.pop(next(holds, -1))
            tenant = self._nodes[number].choose(wanted, self._now, self._assumed.turn_seconds)
            self._waiting[tenant] -= 1
            self._go(self._now, self._computed(number, tenant))

    def _computed(self, number: int, tenant: int) -> Steps:
        """A batch on a node, from its claim on."""
        f, a, node = self._figures, self._assumed, self._nodes[number]
        yield "worker", f.queue_seconds.value + f.dispatch_seconds.value
        if tenant not in node.loaded:
            node.loaded = [*node.loaded[-_RESIDENT + 1 :], tenant]
            if tenant not in node.copied:
                node.copied.add(tenant)
                yield "folder", f.key_bytes.value / a.folder
            yield None, f.key_load_seconds.value / a.speed
        yield "folder", f.batch_bytes.value / a.folder
        started = self._now
        yield None, f.batch_seconds.value / a.speed * self._draw.lognormvariate(0.0, a.scatter)
        node.busy += self._now - started
        yield "folder", f.batch_result_bytes.value / a.folder
        self._idle.append(number)
        self._start()


@dataclass(frozen=True)
class Searched:
    """alone: of one search, seconds, in its parts. seconds: the median where several ask at once.

    a_second: searches that are answered then. memory_bytes: of a node's blocks. first_seconds:
    until the blocks are in memory.
    """

    alone: Mapping[str, float]
    seconds: float
    a_second: float
    used: Mapping[str, float]
    memory_bytes: float
    first_seconds: float

    @property
    def binds(self) -> str:
        """Of several that ask at once."""
        return max(self.used, key=lambda name: self.used[name])

    @property
    def slowest(self) -> str:
        """The longest part of one search."""
        return max(self.alone, key=lambda name: self.alone[name])


def search(figures: Figures, assumed: Assumed, nodes: int, templates: int, seed: int) -> Searched:
    """Searches of a gallery whose blocks lie on all nodes."""
    f, draw = figures, random.Random(seed)
    blocks = math.ceil(templates / f.block_templates.value)
    most = math.ceil(blocks / nodes)
    holding = min(nodes, blocks)
    answer = blocks * f.block_result_bytes.value
    alone = {
        "client": f.probe_seal_seconds.value + blocks * f.block_open_seconds.value,
        "link": (answer + f.probe_bytes.value) / assumed.link,
        # A request to each node, the probe there and the scores back through one machine.
        "worker": holding * f.dispatch_seconds.value / 3
        + (answer + holding * f.probe_bytes.value) / assumed.network,
        "nodes": (f.probe_seconds.value + most * f.block_seconds.value) / assumed.speed,
    }
    stations = {
        "client": Station(_AT_ONCE),
        "link": Station(_AT_ONCE),
        "worker": Station(1),
        "nodes": Station(1),  # all of them answer one search after the other
    }
    asking = [(0.0, number) for number in range(_AT_ONCE)]
    took, last = [], 0.0
    for _ in range(_SEARCHES):
        began, who = heapq.heappop(asking)
        now = began
        for name in ("nodes", "worker", "link", "client"):
            scatter = draw.lognormvariate(0.0, assumed.scatter)
            now = stations[name].serve(now, alone[name] * scatter)
        took.append(now - began)
        last = max(last, now)
        heapq.heappush(asking, (now, who))
    return Searched(
        alone=alone,
        seconds=sorted(took)[len(took) // 2],
        a_second=_SEARCHES / last,
        used={name: station.used(last) for name, station in stations.items()},
        memory_bytes=most * f.block_memory_bytes.value,
        first_seconds=max(
            blocks * f.block_bytes.value / assumed.folder, most * f.block_load_seconds.value
        ),
    )
