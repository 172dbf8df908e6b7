"""The HTTP app: every route, behind one gate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from fhe_core.errors import Failure
from fhe_face import __version__
from fhe_face.service.context import Context
from fhe_face.service.gate import Gate
from fhe_face.service.problems import MEDIA_TYPE, Problem, problem_of
from fhe_face.service.routes import blocks, galleries, jobs, replacing, system
from fhe_face.service.routes.files import files_router
from fhe_face.service.rows import Room

_ABOUT: Final = """Face embeddings and sealed galleries, computed on ciphertexts. The server holds
no key that decrypts. Files are containers (docs/format.md) and are sent by section: PUT the header,
then what the answer lists as missing. Errors are problem+json with a `code` that never changes."""
_CODES: Final = {404: "not-found", 405: "method-not-allowed"}
_PROBLEM: Final = {
    "description": "What went wrong; `code` is for programs.",
    "content": {
        MEDIA_TYPE: {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail", "code", "request"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "code": {"type": "string"},
                    "request": {"type": "string"},
                    "errors": {"type": "array", "items": {"type": "object"}},
                },
            },
            "example": {
                "type": "urn:fhe-face:not-here",
                "title": "Not here",
                "status": 404,
                "detail": "there is nothing of this name in keys",
                "code": "not-here",
                "request": "5f0c1b6f9b3e8a11",
            },
        }
    },
}
_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: _PROBLEM for status in (401, 403, 404, 408, 409, 410, 411, 413, 415, 422, 429, 503, 507)
}
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(
    context: Context, *, open_docs: bool = False, lifespan: Lifespan | None = None
) -> ASGIApp:
    """The app of a service.

    open_docs: /openapi.json needs no token. lifespan: what runs beside the app.
    """
    app = FastAPI(
        title="fhe-face",
        version=__version__,
        description=_ABOUT,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        responses=_REFUSALS,
        dependencies=[Security(HTTPBearer(auto_error=False))],
        lifespan=lifespan or _nothing,
    )
    app.state.context = context
    for module in (system, jobs, galleries, blocks, replacing):
        app.include_router(module.router)
    for room in Room:
        app.include_router(files_router(room))
    app.add_exception_handler(Failure, _failed)
    app.add_exception_handler(TimeoutError, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    return Gate(app, context, open_docs)


@asynccontextmanager
async def _nothing(_app: FastAPI) -> AsyncIterator[None]:
    yield


def _failed(request: Request, error: Exception) -> Response:
    return _response(request, problem_of(error))


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [{"where": _where(one["loc"]), "what": one["msg"]} for one in error.errors()[:10]]
    first = found[0] if found else {"where": "", "what": "invalid"}
    detail = f"{first['where']}: {first['what']}"
    return _response(request, Problem("invalid", detail, more={"errors": found}))


def _refused(request: Request, error: Exception) -> Response:
    """What the framework refuses; also what it wraps, such as a body that was cut off."""
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, Failure):
        return _failed(request, error.__cause__)
    code = _CODES.get(error.status_code, "invalid")
    return _response(request, Problem(code, str(error.detail)), error.headers)


def _response(
    request: Request, problem: Problem, headers: Mapping[str, str] | None = None
) -> Response:
    request.app.state.context.metrics.refused(problem.code)
    body = problem.body(request.state.request_id)
    return Response(
        body, problem.status, {**(headers or {}), **problem.headers()}, media_type=MEDIA_TYPE
    )


def _where(location: Sequence[Any]) -> str:
    """Where in a request; names that a client made up are cut short."""
    return ".".join(str(part)[:40] for part in location)[:200]
