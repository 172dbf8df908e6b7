"""The studio on this machine only: one socket on the loopback, one person."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from typing import Final

import uvicorn

from fhe_core.files import FileError
from fhe_face.gallery.gallery import Gallery
from fhe_face.studio.app import make_app
from fhe_face.studio.engine import Engine
from fhe_face.studio.guard import Access
from fhe_face.studio.state import Studio

HOST: Final = "127.0.0.1"
#: A browser's open streams must not keep the program from ending.
_PATIENCE_SECONDS: Final = 1


def serve(
    engine: Engine, gallery: Gallery | None, port: int, opened: Callable[[str], object]
) -> None:
    """Serve until the program is told to end. port: 0 takes one that is free; opened: is given
    the address, with the token that lets one browser in. The gallery is closed at the end.

    Raises:
        FileError: the port is taken.
    """
    with closing(bound(port)) as listening:
        number = listening.getsockname()[1]
        studio = Studio(engine, Access(number), gallery)
        try:
            studio.readiness.start()
            server = uvicorn.Server(configuration(studio))
            opened(f"http://{HOST}:{number}/open?token={studio.access.token}")
            server.run([listening])
        finally:
            studio.close()


def configuration(studio: Studio) -> uvicorn.Config:
    """Of the web server: silent, and without what could say more than the page."""
    return uvicorn.Config(
        make_app(studio),
        access_log=False,
        date_header=False,
        server_header=False,
        proxy_headers=False,
        log_level="warning",
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
    )


def bound(port: int) -> socket.socket:
    """A socket of this machine that no other can reach.

    Raises:
        FileError: the port is taken, or may not be used.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen()  # the browser may come before the web server is up
    except OSError as error:
        listening.close()
        raise FileError(
            f"port {port} cannot be used ({error.strerror}); --port 0 finds a free one"
        ) from None
    return listening
