"""The page on which two photos are compared."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from fhe_face.photos.image_error import ImageError
from fhe_face.studio.drawn import portraits
from fhe_face.studio.events import events
from fhe_face.studio.jobs import Job, sentence
from fhe_face.studio.rendering import Renderer
from fhe_face.studio.state import SIDES, Studio
from fhe_face.studio.uploads import FormError, read_form

COMPARE = "compare"


class ComparePages:
    """Photos, the comparison, its progress."""

    def __init__(self, studio: Studio, renderer: Renderer) -> None:
        self._studio, self._renderer = studio, renderer

    def routes(self) -> list[Route]:
        """Addresses of this page, and those of jobs, which all pages have."""
        return [
            Route("/", self.show, methods=["GET"]),
            Route("/photos/drawn", self.drawn, methods=["POST"]),
            Route("/photos/{side}", self.choose, methods=["POST"]),
            Route("/photos/{side}", self.remove, methods=["DELETE"]),
            Route("/compare", self.compare, methods=["POST"]),
            Route("/jobs/cancel", self.cancel, methods=["POST"]),
            Route("/jobs/{id}/events", self.events, methods=["GET"]),
        ]

    async def show(self, _request: Request) -> Response:
        """The whole page."""
        return self._html("compare.html", page=COMPARE)

    async def choose(self, request: Request) -> Response:
        """A photo for a side: what was found in it."""
        side = _side(request)
        form = await read_form(request)
        if len(form.photos) != 1:
            raise FormError("one photo belongs here")
        name, content = form.photos[0]
        await run_in_threadpool(self._put, side, content, name)
        return self._photo(side)

    async def remove(self, request: Request) -> Response:
        """No photo on a side."""
        side = _side(request)
        self._studio.put(side, None)
        return self._photo(side)

    async def drawn(self, _request: Request) -> Response:
        """Two drawn portraits, for whoever has no photo at hand."""

        def draw() -> None:
            for side, pixels in zip(SIDES, portraits()[:2], strict=True):
                stream = io.BytesIO()
                Image.fromarray(pixels).save(stream, "PNG")
                self._put(side, stream.getvalue(), f"drawn-{side}.png")

        await run_in_threadpool(draw)
        return self._html("_photos.html")

    async def compare(self, request: Request) -> Response:
        """Begin the comparison."""
        form = await read_form(request)
        encrypted = self._studio.choose(form.texts.get("way", ""))
        looks = self._studio.both()
        comparing = self._studio.comparing
        job = Job(COMPARE)
        self._studio.desk.begin(job, lambda own: comparing.run(own, looks, encrypted))
        return self._html("_work.html", job=job)

    async def cancel(self, _request: Request) -> Response:
        """Give up what is under way; its events say when it has ended."""
        job = self._studio.desk.last
        if job is not None:
            job.cancel()
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        """What becomes of a job."""
        job = self._studio.desk.last
        if job is None or job.id != request.path_params["id"]:
            return self._renderer.refusal(404, "There is no such job any more.", fragment=False)
        render = self._pieces(job)
        return StreamingResponse(events(job, render), media_type="text/event-stream")

    def _pieces(self, job: Job) -> Callable[[str], str]:
        whole = "_work.html" if job.kind == COMPARE else "_gallery_work.html"

        def render(name: str) -> str:
            template = whole if name == "ended" else f"_{name}.html"
            return self._renderer.page(template, job=job, live=name == "ended")

        return render

    def _put(self, side: str, content: bytes, name: str) -> None:
        try:
            self._studio.put(side, self._studio.finder.of(content, name))
        except ImageError as error:
            self._studio.put(side, None, sentence(error))

    def _photo(self, side: str) -> Response:
        return self._html("_photo.html", side=side)

    def _html(self, template: str, **values: object) -> Response:
        return HTMLResponse(self._renderer.page(template, **values))


def _side(request: Request) -> str:
    side = str(request.path_params["side"])
    if side not in SIDES:
        raise FormError("there is no such side")
    return side
