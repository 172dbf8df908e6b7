"""One request from its beginning to its end, whatever answers it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Message, Scope, Send

from fhe_face.service.problems import MEDIA_TYPE, Problem

_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
#: What the framework says in plain text about a Range header; no route of ours does.
_RANGES: Final = (400, 416)


@dataclass
class Visit:
    """One request, from its beginning to its end."""

    scope: Scope
    send: Send
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    began: float = field(default_factory=time.monotonic)
    status: int = 0
    replaced: bool = False

    @property
    def seconds(self) -> float:
        """Since its beginning."""
        return time.monotonic() - self.began

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
