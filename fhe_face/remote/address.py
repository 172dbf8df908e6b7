"""Where a server is, and what it is asked with: checked before anything is sent."""

from __future__ import annotations

import ipaddress
import os
import ssl

import httpx

from fhe_core.files import one_line, shown
from fhe_face.remote.errors import LoginError


def tls_context(ca: str | os.PathLike[str] | None) -> ssl.SSLContext:
    """Certificates are always verified, and names compared."""
    try:
        return ssl.create_default_context(cafile=None if ca is None else os.fspath(ca))
    except (OSError, ValueError) as error:
        raise LoginError(f"{shown(ca or '')}: holds no certificates that can be used") from error


def is_loopback(host: str) -> bool:
    """Whether a host is this very machine by its name alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def checked_url(url: str) -> str:
    """The address of a server, without a slash at its end.

    Raises:
        LoginError: it is no address, has parts that it must not have, or would send the token in
            the clear over a network.
    """
    try:
        parsed = httpx.URL(url.strip())
        plain = not (parsed.userinfo or parsed.query or parsed.fragment) and parsed.host
    except (httpx.InvalidURL, ValueError, TypeError):
        raise LoginError(f"{one_line(url, 100)!r} is no address: https://host[:port]") from None
    if not plain or parsed.scheme not in ("https", "http"):
        raise LoginError(f"{one_line(url, 100)!r} is no address of a server: https://host[:port]")
    if parsed.scheme == "http" and not is_loopback(parsed.host):
        raise LoginError(
            f"{one_line(url, 100)}: plain HTTP would send the token in the clear; use https://"
        )
    return str(parsed).rstrip("/")


def checked_token(token: str, what: str = "that") -> str:
    """A token as it may stand in a header; what: it is called. LoginError: it is none."""
    if not (
        token.isascii() and token.isprintable() and " " not in token and 16 <= len(token) <= 512
    ):
        raise LoginError(f"{what} is no token: it is one line such as fhe_..., without spaces")
    return token
