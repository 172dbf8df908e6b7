"""``fhe-face studio``: the pipeline on a page, for one person at this machine."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fhe_core.secret.files import Passphrase
from fhe_face.commands.inputs import warn_of_little_memory
from fhe_face.extras import require_extra
from fhe_face.gallery.embedders import require_embedder
from fhe_face.gallery.gallery import Gallery
from fhe_face.network import BUNDLED
from fhe_face.output import Output
from fhe_face.studio.local import LocalEngine, Wanted

_PACKAGES = ("starlette", "uvicorn", "jinja2", "python_multipart")


@dataclass(frozen=True)
class Request:
    """What the options ask for. weights: None: the gallery's, or else the bundled ones; keys: a
    folder from keygen, None: fresh keys; gallery: a folder, None: one that is not kept."""

    weights: Path | None
    keys: Path | None
    keys_passphrase: Passphrase
    gallery: Path | None
    gallery_passphrase: Passphrase
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
        engine = LocalEngine(Wanted(weights, keys, ask, request.threads, output.warn, views))
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


def _opened(request: Request, output: Output) -> Gallery | None:
    """The gallery that is there already."""
    if request.gallery is None or not request.gallery.exists():
        return None
    return Gallery.open(
        request.gallery,
        passphrase=request.gallery_passphrase,
        threads=request.threads,
        warn=output.warn,
    )


def _weights_of(gallery: Gallery | None) -> Path:
    named = None if gallery is None else gallery.settings.weights
    return Path(BUNDLED if named is None else named)


def _tell(url: str, browser: bool, output: Output) -> None:
    print(url, flush=True)
    output.note("The address lets one browser in, once. Ctrl-C closes the studio.")
    if browser:
        webbrowser.open(url)
