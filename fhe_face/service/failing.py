"""Whatever fails in a route leaves as a problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from fhe_core.errors import Failure
from fhe_face.service.problems import MEDIA_TYPE, Problem, problem_of

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
#: What every route may answer with, for OpenAPI.
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: _PROBLEM for status in (401, 403, 404, 408, 409, 410, 411, 413, 415, 422, 429, 503, 507)
}


def fail_with_problems(app: FastAPI, refused: Callable[[str], None]) -> None:
    """Errors of an app's routes as problem+json; refused: told the code of each."""

    def respond(
        request: Request, problem: Problem, headers: Mapping[str, str] | None = None
    ) -> Response:
        refused(problem.code)
        body = problem.body(request.state.request_id)
        every = {**(headers or {}), **problem.headers()}
        return Response(body, problem.status, every, media_type=MEDIA_TYPE)

    def failed(request: Request, error: Exception) -> Response:
        return respond(request, problem_of(error))

    def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return respond(request, _invalid(error))

    def odd(request: Request, error: Exception) -> Response:
        """What the framework refuses; also what it wraps, such as a body that was cut off."""
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, Failure):
            return failed(request, error.__cause__)
        code = _CODES.get(error.status_code, "invalid")
        return respond(request, Problem(code, str(error.detail)), error.headers)

    app.add_exception_handler(Failure, failed)
    app.add_exception_handler(TimeoutError, failed)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, odd)


def _invalid(error: RequestValidationError) -> Problem:
    found = [{"where": _where(one["loc"]), "what": one["msg"]} for one in error.errors()[:10]]
    first = found[0] if found else {"where": "", "what": "invalid"}
    return Problem("invalid", f"{first['where']}: {first['what']}", more={"errors": found})


def _where(location: Sequence[Any]) -> str:
    """Where in a request; names that a client made up are cut short."""
    return ".".join(str(part)[:40] for part in location)[:200]
