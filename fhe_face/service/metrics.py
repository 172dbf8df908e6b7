"""Counters for an operator (prometheus-client). No tenant, id or key is ever a label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric

MEDIA_TYPE: Final = "text/plain; version=1.0.0; charset=utf-8"
_SECONDS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)

#: Jobs of each kind in each state.
Depth = Callable[[], Mapping[str, Mapping[str, int]]]


class Counters:
    """Of any app's requests; not shared, so that two apps in one process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        register = self._registry
        self._requests = Counter(
            "fhe_face_requests", "Requests.", ["route", "status"], registry=register
        )
        self._seconds = Histogram(
            "fhe_face_request_seconds",
            "Time from a request's first byte to its answer's last.",
            ["route"],
            buckets=_SECONDS,
            registry=register,
        )
        self._received = Counter(
            "fhe_face_received_bytes", "Of bodies of requests.", registry=register
        )
        self._refused = Counter(
            "fhe_face_refused", "Requests that were refused.", ["code"], registry=register
        )

    def answered(self, route: str, status: int, seconds: float, received: int) -> None:
        """A request has ended. route: its template, never its path."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        self._received.inc(received)

    def refused(self, code: str) -> None:
        """A request was refused."""
        self._refused.labels(code).inc()

    def text(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self._registry)

    def _ask(self, asked: Asked) -> None:
        """Gauges whose values are looked up when they are read."""
        self._registry.register(asked)


class Asked(Protocol):
    """What is asked when somebody reads."""

    def collect(self) -> Iterable[Metric]:
        """Gauges."""
        ...


class Metrics(Counters):
    """One service's counters."""

    def __init__(self, depth: Depth, stored: Callable[[], Mapping[str, int]]) -> None:
        """depth: see there; stored: bytes by room. Both are asked when somebody looks."""
        super().__init__()
        self._ask(_Stored(depth, stored))


class _Stored:
    """Gauges whose values are looked up when they are read."""

    def __init__(self, depth: Depth, stored: Callable[[], Mapping[str, int]]) -> None:
        self._depth, self._stored = depth, stored

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("fhe_face_jobs", "Jobs.", labels=["kind", "state"])
        for kind, states in self._depth().items():
            for state, count in states.items():
                jobs.add_metric([kind, state], count)
        yield jobs
        stored = GaugeMetricFamily("fhe_face_stored_bytes", "Of files.", labels=["room"])
        for room, size in self._stored().items():
            stored.add_metric([room], size)
        yield stored
