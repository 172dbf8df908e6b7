"""The listening side: who may be listened to, TLS, and connections that say nothing."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import ssl
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import h11
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from fhe_core.files import shown
from fhe_face.failures import UsageError
from fhe_face.service.problems import Problem
from fhe_face.service.visits import Visit

#: From the first byte of a request to the end of its headers.
HEADER_SECONDS: Final = 10.0
_KEEP_ALIVE_SECONDS: Final = 15
_BACKLOG: Final = 256
#: Requests that run when the service is asked to end may go on for so long.
_FAREWELL_SECONDS: Final = 20
#: Connections, of which most are silent, for each request that may run.
_CONNECTIONS: Final = 4


@dataclass(frozen=True)
class Address:
    """Where to listen. certificate, key: files for TLS. proxy: a proxy with TLS stands before."""

    host: str = "127.0.0.1"
    port: int = 8443
    certificate: Path | None = None
    key: Path | None = None
    proxy: bool = False

    def check(self) -> None:
        """Refuse what would send tokens in the clear.

        Raises:
            UsageError: without TLS only this machine, or a proxy, may be listened to; or the files
                for TLS cannot be used.
        """
        if (self.certificate is None) != (self.key is None):
            raise UsageError("TLS needs both --tls-certificate and --tls-key")
        if self.certificate is not None and self.key is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            try:
                context.load_cert_chain(self.certificate, self.key, password=_no_password)
            except (OSError, ValueError) as error:
                raise UsageError(
                    f"cannot use {shown(self.certificate)} with {shown(self.key)} for TLS: "
                    f"{getattr(error, 'strerror', None) or error}"
                ) from error
        elif not self.proxy and not is_loopback(self.host):
            raise UsageError(
                f"listening on {self.host} without TLS would show tokens to the network: give "
                "--tls-certificate and --tls-key, or --behind-proxy where a proxy does that"
            )

    def bind(self) -> socket.socket:
        """A socket that listens. UsageError: the address is taken, or none of this machine's."""
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listening = socket.socket(family, kind, protocol)
            try:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listening.bind(place)
                listening.listen(_BACKLOG)
            except BaseException:
                listening.close()
                raise
        except OSError as error:
            raise UsageError(
                f"cannot listen on {self.host} port {self.port}: {error.strerror or error}"
            ) from error
        return listening

    @property
    def scheme(self) -> str:
        return "http" if self.certificate is None else "https"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _no_password() -> str:
    raise ValueError("the key is protected by a passphrase; give one without")


async def full(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers on connections that are too many: come again, on another one."""

    async def last(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    await Visit(scope, last).refuse(Problem("busy", "too many connections at once", 1.0))


class Patient(H11Protocol):
    """HTTP/1.1 for clients that say something: whoever starts no request in time is let go.

    most: connections, beyond which new ones are told to come again.
    """

    _waiting: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, most: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._most = most

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self.app = full
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of the headers, or no longer."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._waiting is None and self.timeout_keep_alive_task is None:
            self._waiting = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _forget(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()


class Announcing(uvicorn.Server):
    """A server that says when it listens: on stdout, and to systemd."""

    def __init__(self, config: uvicorn.Config, address: Address) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell."""
        await super().startup(sockets)
        if self.started and sockets:
            name = sockets[0].getsockname()
            host = f"[{name[0]}]" if ":" in name[0] else name[0]
            print(f"listening on {self._address.scheme}://{host}:{name[1]}", flush=True)
            notify("READY=1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell, and end."""
        notify("STOPPING=1")
        await super().shutdown(sockets)


def server_of(app: Any, address: Address, connections: int) -> Announcing:
    """The server of an app. connections: requests that may run at once."""
    config = uvicorn.Config(
        app,
        http=partial(Patient, most=_CONNECTIONS * connections),  # type: ignore[arg-type]
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_level="warning",
        access_log=False,  # paths hold names of tenants' things: the audit log has them
        server_header=False,
        proxy_headers=address.proxy,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_FAREWELL_SECONDS,
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
    )
    return Announcing(config, address)


def run_until_signal(server: Announcing, listening: socket.socket) -> None:
    """Until a signal says so: that is a good end, and no error."""
    try:
        server.run([listening])
    except (SystemExit, KeyboardInterrupt):
        if not server.should_exit or not server.started:
            raise


def log_events() -> None:
    """An event is a line on stderr; systemd adds times."""
    plain = "JOURNAL_STREAM" in os.environ
    form = "%(levelname)s %(message)s" if plain else "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(format=form, level=logging.INFO, stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def notify(state: str) -> None:
    """Tell systemd (Type=notify), where it started us; sd_notify(3)."""
    place = os.environ.get("NOTIFY_SOCKET")
    if not place:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + place[1:] if place.startswith("@") else place)
        channel.send(state.encode())
