"""The page's addresses, put together."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from fhe_core.errors import Failure
from fhe_face.failures import USER_ERRORS, show_traceback
from fhe_face.studio.compare_pages import ComparePages
from fhe_face.studio.gallery_pages import GalleryPages
from fhe_face.studio.guard import App, Guard, Scope
from fhe_face.studio.jobs import DeskBusy, sentence
from fhe_face.studio.rendering import Renderer
from fhe_face.studio.state import Studio

#: Everything that may be asked for by name.
_STATIC: Final = {
    "studio.css": "text/css",
    "studio.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "htmx-sse.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "LICENSE.txt": "text/plain",
}


def make_app(studio: Studio) -> App:
    """The application, guarded; see `fhe_face.studio.guard`."""
    renderer = Renderer(studio)
    pages = _Pages(studio, renderer)
    routes = [
        Route("/open", pages.open, methods=["GET"]),
        Route("/static/{name}", pages.static, methods=["GET"]),
        Route("/pictures/{name}", pages.picture, methods=["GET"]),
        Route("/privacy", pages.privacy, methods=["GET"]),
        Route("/readiness", pages.readiness, methods=["GET"]),
        *ComparePages(studio, renderer).routes(),
        *GalleryPages(studio, renderer).routes(),
    ]
    inner = Starlette(
        routes=routes,
        exception_handlers={404: pages.missing, 405: pages.missing, Exception: pages.failed}
        | dict.fromkeys((kind for kind in USER_ERRORS), pages.failed),
    )

    def refuse(status: int, text: str, scope: Scope) -> App:
        return renderer.refusal(status, text, fragment=b"hx-request" in dict(scope["headers"]))

    return Guard(inner, studio.access, refuse)


class _Pages:
    """What belongs to no page in particular."""

    def __init__(self, studio: Studio, renderer: Renderer) -> None:
        self._studio, self._renderer = studio, renderer
        self._static = {
            name: files("fhe_face.studio").joinpath("static", name).read_bytes() for name in _STATIC
        }

    async def open(self, request: Request) -> Response:
        """The token for a session. Not a redirect: a strict cookie would not go with that where
        the address was opened by another page."""
        access = self._studio.access
        session = None
        if request.method == "GET":
            session = access.exchange(request.query_params.get("token", ""))
        if session is None:
            text = (
                "This address was used already, or is of an earlier run: start fhe-face studio "
                "again for a new one."
            )
            return HTMLResponse(self._renderer.page("refused.html", text=text), 403)
        response = HTMLResponse(self._renderer.page("opening.html"))
        response.set_cookie(access.cookie, session, httponly=True, samesite="strict", path="/")
        return response

    async def static(self, request: Request) -> Response:
        """A file of the package, of a fixed list."""
        name = request.path_params["name"]
        if name not in self._static:
            return self._not_here(request)
        return Response(self._static[name], media_type=_STATIC[name])

    async def picture(self, request: Request) -> Response:
        """A picture of this session."""
        found = self._studio.pictures.get(request.path_params["name"])
        if found is None:
            return self._not_here(request)
        kind, content = found
        return Response(content, media_type=kind)

    async def privacy(self, _request: Request) -> Response:
        """Who sees what."""
        return HTMLResponse(self._renderer.page("privacy.html", page="privacy"))

    async def readiness(self, _request: Request) -> Response:
        """Whether keys and server are ready; asked for again and again until they are."""
        return HTMLResponse(self._renderer.page("_readiness.html"))

    async def missing(self, request: Request, _error: Exception) -> Response:
        """No such page, or not in this way."""
        return self._not_here(request)

    async def failed(self, request: Request, error: Exception) -> Response:
        """One sentence; where the program is at fault, it says so."""
        show_traceback(error)
        known = isinstance(error, USER_ERRORS)
        status = 409 if isinstance(error, DeskBusy) else 422 if known else 500
        if not isinstance(error, Failure) and known:
            status = 500
        text = await run_in_threadpool(sentence, error)
        return self._answer(request, status, text)

    def _not_here(self, request: Request) -> Response:
        return self._answer(request, 404, "There is nothing here.")

    def _answer(self, request: Request, status: int, text: str) -> Response:
        return self._renderer.refusal(status, text, fragment="hx-request" in request.headers)
