"""Routes that answer the same request twice with the same answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from fhe_face.service.answers import LARGEST, Kept
from fhe_face.service.context import caller_of, context_of

HEADER: Final = "Idempotency-Key"
_KEPT: Final = ("content-type", "location")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Remembered(APIRoute):
    """A route whose POSTs may carry an Idempotency-Key."""

    def get_route_handler(self) -> Handler:
        """The route's handler, asked only for what is new."""
        original: Handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            key = request.headers.get(HEADER)
            if request.method != "POST" or key is None:
                return await original(request)
            return await _once(original, request, key)

        return handle


async def _once(original: Handler, request: Request, key: str) -> Response:
    answers, tenant = context_of(request).answers, caller_of(request).tenant
    body = await request.body()
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode() + body
    digest = hashlib.sha256(asked).hexdigest()
    kept = await run_in_threadpool(answers.claim, tenant, key, digest)
    if kept is not None:
        headers = {**kept.headers, "Idempotent-Replay": "true"}
        return Response(kept.body, kept.status, headers)
    keeping = False
    try:
        response = await original(request)
        content = getattr(response, "body", None)  # streams have none
        if isinstance(content, bytes) and len(content) <= LARGEST and response.status_code < 400:
            headers = {k: v for k, v in response.headers.items() if k in _KEPT}
            answer = Kept(response.status_code, headers, content)
            await run_in_threadpool(answers.keep, tenant, key, answer)
            keeping = True
        return response
    finally:
        if not keeping:
            await run_in_threadpool(answers.release, tenant, key)
