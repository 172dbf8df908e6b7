"""A server process that stays: many requests, cancellations, ends of all kinds."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fhe_core.errors import Failure
from fhe_core.formats.ciphertexts import Bundle, load_bundle
from fhe_face.local.process import ServerError
from fhe_face.local.standing import StandingServer
from fhe_face.server import standing
from fhe_face.server.server import FaceServer
from tests.core.tiny import World, faces, load


class Echo:
    """Answers with what it was asked, after some steps."""

    def read(self, path: str, _what: str) -> str:
        return Path(path).read_text()

    def embed(self, text: str, stage: Any) -> str:
        if text == "bad":
            raise ValueError("not a face")
        for step in range(3 if text == "quick" else 100_000):
            stage("embedding", step, 3)
        return text


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FaceServer, "load", lambda *_, **__: Echo())
    monkeypatch.setattr(standing, "save_bundle", lambda path, text: Path(path).write_text(text))


LOAD = {"evaluation_key": "k", "weights": None, "threads": 1}


class Talk:
    """A standing server in a thread, and both ends of its pipes."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self._source, self._writing = os.fdopen(reading), os.fdopen(writing, "w")
        self._target = io.StringIO()
        server = standing.StandingServer(self._source, self._target)
        self._thread = threading.Thread(target=server.run)
        self._thread.start()
        self.say(LOAD)

    def say(self, request: dict[str, Any]) -> None:
        self._writing.write(json.dumps(request) + "\n")
        self._writing.flush()

    def ask(self, file: Path) -> None:
        self.say({"source": str(file), "target": f"{file}.out"})

    def ends(self, count: int) -> list[dict[str, Any]]:
        """The last answers to so many requests, when they are there."""
        for _ in range(2000):
            lines = self._target.getvalue().splitlines(keepends=True)
            found = [json.loads(line) for line in lines if line.endswith("\n")]
            ends = [one for one in found if "stage" not in one]
            if len(ends) >= count:
                return ends
            time.sleep(0.005)
        raise AssertionError(self._target.getvalue()[-500:])

    def close(self) -> None:
        self._writing.close()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._source.close()


@pytest.mark.usefixtures("echo")
def test_errors_do_not_end_it(tmp_path: Path) -> None:
    talk = Talk()
    for number, text in enumerate(("quick", "bad", "quick")):
        (tmp_path / f"{number}").write_text(text)
        talk.ask(tmp_path / f"{number}")
    ends = talk.ends(4)
    talk.close()
    assert ["report" in end for end in ends] == [True, True, False, True]
    assert "not a face" in ends[2]["error"]
    assert (tmp_path / "2.out").read_text() == "quick"


@pytest.mark.usefixtures("echo")
def test_a_cancelled_request_leaves_it_ready(tmp_path: Path) -> None:
    talk = Talk()
    (tmp_path / "long").write_text("long")
    (tmp_path / "short").write_text("quick")
    talk.ask(tmp_path / "long")
    talk.say({"cancel": True})
    assert talk.ends(2)[1] == {"cancelled": True}
    talk.ask(tmp_path / "short")
    assert "report" in talk.ends(3)[2]
    talk.close()
    assert not (tmp_path / "long.out").exists()
    assert (tmp_path / "short.out").read_text() == "quick"


@pytest.mark.usefixtures("echo")
def test_it_ends_in_the_middle_where_nobody_is_left(tmp_path: Path) -> None:
    talk = Talk()
    (tmp_path / "long").write_text("long")
    talk.ask(tmp_path / "long")
    talk.close()


# --- the client's side ---------------------------------------------------------------------------

#: Stands for the server: copies an answer that was computed before, or does as it is told.
SCRIPT = """
import json, os, shutil, sys
how, answer = sys.argv[1], sys.argv[2]
for line in sys.stdin:
    request = json.loads(line)
    def say(**message):
        print(json.dumps(message), flush=True)
    if "evaluation_key" in request:
        if how == "no-start": say(error="no such key")
        else: say(report={"seconds": 0.0})
    elif request.get("cancel"):
        if how == "odd-end": print("5", flush=True)
        say(cancelled=True)
    elif how == "dies": os._exit(3)
    elif how == "killed": os.kill(os.getpid(), 9)
    elif how == "garbage":
        print("hello", flush=True)
        say(report={"seconds": 1.5})
    elif how == "timeless": say(report={})
    elif how == "fileless": say(report={"seconds": 1.5})
    elif how == "refuses": say(error="too hot")
    elif how in ("slow", "odd-end") and not os.path.exists(answer + ".told"):
        open(answer + ".told", "w").close()
        say(stage="embedding", done=1, total=9)
    else:
        say(stage="embedding", done=1, total=1)
        shutil.copy(answer, request["target"])
        say(report={"seconds": 1.5})
"""


class Outside:
    """A tiny client, a request, its answer in a file, and servers that behave in some way."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.bundle = world.client.encrypt(faces(world.images[:1]))
        self.answer = folder / "answer"
        world.server.embed(self.bundle).save(self.answer)

    def server(self, how: str) -> StandingServer:
        client = self.world.client
        command = (sys.executable, "-c", SCRIPT, how, str(self.answer))
        return StandingServer(client, Path("k"), Path("w"), self.folder, 1, command=command)


@pytest.fixture
def outside(small_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outside:
    def read(path: Path, _sent: Sequence[Bundle]) -> Bundle:
        return load_bundle(path, load=load)  # this ring is no preset

    monkeypatch.setattr(small_world.client, "read", read)
    return Outside(small_world, tmp_path)


def test_many_requests_through_one_process(outside: Outside) -> None:
    server = outside.server("well")
    told: list[str] = []
    server.stage = lambda what, _done, _total: told.append(what)
    for _ in range(3):
        assert server.embed(outside.bundle).what == "embedding"
    assert told == ["embedding"] * 3
    assert server.seconds == 4.5
    assert server.sent > 0
    assert server.received == 3 * outside.answer.stat().st_size
    assert [file.name for file in outside.folder.iterdir()] == ["answer"]
    server.close()
    server.close()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("no-start", "no such key"),
        ("dies", "status 3"),
        ("killed", "memory"),
        ("garbage", "no answer"),
        ("timeless", "no answer"),
        ("refuses", "too hot"),
    ],
)
def test_its_ends_are_errors(outside: Outside, how: str, said: str) -> None:
    server = outside.server(how)
    with pytest.raises(ServerError, match=said):
        server.embed(outside.bundle)
    server.close()
    assert not (outside.folder / "faces.ct").exists()


def test_nothing_is_asked_of_a_process_that_talks_nonsense(outside: Outside) -> None:
    server = outside.server("garbage")
    for _ in range(2):  # the report after the nonsense is not taken for the second answer
        with pytest.raises(ServerError, match="no answer"):
            server.embed(outside.bundle)
        assert not server.running


def test_an_answer_that_is_not_there(outside: Outside) -> None:
    server = outside.server("fileless")
    with pytest.raises(Failure, match=r"embeddings\.ct"):
        server.embed(outside.bundle)
    assert (server.seconds, server.received) == (0.0, 0)
    server.close()


def test_giving_up_a_process_that_talks_nonsense_ends_it(outside: Outside) -> None:
    server = outside.server("odd-end")

    def stage(_what: str, _done: int, _total: int) -> None:
        raise InterruptedError

    server.stage = stage
    with pytest.raises(InterruptedError):
        server.embed(outside.bundle)
    assert not server.running


def test_giving_up_keeps_the_process(outside: Outside) -> None:
    server = outside.server("slow")

    def stage(_what: str, _done: int, _total: int) -> None:
        raise InterruptedError

    server.start()
    process = server._process._process
    server.stage = stage
    with pytest.raises(InterruptedError):
        server.embed(outside.bundle)
    server.stage = lambda *_: None
    assert server.embed(outside.bundle).what == "embedding"
    assert server._process._process is process
    server.close()
    assert process is not None
    assert process.poll() is not None


def test_a_process_that_ended_is_started_again(outside: Outside) -> None:
    server = outside.server("well")
    server.embed(outside.bundle)
    assert server._process._process is not None
    server._process._process.kill()
    server._process._process.wait()
    assert server.embed(outside.bundle).what == "embedding"
    server.close()
