"""Uploads by section: what is missing is sent, once, and a secret never."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhe_core.container import ContainerError, Corrupt, read_header
from fhe_core.secret.files import save_evaluation_keys, save_secret_key
from fhe_core.secret.key import SecretKey
from fhe_face.remote.errors import BadAnswer, PushError, Refused, RemoteError
from fhe_face.remote.pushing import push, push_keys
from fhe_face.remote.resources import Room, every, find
from tests.core.tiny import TINY, load, make_world
from tests.remote.fake import TOKEN, Fake, Kept, answered, problem


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as keygen makes it, of a small ring."""
    folder = tmp_path_factory.mktemp("keys")
    key = SecretKey.generate(load(TINY.name))
    save_secret_key(folder / "client.key", key, {})
    save_evaluation_keys(folder / "evaluation.key", key, make_world().specifications[:3], {})
    return folder


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def sent_sections(fake: Fake) -> list[str]:
    return [call.rpartition("/")[2] for call in fake.calls if "/sections/" in call]


def test_keys_arrive_whole(fake: Fake, keys: Path) -> None:
    told: list[tuple[str, int, int]] = []
    pushed = push_keys(fake.connect(), keys, stage=lambda *now: told.append(now))
    header = read_header(keys / "evaluation.key")
    assert pushed.id == header.key_id
    assert fake.files["keys", header.key_id].content() == (keys / "evaluation.key").read_bytes()
    assert pushed.sent == sum(section.length for section in header.sections)
    assert told[-1][1:] == (pushed.sent, pushed.sent)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_what_is_there_is_not_sent_again(fake: Fake, keys: Path) -> None:
    push_keys(fake.connect(), keys)
    fake.calls.clear()
    assert push_keys(fake.connect(), keys).sent == 0
    assert len(fake.calls) == 1


def test_an_interrupted_upload_goes_on(fake: Fake, keys: Path) -> None:
    def fail_after_two(request: httpx.Request) -> httpx.Response | None:
        if "/sections/" in str(request.url) and len(sent_sections(fake)) > 2:
            return problem(507, "disk-full")
        return None

    fake.before.append(fail_after_two)
    with pytest.raises(Refused, match="disk-full"):
        push_keys(fake.connect(), keys, parallel=1)
    fake.before.clear()
    before = set(sent_sections(fake)[:2])
    fake.calls.clear()
    push_keys(fake.connect(), keys)
    assert not before & set(sent_sections(fake))
    assert find(fake.connect(), Room.KEYS, read_header(keys / "evaluation.key").key_id).complete  # type: ignore[union-attr]


def test_a_section_that_breaks_off_is_sent_again(fake: Fake, keys: Path) -> None:
    failures = iter([httpx.WriteError("broken pipe"), httpx.ReadError("reset")])

    def hook(request: httpx.Request) -> httpx.Response | None:
        if "/sections/" in str(request.url):
            for error in failures:
                raise error
        return None

    fake.before.append(hook)
    told: list[int] = []
    pushed = push_keys(fake.connect(), keys, stage=lambda _what, done, _total: told.append(done))
    assert told[-1] == pushed.sent


def test_other_keys_of_the_same_name_need_a_word(fake: Fake, keys: Path, tmp_path: Path) -> None:
    push_keys(fake.connect(), keys)
    key = SecretKey.generate(load(TINY.name))
    other = tmp_path / "other.key"
    save_evaluation_keys(other, key, make_world().specifications[:1], {})
    content = fake.files.pop(("keys", read_header(keys / "evaluation.key").key_id))
    fake.files["keys", key.key_id] = content
    with pytest.raises(PushError, match="--replace"):
        push_keys(fake.connect(), other)
    push_keys(fake.connect(), other, replace=True)
    assert fake.files["keys", key.key_id].content() == other.read_bytes()


@pytest.mark.parametrize("room", list(Room))
def test_a_secret_key_goes_nowhere(fake: Fake, keys: Path, room: Room) -> None:
    with pytest.raises(PushError, match="secret key"):
        push(fake.connect(), room, keys / "client.key")
    with pytest.raises(PushError, match="secret key"):
        push_keys(fake.connect(), keys / "client.key")
    assert fake.calls == []


def test_a_protected_or_renamed_secret_key_goes_nowhere(fake: Fake, tmp_path: Path) -> None:
    key = SecretKey.generate(load(TINY.name))
    save_secret_key(tmp_path / "evaluation.key", key, {}, passphrase=b"word")
    with pytest.raises(PushError, match="secret key"):
        push_keys(fake.connect(), tmp_path)
    assert fake.calls == []


def test_a_folder_without_keys_and_a_ciphertext_are_told(
    fake: Fake, keys: Path, tmp_path: Path
) -> None:
    with pytest.raises(PushError, match=r"evaluation\.key"):
        push_keys(fake.connect(), tmp_path)
    with pytest.raises(PushError, match="faces takes ciphertext"):
        push(fake.connect(), Room.FACES, keys / "evaluation.key")
    with pytest.raises(ContainerError):
        push_keys(fake.connect(), tmp_path / "missing")
    (tmp_path / "text").write_text("no container")
    with pytest.raises(ContainerError):
        push_keys(fake.connect(), tmp_path / "text")
    assert fake.calls == []


def test_a_damaged_section_is_not_sent(fake: Fake, keys: Path, tmp_path: Path) -> None:
    data = bytearray((keys / "evaluation.key").read_bytes())
    data[-5] ^= 1
    damaged = tmp_path / "evaluation.key"
    damaged.write_bytes(data)
    with pytest.raises(Corrupt):
        push_keys(fake.connect(), damaged)
    last = read_header(damaged).sections[-1].digest
    assert last not in sent_sections(fake)


@pytest.mark.parametrize(
    "lie",
    [
        {"missing": [{"section": "x", "digest": "0" * 64, "bytes": 5}]},
        {"missing": [{"section": "x", "digest": "nope", "bytes": 5}]},
        {"missing": []},
        {"missing": "all"},
        {"digest": "0" * 64},
        {"state": "later"},
        {"room": "faces"},
        {"id": "../../etc"},
        {"bytes": -1},
    ],
)
def test_a_server_that_asks_for_nonsense_gets_nothing(
    fake: Fake, keys: Path, lie: dict[str, Any]
) -> None:
    def hook(request: httpx.Request) -> httpx.Response | None:
        kept = Kept.of(request.read())
        return answered({**kept.describe("keys", kept.header.key_id), **lie})

    fake.before.append(hook)
    with pytest.raises(BadAnswer):
        push_keys(fake.connect(), keys)
    assert len(fake.calls) == 1


def test_a_server_that_forgets_does_not_keep_the_client_busy(fake: Fake, keys: Path) -> None:
    def hook(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(204) if "/sections/" in str(request.url) else None

    fake.before.append(hook)
    with pytest.raises(BadAnswer, match="missing which it took"):
        push_keys(fake.connect(), keys)


def test_lists_that_go_round_in_circles_end(fake: Fake) -> None:
    fake.before.append(lambda _request: answered({"items": [], "next": "same"}))
    with pytest.raises(BadAnswer, match="does not end"):
        list(every(fake.connect(), Room.KEYS))


# --- a process of its own -------------------------------------------------------------------------


class Recorder(BaseHTTPRequestHandler):
    """Answers v1's uploads over a socket, and keeps every byte that came."""

    protocol_version = "HTTP/1.1"
    fake: Fake
    heard: bytearray
    slow = 0.0

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.heard += self.requestline.encode() + str(self.headers).encode() + body
        if "/sections/" in self.path and self.slow:
            threading.Event().wait(self.slow)
        url = f"https://server.test{self.path}"
        request = httpx.Request("PUT", url, headers=dict(self.headers), content=body)
        answer = self.fake.handle(request)
        content = answer.read()
        self.send_response(answer.status_code)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT

    def log_message(self, *_: object) -> None:
        pass


SCRIPT = """
import sys
from fhe_face.remote.connection import Connection
from fhe_face.remote.pushing import push_keys
with Connection(sys.argv[1], sys.argv[2]) as connection:
    push_keys(connection, sys.argv[3], parallel=1)
"""


def start(address: str, given: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, address, TOKEN, str(given)],
        stderr=subprocess.PIPE,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


def run(address: str, given: Path) -> tuple[int, bytes]:
    """The status, and what it said."""
    with start(address, given) as process:
        _, said = process.communicate(timeout=60)
        return process.returncode, said


@pytest.fixture
def recorder(fake: Fake) -> Any:
    handler = type("Own", (Recorder,), {"fake": fake, "heard": bytearray()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server, handler
    server.shutdown()
    server.server_close()


def test_no_byte_of_the_secret_leaves_the_process(recorder: Any, keys: Path) -> None:
    server, handler = recorder
    address = f"http://127.0.0.1:{server.server_port}"
    assert run(address, keys) == (0, b"")
    heard = bytes(handler.heard)
    assert len(heard) > 10**5
    start_of_secret = read_header(keys / "client.key").payload_offset
    secret = (keys / "client.key").read_bytes()[start_of_secret:]
    assert len(secret) == load(TINY.name).ring_dimension
    for first in range(0, len(secret) - 32, 32):
        piece = secret[first : first + 32]
        assert piece not in heard, f"bytes {first}.. of the secret were sent"
    handler.heard.clear()
    status, said = run(address, keys / "client.key")
    assert status == 1
    assert b"secret key" in said
    assert not handler.heard


def test_killed_uploads_repeat_one_section_at_most(recorder: Any, fake: Fake, keys: Path) -> None:
    server, handler = recorder
    handler.slow = 0.4
    address = f"http://127.0.0.1:{server.server_port}"
    with start(address, keys) as process:
        while len(sent_sections(fake)) < 2:
            assert process.poll() is None
            threading.Event().wait(0.05)
        process.send_signal(signal.SIGKILL)
    handler.slow = 0.0
    assert run(address, keys) == (0, b"")
    header = read_header(keys / "evaluation.key")
    assert fake.files["keys", header.key_id].content() == (keys / "evaluation.key").read_bytes()
    assert len(sent_sections(fake)) <= len(header.sections) + 1


def test_every_error_is_a_failure_of_ours(fake: Fake, keys: Path) -> None:
    fake.before.append(lambda _request: httpx.Response(200, content=b"{}"))
    with pytest.raises(RemoteError):
        push_keys(fake.connect(), keys)
