"""What every request passes before a route sees it, and what is written down after it.

In this order, so that little is spent on whoever may not come in: an id, the token, the tenant's
rate, the body's headers; then the body, counted as it comes.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhe_core.errors import Failure
from fhe_face.service.audit import Deed, write_deed
from fhe_face.service.bodies import Body, Caps
from fhe_face.service.context import Context
from fhe_face.service.errors import Busy, Unauthorized
from fhe_face.service.problems import MEDIA_TYPE, Problem, problem_of
from fhe_face.service.rows import Caller
from fhe_face.service.tenants import quotas_of
from fhe_face.service.tokens import authenticate

#: Who may ask without a token: whether the service is alive says nothing about anybody.
OPEN: Final = frozenset(("/live", "/ready"))
_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
#: What the framework says in plain text about a Range header; no route of ours does.
_RANGES: Final = (400, 416)
#: Of a client that went away in its own request; nobody gets this status.
_GONE: Final = 499
_log = logging.getLogger("fhe_face.service")


@dataclass
class Visit:
    """One request, from its beginning to its end."""

    scope: Scope
    send: Send
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    began: float = field(default_factory=time.monotonic)
    caller: Caller | None = None
    status: int = 0
    replaced: bool = False

    @property
    def route(self) -> str:
        """The route's template; what no route has matched is one."""
        path = getattr(self.scope.get("route"), "path", None)
        return path if isinstance(path, str) else "-"

    async def answer(self, message: Message) -> None:
        """Send, and remember what was said. Ranges that do not exist are problems, too."""
        if self.replaced:
            return
        if message["type"] == "http.response.start":
            plain = dict(message.get("headers", [])).get(b"content-type", b"").startswith(b"text/")
            if message["status"] in _RANGES and plain:
                await self.refuse(Problem("range", "the file has no such range"))
                self.replaced = True
                return
            self.status = message["status"]
            given = {name.lower() for name, _ in message.get("headers", [])}
            more = [pair for pair in _SECURITY if pair[0] not in given]
            more.append((b"x-request-id", self.request_id.encode()))
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await self.send(message)

    async def refuse(self, problem: Problem) -> None:
        """Send a problem, unless the answer has begun."""
        if self.status:
            return
        body = problem.body(self.request_id)
        headers = {"Content-Type": MEDIA_TYPE, **problem.headers()}
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        pairs.append((b"content-length", str(len(body)).encode()))
        await self.answer(
            {"type": "http.response.start", "status": problem.status, "headers": pairs}
        )
        await self.answer({"type": "http.response.body", "body": body})


class Gate:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, context: Context, open_docs: bool = False) -> None:
        """open_docs: the description of the API needs no token."""
        self.app = app
        self.context = context
        self.caps = Caps.of(context.settings, context.circuits.gallery)
        self._running = 0
        self.open = OPEN | {"/openapi.json"} if open_docs else OPEN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = Visit(scope, send)
        self._running += 1
        settings, cap = self.context.settings, self.caps.cap_of(scope["method"], scope["path"])
        body = Body(receive, cap, settings.idle_seconds, settings.body_seconds)
        state = scope.setdefault("state", {})
        state["request_id"] = visit.request_id
        try:
            if self._running > settings.connections and scope["path"] not in self.open:
                raise Busy("too many requests at once", 1.0)
            visit.caller = await self._who(scope)
            state["caller"] = visit.caller
            body.check(dict(scope["headers"]))
            await self.app(scope, body, visit.answer)
        except ClientDisconnect:
            visit.status = visit.status or _GONE
        except Exception as error:  # also what a route did not foresee: one shape for all
            problem = problem_of(error)
            self.context.metrics.refused(problem.code)
            await visit.refuse(problem)
        finally:
            self._running -= 1
            await self._note(visit, body)

    async def _who(self, scope: Scope) -> Caller | None:
        """The caller; None where nobody needs to be known."""
        if scope["path"] in self.open:
            return None
        address = scope["client"][0] if scope.get("client") else "-"
        headers = dict(scope["headers"])
        rates, database = self.context.rates, self.context.service.database

        def look() -> tuple[Caller, int]:
            told = headers.get(b"authorization", b"").decode("latin-1")
            caller = authenticate(database, told)
            quotas = quotas_of(database, caller.tenant)
            return caller, 0 if quotas is None else quotas.requests

        try:
            caller, per_minute = await anyio.to_thread.run_sync(look, limiter=self.context.threads)
        except Unauthorized:
            rates.wrong_token(address)
            raise
        rates.count(caller.tenant, per_minute)
        return caller

    async def _note(self, visit: Visit, body: Body) -> None:
        """Counters for every request; the audit log for those that change something or may not."""
        seconds = time.monotonic() - visit.began
        self.context.metrics.answered(visit.route, visit.status, seconds, body.received)
        if not self._matters(visit):
            return
        caller, scope = visit.caller, visit.scope
        deed = Deed(
            caller.tenant if caller else "",
            caller.token if caller else "",
            f"{scope['method']} {visit.route}",
            scope["path"],
            visit.status,
            visit.request_id,
        )
        try:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(
                    write_deed, self.context.service.database, deed, limiter=self.context.threads
                )
        except Failure as error:
            _log.error("the audit log cannot be written: %s", error)

    def _matters(self, visit: Visit) -> bool:
        if visit.status in (401, 403):
            return True
        section = visit.route.endswith("/sections/{digest}") and visit.status < 400
        changes = visit.scope["method"] not in ("GET", "HEAD", "OPTIONS")
        return visit.caller is not None and changes and not section and visit.status != 429
