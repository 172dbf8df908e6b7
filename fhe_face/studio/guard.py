"""Who may ask: this machine's browser, by this page, after the token of the terminal.

Any site that a person visits can send requests to a port of this machine. So every request must
name this page's host (against DNS rebinding) and carry the session's cookie; one that changes
something must come from this page (Origin, and a token in a header, against forged requests) and
say how long it is before it is read.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Of a request, photos included.
MAX_BODY: Final = 64 << 20
CSRF_HEADER: Final = "x-studio"
_SAFE: Final = ("GET", "HEAD")
#: What needs no session: the exchange of the token, and the look of the page that refuses.
_OPEN: Final = ("/open", "/static/")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Access:
    """The one-time token of the terminal, and the session that it is exchanged for."""

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(32)
        self.csrf = secrets.token_urlsafe(32)
        self.cookie = f"fhe-face-studio-{port}"  # cookies do not tell ports apart
        self.hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self._session = secrets.token_urlsafe(32)
        self._lock = threading.Lock()
        self._used = False

    def exchange(self, token: str) -> str | None:
        """The session for the token, once; None for another token, or a second time."""
        with self._lock:
            right = secrets.compare_digest(token.encode(), self.token.encode())
            if not right or self._used:
                return None
            self._used = True
            return self._session

    def knows(self, session: str) -> bool:
        """Whether that is the session."""
        return self._used and secrets.compare_digest(session.encode(), self._session.encode())


class Guard:
    """Refuses what does not come from the page; adds headers to all that is answered."""

    def __init__(self, app: App, access: Access, refuse: Callable[[int, str, Scope], App]) -> None:
        """refuse: makes the page that says why, of a status and a sentence."""
        self._app, self._access, self._refuse = app, access, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope["method"], scope["path"], Headers(scope=scope))
        app = self._app if refused is None else self._refuse(*refused, scope)
        await app(scope, receive, _with_headers(send, scope["path"]))

    def _refused(self, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        """A status and a sentence, where a request is not taken."""
        access = self._access
        if headers.getlist("host") not in [[host] for host in access.hosts]:
            return 421, "This page has another address: open the one that the terminal shows."
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and path != "/open":
            return 403, "Another site may not ask this page for anything."
        if not path.startswith(_OPEN):
            cookies = cookie_parser(headers.get("cookie", ""))
            if not access.knows(cookies.get(access.cookie, "")):
                return (
                    403,
                    "Open the address that the terminal shows: it lets one browser in, once.",
                )
        return None if method in _SAFE else self._unsafe(headers)

    def _unsafe(self, headers: Headers) -> tuple[int, str] | None:
        """As `_refused`, for a request that changes something."""
        access = self._access
        if headers.getlist("origin") != [f"http://{headers['host']}"]:
            return 403, "Another site may not change anything here."
        sent = headers.get(CSRF_HEADER, "")
        if not secrets.compare_digest(sent.encode(), access.csrf.encode()):
            return 403, "This page is of an earlier run: load it again."
        length = headers.get("content-length", "0" if "transfer-encoding" not in headers else "")
        if not length.isascii() or not length.isdigit():
            return 411, "A request must say how long it is."
        if int(length) > MAX_BODY:
            return (
                413,
                f"That is more than {MAX_BODY >> 20} MB at once: choose smaller or fewer photos.",
            )
        return None


def _with_headers(send: Send, path: str) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            cached = "no-cache" if path.startswith("/static/") else "no-store"
            headers.setdefault("cache-control", cached)
        await send(message)

    return sending
