"""Requests: verified, bounded, tried again where that is safe; nothing else is raised."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from fhe_face.remote.answers import Fields
from fhe_face.remote.backoff import Backoff, retry_after
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import BadAnswer, LoginError, Refused, Unreachable
from fhe_face.remote.login import about
from tests.remote.fake import TOKEN, URL, Fake, problem

Answer = httpx.Response | Exception


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def saying(*answers: Answer) -> Callable[[httpx.Request], httpx.Response | None]:
    """A hook that gives these answers, and then none."""
    left = list(answers)

    def hook(_request: httpx.Request) -> httpx.Response | None:
        if not left:
            return None
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return hook


def test_the_server_is_asked_with_the_token(fake: Fake) -> None:
    assert about(fake.connect()).tenant == "t"
    with pytest.raises(Refused, match="log in again") as caught:
        about(fake.connect("fhe_" + "x" * 43))
    assert caught.value.status == 401
    assert caught.value.problem == "unauthorized"
    assert "xxx" not in str(caught.value) + repr(fake.connect())


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        problem(503, "busy"),
        problem(502, "proxy"),
        problem(429, "too-many-requests", headers={"retry-after": "7"}),
        problem(409, "section-in-progress", headers={"retry-after": "1"}),
    ],
)
def test_what_passes_is_tried_again(fake: Fake, answer: Answer) -> None:
    fake.before.append(saying(answer, answer))
    assert about(fake.connect()).tenant == "t"
    assert len(fake.calls) == 3
    asked = answer.headers.get("retry-after") if isinstance(answer, httpx.Response) else None
    if asked is not None:
        assert all(int(asked) <= wait <= int(asked) + 1 for wait in fake.waits)
    else:
        assert 0 < fake.waits[0] < 1 < fake.waits[1] * 2 <= 2


@pytest.mark.parametrize(
    "answer",
    [
        problem(404, "not-here"),
        problem(429, "over-quota"),
        problem(409, "conflict"),
        problem(503, "busy", headers={"retry-after": "99999"}),
        problem(422, "corrupt"),
    ],
)
def test_what_does_not_pass_is_told_at_once(fake: Fake, answer: httpx.Response) -> None:
    fake.before.append(saying(answer))
    with pytest.raises(Refused) as caught:
        about(fake.connect())
    assert caught.value.status == answer.status_code
    assert caught.value.problem == answer.json()["code"]
    assert fake.waits == []


def test_it_gives_up_in_the_end(fake: Fake) -> None:
    fake.before.append(lambda _request: problem(503, "busy", "come back"))
    with pytest.raises(Refused, match="come back"):
        about(fake.connect(attempts=4))
    assert len(fake.calls) == 4
    assert len(fake.waits) == 3


def test_a_post_without_a_key_is_sent_once(fake: Fake) -> None:
    fake.before.append(saying(httpx.ReadTimeout("slow")))
    with pytest.raises(Unreachable):
        fake.connect().request("POST", "v1/embeddings", b"{}")
    assert len(fake.calls) == 1


def test_a_post_keeps_its_key_when_it_is_repeated(fake: Fake) -> None:
    keys: list[str] = []

    def hook(request: httpx.Request) -> httpx.Response | None:
        keys.append(request.headers["idempotency-key"])
        return problem(503, "busy") if len(keys) < 3 else httpx.Response(200, json={})

    fake.before.append(hook)
    fake.connect().post("v1/embeddings", {"a": 1})
    fake.connect().post("v1/embeddings", {"a": 1})
    assert keys[0] == keys[1] == keys[2] != keys[3]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(fake: Fake, status: int) -> None:
    seen: list[str] = []

    def hook(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(status, headers={"location": "https://elsewhere.test/"})

    fake.before.append(hook)
    with pytest.raises(BadAnswer, match="elsewhere"):
        about(fake.connect())
    assert seen == [f"{URL}/v1/about"]


class Endless(httpx.SyncByteStream):
    """A body that never ends; counts what was taken of it."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.taken += 1 << 16
            yield b"x" * (1 << 16)


def test_an_endless_answer_is_left(fake: Fake) -> None:
    body = Endless()
    fake.before.append(lambda _request: httpx.Response(200, stream=body))
    with pytest.raises(BadAnswer, match="more than 1048576 bytes"):
        about(fake.connect())
    assert body.taken <= 2 << 20


def test_an_endless_refusal_is_left(fake: Fake) -> None:
    body = Endless()
    fake.before.append(lambda _request: httpx.Response(404, stream=body))
    with pytest.raises(Refused):
        about(fake.connect())
    assert body.taken <= 1 << 17


@pytest.mark.parametrize(
    "headers",
    [{"content-length": "99999999999"}, {"content-encoding": "gzip"}, {"content-length": "-1"}],
)
def test_announced_sizes_and_codings_are_refused(fake: Fake, headers: dict[str, str]) -> None:
    body = Endless()
    fake.before.append(lambda _request: httpx.Response(200, headers=headers, stream=body))
    with pytest.raises(BadAnswer):
        about(fake.connect())
    assert body.taken == 0


def test_texts_of_the_server_are_one_printable_line(fake: Fake) -> None:
    fake.before.append(lambda _r: problem(400, "invalid", "a\n\x1b[31m\u202e" + "b" * 9999))
    with pytest.raises(Refused) as caught:
        about(fake.connect())
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"nope", b"[" * 10**5, b'{"api": NaN}', b'{"api": "v2"}', b"\xff\xfe"]
)
def test_what_is_no_answer_is_told(fake: Fake, body: bytes) -> None:
    fake.before.append(lambda _request: httpx.Response(200, content=body))
    with pytest.raises(BadAnswer) as caught:
        about(fake.connect())
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://server.test", "in the clear"),
        ("ftp://server.test", "no address"),
        ("server.test", "no address"),
        ("https://user:secret@server.test", "no address"),
        ("https://server.test?token=x", "no address"),
        ("https://", "no address"),
        ("https://[::1", "no address"),
    ],
)
def test_addresses_that_are_refused(url: str, said: str) -> None:
    with pytest.raises(LoginError, match=said):
        Connection(url, TOKEN)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8443", "http://[::1]:1", "http://localhost:2/"])
def test_plain_http_stays_on_this_machine(url: str) -> None:
    with Connection(url, TOKEN) as connection:
        assert connection.url == url.rstrip("/")


@pytest.mark.parametrize(
    "token", ["", "short", "fhe_ with spaces and more", "fhe_\n" + "x" * 40, "é" * 40]
)
def test_tokens_that_are_none(token: str) -> None:
    with pytest.raises(LoginError):
        Connection(URL, token)


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(LoginError, match=r"ca\.pem"):
        Connection(URL, TOKEN, ca=file)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("9" * 30, float("inf")),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Wed, 21 Oct 1900 07:28:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
        ("x" * 999, None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=10.0) == seconds


def test_waits_grow_and_end() -> None:
    backoff = Backoff(first=1.0, most=8.0)
    waits = [backoff.wait(attempt) for attempt in range(1, 40)]
    assert all(0.5 <= waits[n] <= min(8, 2**n) for n in range(39))


@pytest.mark.parametrize("value", [True, -1, 1.5, "1", None, 1 << 60])
def test_integers(value: object) -> None:
    with pytest.raises(BadAnswer):
        Fields.of(json.loads(json.dumps({"a": value})), "x").integer("a")


@pytest.mark.parametrize("value", ["!!!!", "QQ=", 5, None, "QUFB" * 99])
def test_bytes(value: object) -> None:
    with pytest.raises(BadAnswer):
        Fields({"a": value}, "x").raw("a", 30)
