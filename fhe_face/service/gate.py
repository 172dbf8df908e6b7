"""Who may come in, how often, and what is written down after a request."""

from __future__ import annotations

import logging

import anyio
from starlette.types import ASGIApp, Scope

from fhe_core.errors import Failure
from fhe_face.service.audit import Deed, write_deed
from fhe_face.service.bodies import Body, Caps
from fhe_face.service.context import Context
from fhe_face.service.door import OPEN, Bounds, Door
from fhe_face.service.errors import Unauthorized
from fhe_face.service.rows import Caller
from fhe_face.service.tenants import quotas_of
from fhe_face.service.tokens import authenticate
from fhe_face.service.visits import Visit

_log = logging.getLogger("fhe_face.service")


class Gate(Door):
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, context: Context, open_docs: bool = False) -> None:
        """open_docs: the description of the API needs no token."""
        settings = context.settings
        bounds = Bounds(settings.connections, settings.idle_seconds, settings.body_seconds)
        super().__init__(app, bounds, OPEN | {"/openapi.json"} if open_docs else OPEN)
        self.context = context
        self.caps = Caps.of(settings, context.circuits.gallery)

    def cap_of(self, method: str, path: str) -> int:
        """See `Door.cap_of`."""
        return self.caps.cap_of(method, path)

    def refused(self, code: str) -> None:
        """Count it."""
        self.context.metrics.refused(code)

    async def who(self, scope: Scope) -> Caller:
        """The caller, by the token."""
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

    async def note(self, visit: Visit, body: Body, caller: Caller | None) -> None:
        """Counters for every request; the audit log for those that change something or may not."""
        self.context.metrics.answered(visit.route, visit.status, visit.seconds, body.received)
        if not self._matters(visit, caller):
            return
        scope = visit.scope
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

    def _matters(self, visit: Visit, caller: Caller | None) -> bool:
        if visit.status in (401, 403):
            return True
        section = visit.route.endswith("/sections/{digest}") and visit.status < 400
        changes = visit.scope["method"] not in ("GET", "HEAD", "OPTIONS")
        return caller is not None and changes and not section and visit.status != 429
