"""What all routes share: made once for a process, and handed to each request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated

import anyio
from fastapi import Depends, Request
from sqlalchemy import func, select

from fhe_core.container import Limits
from fhe_face.service.admission import Circuits
from fhe_face.service.answers import Answers
from fhe_face.service.errors import Busy, Forbidden
from fhe_face.service.metrics import Metrics
from fhe_face.service.opening import Service
from fhe_face.service.queueing import Queue
from fhe_face.service.rates import Rates
from fhe_face.service.rows import Caller, Scope
from fhe_face.service.settings import Settings
from fhe_face.service.tables import resources
from fhe_face.service.uploads import Uploads

#: Searches wait in threads of their own, so that nothing else waits for them.
SEARCHES = 16
#: Of one tenant, so that there is room for others.
SEARCHES_OF_ONE = 12
#: Streams of events, which each look at a job now and then.
STREAMS = 100
#: Block files that are received at once.
BLOCKS = 4


@dataclass(frozen=True)
class Context:
    """One service, open, with its queue and its limits."""

    service: Service
    settings: Settings
    queue: Queue
    circuits: Circuits
    rates: Rates = field(default_factory=Rates)
    threads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(16))
    searches: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(SEARCHES))
    searching: Counter[str] = field(default_factory=Counter)
    streams: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(STREAMS))
    blocks: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(BLOCKS))
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        """Counters ask the queue and the tables when somebody looks at them."""
        object.__setattr__(self, "metrics", Metrics(self.queue.depth, self._stored))

    @property
    def uploads(self) -> Uploads:
        """The receiving side of files."""
        limits = Limits(total_bytes=self.settings.file_bytes)
        database, blobs = self.service.database, self.service.blobs
        return Uploads(database, blobs, self.circuits, limits, self.settings.free_bytes)

    @property
    def answers(self) -> Answers:
        """Kept answers."""
        return Answers(self.service.database, self.settings.answer_seconds)

    @contextmanager
    def place_to_search(self, tenant: str) -> Iterator[None]:
        """For one search; for the event loop's thread. Busy: all places are taken, or too many by
        this tenant."""
        if self.searches.available_tokens < 1 or self.searching[tenant] >= SEARCHES_OF_ONE:
            raise Busy("all searchers are busy", 1.0)
        self.searching[tenant] += 1
        try:
            yield
        finally:
            self.searching[tenant] -= 1
            if not self.searching[tenant]:
                del self.searching[tenant]

    def _stored(self) -> dict[str, int]:
        query = select(resources.c.room, func.sum(resources.c.bytes)).group_by(resources.c.room)
        with self.service.database.reading() as connection:
            return {row[0]: int(row[1]) for row in connection.execute(query)}


def context_of(request: Request) -> Context:
    """The process's context."""
    context = request.app.state.context
    assert isinstance(context, Context)
    return context


def caller_of(request: Request) -> Caller:
    """Who asks, as the gate found out."""
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


def require_scope(caller: Caller, scope: Scope) -> None:
    """Raise Forbidden unless the token has a scope."""
    if not caller.may(scope):
        raise Forbidden(f"this token lacks the scope '{scope}'")


Here = Annotated[Context, Depends(context_of)]
Asking = Annotated[Caller, Depends(caller_of)]


def needs(scope: Scope) -> Callable[..., Caller]:
    """A dependency: the caller, who has a scope."""

    def caller(asking: Asking) -> Caller:
        require_scope(asking, scope)
        return asking

    return caller


Reader = Annotated[Caller, Depends(needs(Scope.READ))]
Enroller = Annotated[Caller, Depends(needs(Scope.ENROL))]
Searcher = Annotated[Caller, Depends(needs(Scope.SEARCH))]
Submitter = Annotated[Caller, Depends(needs(Scope.SUBMIT))]
Embedder = Annotated[Caller, Depends(needs(Scope.EMBED))]
Admin = Annotated[Caller, Depends(needs(Scope.ADMIN))]
