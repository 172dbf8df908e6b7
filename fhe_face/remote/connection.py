"""Requests to one server: always verified, always bounded, tried again where that is safe.

TLS cannot be turned off: plain HTTP goes to this very machine only. Redirects are refused: the
token must not follow them. Proxies of the environment (HTTPS_PROXY, NO_PROXY) are honoured.
"""

from __future__ import annotations

import copy
import json
import os
import ssl
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final

import httpx

from fhe_core.files import one_line
from fhe_face.remote.address import checked_token, checked_url, is_loopback, tls_context
from fhe_face.remote.answers import Fields, parse, refusal
from fhe_face.remote.backoff import LONGEST_SECONDS, Backoff, retry_after
from fhe_face.remote.bodies import beginning, bounded
from fhe_face.remote.errors import BadAnswer, Refused, RemoteError, Unreachable

#: Of an answer in JSON; pages of templates are larger and say so.
JSON_BYTES: Final = 1 << 20
_PROBLEM_BYTES: Final = 64 << 10
#: Answers that say "later", and those that mean it only where they say when. Everything else would
#: be the same the next time.
_LATER: Final = frozenset((408, 502, 503, 504))
_LATER_IF_TOLD: Final = frozenset((409, 429))
_SAFE: Final = frozenset(("GET", "HEAD", "PUT", "DELETE"))
TIMEOUTS: Final = httpx.Timeout(connect=10.0, read=120.0, write=120.0, pool=60.0)

#: What is sent: bytes, or what gives them anew for every attempt, with their number.
Content = bytes | tuple[Callable[[], Iterable[bytes]], int]


@dataclass(frozen=True)
class Answer:
    """A whole answer. where: what was asked for, for messages."""

    status: int
    headers: httpx.Headers
    body: bytes
    where: str

    def fields(self) -> Fields:
        """The JSON object that it is. BadAnswer: it is none."""
        return Fields.of(parse(self.body, self.where), self.where)


class Connection:
    """To one server, with one token. Several threads may use it at once."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        ca: str | os.PathLike[str] | None = None,
        backoff: Backoff | None = None,
        timeouts: httpx.Timeout = TIMEOUTS,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """url: https://host[:port][/path]; http only for this machine.

        ca: a file of certificates (PEM) that alone may sign the server's; default: the system's.
        transport: in place of the network, for tests.

        Raises:
            LoginError: another URL, a token that cannot be one, or an unusable file.
        """
        self.url = checked_url(url)
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        headers = {"Accept-Encoding": "identity", "User-Agent": "fhe-face"}
        if token is not None:
            headers["Authorization"] = f"Bearer {checked_token(token)}"
        host = httpx.URL(self.url).host
        named = f"[{host}]" if ":" in host else host
        self._client = httpx.Client(
            base_url=self.url,
            headers=headers,
            verify=tls_context(ca),
            timeout=timeouts,
            follow_redirects=False,
            transport=transport,
            # A proxy would look for this machine on its own side.
            mounts={f"all://{named}": None} if is_loopback(host) else None,
        )

    def __repr__(self) -> str:
        return f"<Connection to {self.url}>"

    def hasty(self) -> Connection:
        """The same, that tries everything once only: for what must not take long."""
        once = copy.copy(self)
        once._backoff = replace(self._backoff, attempts=1)
        return once

    def close(self) -> None:
        """Close all sockets."""
        self._client.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- asking -----------------------------------------------------------------------------------

    def get(
        self, path: str, query: Mapping[str, str | int] | None = None, limit: int = JSON_BYTES
    ) -> Answer:
        """As `request`."""
        return self.request("GET", path, query=query, limit=limit)

    def put(
        self, path: str, content: Content = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """As `request`."""
        return self.request("PUT", path, content, headers=headers)

    def delete(self, path: str) -> Answer:
        """As `request`."""
        return self.request("DELETE", path)

    def post(
        self,
        path: str,
        document: Mapping[str, Any] | None = None,
        content: Content | None = None,
        limit: int = JSON_BYTES,
    ) -> Answer:
        """As `request`, with an Idempotency-Key, so that trying again does nothing twice."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        if document is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(document, allow_nan=False).encode()
        return self.request("POST", path, content or b"", headers=headers, limit=limit)

    def put_json(
        self, path: str, document: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Answer:
        """As `request`."""
        own = {**(headers or {}), "Content-Type": "application/json"}
        return self.put(path, json.dumps(document, allow_nan=False).encode(), own)

    def request(
        self,
        method: str,
        path: str,
        content: Content = b"",
        *,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = JSON_BYTES,
        again: bool = False,
    ) -> Answer:
        """Ask, and read the whole answer of at most `limit` bytes; again: as for `stream`.

        Raises:
            Refused: the server says no, or still "later" after all attempts.
            Unreachable: it does not answer, or its certificate is not valid.
            BadAnswer: it answers more than `limit` bytes, redirects, or compresses.
        """
        with self.stream(
            method, path, content, query=query, headers=headers, again=again
        ) as response:
            body = bounded(response, limit, _where(method, path))
            return Answer(response.status_code, response.headers, body, _where(method, path))

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        content: Content = b"",
        *,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool = False,
        silence: float | None = None,
    ) -> Iterator[httpx.Response]:
        """As `request`, with an answer that is read in the block; errors there are not retried.

        again: what is asked for changes nothing, so that it may be asked again, also by POST.
        silence: seconds without a byte after which a server is given up; None: as always.
        """
        where = _where(method, path)
        given = dict(headers or {})
        again = again or method in _SAFE or "Idempotency-Key" in given
        response = self._sent(method, path, content, query, given, again, where, silence)
        try:
            yield response
        except httpx.HTTPError as error:
            raise _unreachable(where, error) from error
        finally:
            response.close()

    def _sent(
        self,
        method: str,
        path: str,
        content: Content,
        query: Mapping[str, str | int] | None,
        headers: dict[str, str],
        again: bool,
        where: str,
        silence: float | None,
    ) -> httpx.Response:
        """The response to the first attempt that is not to be repeated."""
        attempt = 0
        while True:
            attempt += 1
            last = not again or attempt >= self._backoff.attempts
            asked: float | None = None
            problem: RemoteError
            try:
                request = self._client.build_request(
                    method,
                    path,
                    content=content if isinstance(content, bytes) else content[0](),
                    params=dict(query) if query else None,
                    headers=headers | _length(content),
                    timeout=self._timeouts(silence),
                )
                response = self._client.send(request, stream=True)
            except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
                problem = _unreachable(where, error)
                if last or _is_final(error):
                    raise problem from error
            else:
                refused = self._checked(response, where)
                if refused is None:
                    return response
                problem = refused
                asked = retry_after(response.headers.get("retry-after"))
                if isinstance(refused, Refused):
                    refused.after = asked
                if last or not _passes(response.status_code, asked):
                    raise problem
            self._sleep(self._backoff.wait(attempt, asked))

    def _timeouts(self, silence: float | None) -> httpx.Timeout:
        usual = self._client.timeout
        if silence is None:
            return usual
        limits = usual.as_dict()
        return httpx.Timeout(**{**limits, "read": silence})

    def _checked(self, response: httpx.Response, where: str) -> RemoteError | None:
        """What is wrong with an answer; it is closed then."""
        code = response.status_code
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        try:
            if encoding not in ("", "identity"):
                return BadAnswer(f"{where}: the server compresses its answer, unasked")
            if 200 <= code < 300:
                return None
            if 300 <= code < 400 or code < 200:
                return BadAnswer(
                    f"{where}: the server sends the request elsewhere (HTTP {code}), which is not "
                    "followed: log in at the address itself"
                )
            body = beginning(response, _PROBLEM_BYTES)
            return refusal(code, response.headers.get("content-type", ""), body, where)
        finally:
            if not 200 <= code < 300 or encoding not in ("", "identity"):
                response.close()


def _passes(status: int, asked: float | None) -> bool:
    """Whether waiting helps."""
    if asked is None:
        return status in _LATER
    return asked <= LONGEST_SECONDS and status in _LATER | _LATER_IF_TOLD


def _length(content: Content) -> dict[str, str]:
    return {} if isinstance(content, bytes) else {"Content-Length": str(content[1])}


def _where(method: str, path: str) -> str:
    return one_line(f"{method} /{path.lstrip('/')}", 200)


def _is_final(error: Exception) -> bool:
    """Whether trying again cannot help: a certificate that is not valid, a URL that is none."""
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return True
    text = str(error)
    return isinstance(error, ssl.SSLError) or "CERTIFICATE_VERIFY_FAILED" in text


def _unreachable(where: str, error: Exception) -> Unreachable:
    text = one_line(str(error), 300) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        text += "; --ca FILE names who signed it, where that is an authority of your own"
    return Unreachable(f"{where}: the server cannot be reached: {text}")
