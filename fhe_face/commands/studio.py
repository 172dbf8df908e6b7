"""``fhe-face studio``: the pipeline on a page, for one person at this machine."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fhe_core.secret.files import Passphrase
from fhe_face.commands.inputs import warn_of_little_memory
from fhe_face.extras import require_extra
from fhe_face.gallery.embedders import require_embedder
from fhe_face.gallery.gallery import Gallery
from fhe_face.local.searching import search_apart
from fhe_face.network import BUNDLED
from fhe_face.output import Output
from fhe_face.studio.local import LocalEngine
from fhe_face.studio.network import Wanted

if TYPE_CHECKING:
    from fhe_face.studio.remote import RemoteEngine

_PACKAGES = ("starlette", "uvicorn", "jinja2", "python_multipart")


@dataclass(frozen=True)
class Request:
    """What the options ask for. weights: None: the gallery's, or else the bundled ones; keys: a
    folder from keygen, None: fresh keys; gallery: a folder, None: one that is not kept; server: a
    profile, None: a process on this machine."""

    weights: Path | None
    keys: Path | None
    keys_passphrase: Passphrase
    gallery: Path | None
    gallery_passphrase: Passphrase
    server: str | None
    port: int
    browser: bool
    threads: int


def run(request: Request, output: Output) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        MissingExtra: packages are missing.
        What weights, keys, gallery, detector and port raise that cannot be used.
    """
    require_extra("the studio", "client,studio", *_PACKAGES)
    from fhe_face.studio.serving import serve

    gallery = _opened(request, output)
    try:
        weights = request.weights or _weights_of(gallery)
        keys, ask = request.keys, request.keys_passphrase
        views = 2 if gallery is not None and gallery.facts.preparation.flip else 1
        wanted = Wanted(weights, keys, ask, request.threads, output.warn, views)
        engine = _engine(wanted, request.server)
        if request.server is None:
            warn_of_little_memory(output, engine.circuits.keys(), engine.circuits.parameters)
        if gallery is not None:
            require_embedder(engine.clear, gallery.facts)
        elif request.gallery is not None:
            gallery = engine.gallery(request.gallery)
    except BaseException:
        if gallery is not None:
            gallery.close()
        raise
    with suppress(KeyboardInterrupt):  # the usual end
        serve(engine, gallery, request.port, lambda url: _tell(url, request.browser, output))
    output.note("The studio is closed.")


def _engine(wanted: Wanted, profile: str | None) -> LocalEngine | RemoteEngine:
    """What computes on encrypted faces.

    Raises:
        LoginError: there is no such profile. Refused: the server does not know the token.
    """
    if profile is None:
        return LocalEngine(wanted)
    require_extra("a server", "remote", "httpx")
    from fhe_face.remote.login import about, load
    from fhe_face.studio.remote import RemoteEngine

    connection = load(profile).connect()
    try:
        about(connection)  # what cannot work is told before a page is opened
        return RemoteEngine(wanted, connection)
    except BaseException:
        connection.close()
        raise


def _opened(request: Request, output: Output) -> Gallery | None:
    """The gallery that is there already."""
    if request.gallery is None or not request.gallery.exists():
        return None
    found = Gallery.open(
        request.gallery,
        passphrase=request.gallery_passphrase,
        threads=request.threads,
        warn=output.warn,
    )
    search_apart(found)
    return found


def _weights_of(gallery: Gallery | None) -> Path:
    named = None if gallery is None else gallery.settings.weights
    return Path(BUNDLED if named is None else named)


def _tell(url: str, browser: bool, output: Output) -> None:
    print(url, flush=True)
    output.note("The address lets one browser in, once. Ctrl-C closes the studio.")
    if browser:
        webbrowser.open(url)
