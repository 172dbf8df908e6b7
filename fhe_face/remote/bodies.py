"""Reading the body of an answer, and never more of it than was allowed."""

from __future__ import annotations

import httpx

from fhe_face.remote.errors import BadAnswer


def bounded(response: httpx.Response, limit: int, where: str) -> bytes:
    """The body of at most so many bytes. BadAnswer: it is longer, or shorter than it says."""
    told = response.headers.get("content-length")
    if told is not None and (not told.isascii() or not told.isdigit() or len(told) > 18):
        raise BadAnswer(f"{where}: the server's answer has no possible length")
    if told is not None and int(told) > limit:
        raise BadAnswer(f"{where}: the server's answer has {told} bytes, at most {limit} allowed")
    parts: list[bytes] = []
    size = 0
    for part in response.iter_raw():
        size += len(part)
        if size > limit:
            raise BadAnswer(f"{where}: the server's answer has more than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def beginning(response: httpx.Response, limit: int) -> bytes:
    """As much of a body as can be had."""
    parts: list[bytes] = []
    size = 0
    try:
        for part in response.iter_raw():
            parts.append(part[: limit - size])
            size += len(parts[-1])
            if size >= limit:
                break
    except httpx.HTTPError:
        pass
    return b"".join(parts)
