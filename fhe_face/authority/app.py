"""The authority over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response, Security
from fastapi.security import HTTPBearer
from sqlalchemy import text
from starlette.types import ASGIApp, Scope

from fhe_face import __version__
from fhe_face.authority import words
from fhe_face.authority.authority import Authority
from fhe_face.authority.galleries import gallery_names
from fhe_face.authority.metrics import Metrics
from fhe_face.authority.models import About, Announced, Answer, Name
from fhe_face.authority.tokens import authenticate
from fhe_face.authority.words import Caller
from fhe_face.service.bodies import Body
from fhe_face.service.door import OPEN, Bounds, Door
from fhe_face.service.errors import Unauthorized
from fhe_face.service.failing import REFUSALS, fail_with_problems
from fhe_face.service.metrics import MEDIA_TYPE
from fhe_face.service.rates import Rates
from fhe_face.service.visits import Visit

_ABOUT: Final = """Holds a key that decrypts, and answers in words. A device announces its request,
whoever has the result hands it in, and the device is told match, uncertain, unknown or refused.
Errors are problem+json with a `code` that never changes."""
_RESULTS: Final = "/v1/results"
_JSON_BYTES: Final = 1 << 16
_THREADS: Final = 16

router = APIRouter()
Id = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


def authority_of(request: Request) -> Authority:
    """The process's authority."""
    found = request.app.state.authority
    assert isinstance(found, Authority)
    return found


def caller_of(request: Request) -> Caller:
    """Who asks, as the gate found out."""
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


Here = Annotated[Authority, Depends(authority_of)]
Asking = Annotated[Caller, Depends(caller_of)]


@router.get("/live")
def live() -> dict[str, bool]:
    """The process answers. Needs no token."""
    return {"live": True}


@router.get("/ready")
def ready(here: Here) -> dict[str, bool]:
    """The database answers. Needs no token."""
    with here.database.reading() as connection:
        connection.execute(text("SELECT 1"))
    return {"ready": True}


@router.get("/metrics", response_class=Response)
def metrics(caller: Asking, request: Request) -> Response:
    """For Prometheus. Needs the scope watch."""
    caller.require(words.Scope.WATCH)
    return Response(request.app.state.metrics.text(), media_type=MEDIA_TYPE)


@router.get("/v1/about")
def about(caller: Asking, here: Here) -> About:
    """The authority's version and keys (by their public ids), and what your token may do."""
    return About(
        name="fhe-face authority",
        version=__version__,
        api="v1",
        device=caller.device,
        scopes=sorted(scope.value for scope in caller.scopes),
        key=None if here.faces is None else here.faces.key_id,
        galleries=list(gallery_names(here.database)),
    )


@router.post("/v1/requests", status_code=201, response_model_exclude_none=True)
def announce(body: Announced, caller: Asking, here: Here) -> Answer:
    """Tell of a request before its result comes; the same again changes nothing."""
    request = here.announce(caller, body.question())
    return Answer(request=request.id, kind=request.question.kind.value, state=request.state.value)


@router.get("/v1/requests/{id}", response_model_exclude_none=True)
def answer(id: Id, caller: Asking, here: Here) -> Answer:
    """The answer to a request of this device."""
    return Answer.of(here.answer(caller, id))


@router.post(
    _RESULTS,
    response_model_exclude_none=True,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def deliver(request: Request, caller: Asking, here: Here) -> Answer:
    """Hand in a result. The device that has announced its request is told the answer."""
    data = await request.body()
    return Answer.of(await anyio.to_thread.run_sync(here.deliver, caller, data))


@router.delete("/v1/subjects/{subject}", status_code=204)
def end(subject: Annotated[Name, Path()], caller: Asking, here: Here) -> None:
    """No enrolled face of a subject is compared with any more."""
    here.end(caller, subject)


class Gate(Door):
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, authority: Authority, metrics: Metrics) -> None:
        policy = authority.policy
        bounds = Bounds(policy.connections, policy.idle_seconds, policy.body_seconds)
        super().__init__(app, bounds, OPEN)
        self._authority = authority
        self._metrics = metrics
        self._rates = Rates()
        self._threads = anyio.CapacityLimiter(_THREADS)

    def cap_of(self, method: str, path: str) -> int:
        """See `Door.cap_of`."""
        results = method == "POST" and path == _RESULTS
        return self._authority.policy.result_bytes if results else _JSON_BYTES

    def refused(self, code: str) -> None:
        """Count it."""
        self._metrics.refused(code)

    async def who(self, scope: Scope) -> Caller:
        """The caller, by the token."""
        told = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        try:
            caller = await anyio.to_thread.run_sync(
                authenticate, self._authority.database, told, limiter=self._threads
            )
        except Unauthorized:
            self._rates.wrong_token(scope["client"][0] if scope.get("client") else "-")
            raise
        self._rates.count(caller.device, self._authority.policy.calls_minute)
        return caller

    async def note(self, visit: Visit, body: Body, caller: Any) -> None:
        """Counters; what was asked and said is in the log already."""
        self._metrics.answered(visit.route, visit.status, visit.seconds, body.received)


def build_app(authority: Authority) -> ASGIApp:
    """The app of an authority."""
    app = FastAPI(
        title="fhe-face authority",
        version=__version__,
        description=_ABOUT,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        responses=REFUSALS,
        dependencies=[Security(HTTPBearer(auto_error=False))],
    )
    counters = Metrics(authority.database)
    app.state.authority = authority
    app.state.metrics = counters
    app.include_router(router)
    fail_with_problems(app, counters.refused)
    return Gate(app, authority, counters)
