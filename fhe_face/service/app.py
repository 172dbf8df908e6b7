"""The HTTP app: every route, behind one gate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp

from fhe_face import __version__
from fhe_face.service.context import Context
from fhe_face.service.failing import REFUSALS, fail_with_problems
from fhe_face.service.gate import Gate
from fhe_face.service.routes import blocks, galleries, jobs, replacing, system
from fhe_face.service.routes.files import files_router
from fhe_face.service.rows import Room

_ABOUT: Final = """Face embeddings and sealed galleries, computed on ciphertexts. The server holds
no key that decrypts. Files are containers (docs/format.md) and are sent by section: PUT the header,
then what the answer lists as missing. Errors are problem+json with a `code` that never changes."""
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
        responses=REFUSALS,
        dependencies=[Security(HTTPBearer(auto_error=False))],
        lifespan=lifespan or _nothing,
    )
    app.state.context = context
    for module in (system, jobs, galleries, blocks, replacing):
        app.include_router(module.router)
    for room in Room:
        app.include_router(files_router(room))
    fail_with_problems(app, context.metrics.refused)
    return Gate(app, context, open_docs)


@asynccontextmanager
async def _nothing(_app: FastAPI) -> AsyncIterator[None]:
    yield
