"""What every request passes before an app sees it: an id, who asks, and the body as it comes.

In this order, so that little is spent on whoever may not come in. Who may is for the app to say.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from fhe_face.service.bodies import Body
from fhe_face.service.errors import Busy
from fhe_face.service.problems import problem_of
from fhe_face.service.visits import Visit

#: Who may ask without a token: whether the service is alive says nothing about anybody.
OPEN: Final = frozenset(("/live", "/ready"))
#: Of a client that went away in its own request; nobody gets this status.
_GONE: Final = 499


@dataclass(frozen=True)
class Bounds:
    """connections: at once. idle_seconds, body_seconds: as in `Body`."""

    connections: int
    idle_seconds: float
    body_seconds: float


class Door:
    """The outermost layer of an app."""

    def __init__(self, app: ASGIApp, bounds: Bounds, open_paths: Collection[str] = OPEN) -> None:
        """open_paths: that nobody needs a token for."""
        self.app = app
        self.open = frozenset(open_paths)
        self._bounds = bounds
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = Visit(scope, send)
        self._running += 1
        bounds, cap = self._bounds, self.cap_of(scope["method"], scope["path"])
        body = Body(receive, cap, bounds.idle_seconds, bounds.body_seconds)
        state = scope.setdefault("state", {})
        state["request_id"] = visit.request_id
        caller = None
        try:
            if self._running > bounds.connections and scope["path"] not in self.open:
                raise Busy("too many requests at once", 1.0)
            # Nobody needs to be known where the door is open.
            caller = None if scope["path"] in self.open else await self.who(scope)
            state["caller"] = caller
            body.check(dict(scope["headers"]))
            await self.app(scope, body, visit.answer)
        except ClientDisconnect:
            visit.status = visit.status or _GONE
        except Exception as error:  # also what a route did not foresee: one shape for all
            problem = problem_of(error)
            self.refused(problem.code)
            await visit.refuse(problem)
        finally:
            self._running -= 1
            await self.note(visit, body, caller)

    def cap_of(self, method: str, path: str) -> int:
        """The most bytes that the body of a request may have."""
        raise NotImplementedError

    async def who(self, scope: Scope) -> Any:
        """The caller.

        Raises:
            Unauthorized: there is none. TooManyRequests: one that has asked too often.
        """
        raise NotImplementedError

    def refused(self, code: str) -> None:
        """A request was refused with a problem of this code."""

    async def note(self, visit: Visit, body: Body, caller: Any) -> None:
        """A request has ended."""
