"""The page with the gallery: enrol, identify, delete."""

from __future__ import annotations

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from fhe_face.studio.jobs import Job
from fhe_face.studio.people import MAX_NAME
from fhe_face.studio.rendering import Renderer
from fhe_face.studio.state import Studio
from fhe_face.studio.uploads import FormError, read_form

GALLERY = "gallery"
ENROL = "enrol"
IDENTIFY = "identify"


class GalleryPages:
    """All of the gallery's page."""

    def __init__(self, studio: Studio, renderer: Renderer) -> None:
        self._studio, self._renderer = studio, renderer

    def routes(self) -> list[Route]:
        """Addresses of this page."""
        return [
            Route("/gallery", self.show, methods=["GET"]),
            Route("/gallery/enrol", self.enrol, methods=["POST"]),
            Route("/gallery/identify", self.identify, methods=["POST"]),
            Route("/gallery/people/{id}", self.delete, methods=["DELETE"]),
        ]

    async def show(self, _request: Request) -> Response:
        """The whole page."""
        return self._html("gallery.html", page=GALLERY)

    async def enrol(self, request: Request) -> Response:
        """Begin to enrol somebody's photos."""
        form = await read_form(request)
        name = " ".join(form.texts.get("name", "").split())
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise FormError(f"a person needs a name of 1 to {MAX_NAME} characters")
        if not form.photos:
            raise FormError("choose at least one photo")
        encrypted, people = self._studio.choose(form.texts.get("way", "")), self._studio.people
        return self._begin(Job(ENROL), lambda job: people.enrol(job, name, form.photos, encrypted))

    async def identify(self, request: Request) -> Response:
        """Begin to look for the people on a photo."""
        form = await read_form(request)
        if len(form.photos) != 1:
            raise FormError("choose one photo")
        encrypted, people = self._studio.choose(form.texts.get("way", "")), self._studio.people
        return self._begin(
            Job(IDENTIFY), lambda job: people.identify(job, form.photos[0], encrypted)
        )

    async def delete(self, request: Request) -> Response:
        """Delete somebody."""
        id = str(request.path_params["id"])
        self._studio.desk.require_idle()
        await run_in_threadpool(self._studio.desk.call, lambda: self._studio.people.delete(id))
        return self._html("_people.html")

    def _begin(self, job: Job, work: Callable[[Job], object]) -> Response:
        self._studio.desk.begin(job, work)
        return self._html("_gallery_work.html", job=job)

    def _html(self, template: str, **values: object) -> Response:
        return HTMLResponse(self._renderer.page(template, **values))
