"""`fhe-face authority` as people use it, beside an authority in a thread."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fhe_face.authority.app import build_app
from fhe_face.authority.opening import opened
from fhe_face.authority.thresholds import MATCHES, standard_of
from fhe_face.authority.words import Scope
from fhe_face.gallery.gallery import Gallery
from fhe_face.service.listening import Address, server_of
from tests.authority import kit
from tests.face.conftest import fhe_face
from tests.face.kit import Run
from tests.gallery import kit as galleries

__all__ = ["fhe_face"]


@contextmanager
def listening(world: kit.World) -> Iterator[str]:
    """The authority behind a real socket; its URL."""
    address = Address(port=0)
    socket = address.bind()
    server = server_of(build_app(world.authority), address, world.policy.connections)
    running = threading.Thread(target=server.run, args=([socket],))
    running.start()
    try:
        until = time.monotonic() + 60
        while not server.started:
            assert time.monotonic() < until
            time.sleep(0.01)
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        running.join(60)
        socket.close()


def saved(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_request_is_of_one_face(world: kit.World, fhe_face: Run, tmp_path: Path) -> None:
    token = saved(tmp_path / "token", world.secret())
    kit.image(kit.token(), kit.token()).save(tmp_path / "face.ct")
    with listening(world) as url:
        named = ("--face", tmp_path / "face.ct", "--subject", "ann", "--token-file", token)
        told = fhe_face("authority", "announce", url, *named).refused(2)
    assert "face.ct: holds 2 faces, and a request is of one" in told


def test_a_device_on_the_command_line(
    world: kit.World, fhe_face: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = world.enrolled()
    token = saved(tmp_path / "token", world.secret("door", {Scope.ASK, Scope.DELIVER}))
    statuses = {}
    with listening(world) as url:
        more = ("--token-file", token)
        for cosine in (0.9, 0.3, 0.1):
            own = kit.token()
            face = tmp_path / "face.ct"
            kit.image(own).save(face)
            score = saved(tmp_path / "score.ct", kit.score(own, known, cosine).to_bytes())
            refused = fhe_face("authority", "ask", url, score, *more).refused()
            assert "no device has announced" in refused
            named = ("--face", face, "--subject", "ann")
            told = fhe_face("authority", "announce", url, *named, *more)
            request = told.out.split()[-1]
            told = fhe_face("authority", "answer", url, request, *more)
            assert (told.status, told.out.splitlines()[-1]) == (0, "waiting")
            told = fhe_face("authority", "ask", url, score, *named, *more, "--json")
            statuses[json.loads(told.out.splitlines()[-1])["answer"]] = told.status
            again = fhe_face("authority", "answer", url, request, *more)
            assert again.status == told.status
        assert statuses == {"match": 0, "uncertain": 5, "unknown": 4}
        own = kit.token()
        kit.image(own).save(face)
        saved(score, kit.score(own, known, 0.9, norm=900.0).to_bytes())
        told = fhe_face("authority", "ask", url, score, *named, *more)
        assert told.refused(3) == "no answer: the result is not healthy: take another photo"


def test_a_search_on_the_command_line(world: kit.World, fhe_face: Run, tmp_path: Path) -> None:
    searched = world.keep_gallery()
    token = saved(tmp_path / "token", world.secret("door", {Scope.ASK, Scope.DELIVER, Scope.NAMES}))
    own, scores = searched.search(searched.templates[3], tmp_path / "probe")
    file = saved(tmp_path / "scores", scores)
    with listening(world) as url:
        words = ("--probe", tmp_path / "probe", "--gallery", "office", "--names")
        told = fhe_face("authority", "ask", url, file, *words, "--token-file", token)
    assert (told.status, told.out.splitlines()[-1]) == (0, "match person-3")
    assert own not in told.out


@pytest.mark.parametrize(
    "words",
    [
        ("--subject", "ann"),
        ("--face", "f", "--probe", "p"),
        ("--face", "f"),
        ("--face", "f", "--subject", "ann", "--names"),
        ("--face", "f", "--gallery", "g", "--enrol"),
        ("--probe", "p"),
        ("--probe", "p", "--gallery", "g", "--enrol"),
    ],
)
def test_requests_that_make_no_sense(fhe_face: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    result = saved(tmp_path / "score.ct", "x")
    fhe_face("authority", "ask", "http://127.0.0.1:9", result, *words).refused(2)


def test_an_authority_from_the_command_line(fhe_face: Run, tmp_path: Path) -> None:
    folder = tmp_path / "deciding"
    assert fhe_face("authority", "create", folder, "--weights", "bundled").status == 0
    with opened(folder) as database:
        standard = standard_of(database, MATCHES)
        assert standard is not None
        assert standard.decision.origin == "weights"
        assert standard.weights is None
    assert "already" in fhe_face("authority", "create", folder).refused()
    told = fhe_face("authority", "thresholds", folder, "--thresholds", "0.5,0.25")
    assert "0.500" in told.out
    with opened(folder) as database:
        standard = standard_of(database, MATCHES)
        assert standard is not None
        assert (standard.decision.same_from, standard.decision.different_below) == (0.5, 0.25)
    for wrong in ("0.5", "a,b", "0.2,0.5", "nan,nan", "2,1"):
        fhe_face("authority", "thresholds", folder, "--thresholds", wrong)
        with opened(folder) as database:
            assert standard_of(database, MATCHES) == standard
    fhe_face("authority", "thresholds", folder).refused(2)
    for command in ("status", "check", "log"):
        assert fhe_face("authority", command, folder).status == 0
        assert "holds no authority" in fhe_face("authority", command, tmp_path).refused()


def test_tokens_from_the_command_line(fhe_face: Run, tmp_path: Path) -> None:
    folder = tmp_path / "deciding"
    fhe_face("authority", "create", folder)
    made = fhe_face("authority", "token", "create", folder, "--device", "door", "--days", "30")
    secret = made.out.splitlines()[-1]
    assert secret.startswith("fhe_")
    (token,) = fhe_face("authority", "token", "list", folder, "--json").json()["tokens"]
    assert token["scopes"] == ["ask", "deliver"]
    assert secret not in json.dumps(token)
    assert fhe_face("authority", "token", "revoke", folder, token["id"]).status == 0
    assert "revoked" in fhe_face("authority", "token", "list", folder).out
    fhe_face("authority", "token", "revoke", folder, "nothing").refused()
    fhe_face("authority", "token", "create", folder, "--device", "a b").refused()
    fhe_face("authority", "token", "create", folder, "--device", "a", "--scopes", "x").refused(2)


def test_alarms_end_a_check(world: kit.World, fhe_face: Run) -> None:
    near = kit.replace(kit.WIDE, near_hour=2)
    kit.save_policy(world.folder, near)
    world.policy = near
    known, door = world.enrolled(), world.caller()
    for _ in range(2):
        face = world.announced(door)
        world.authority.deliver(door, kit.score(face, known, 0.31).to_bytes())
    told = fhe_face("authority", "check", world.folder)
    assert "2 alarms are open" in told.refused(1)
    shown = fhe_face("authority", "status", world.folder)
    assert "close answers to a device" in shown.out
    closed = fhe_face("authority", "check", world.folder, "--close", 1, "--close", 2)
    assert closed.status == 0
    assert "No alarm is open" in fhe_face("authority", "status", world.folder).out
    fhe_face("authority", "check", world.folder, "--close", 7).refused()


def test_status_draws_what_is_used(world: kit.World, fhe_face: Run) -> None:
    world.clock.at = int(time.time())
    known, door = world.enrolled(), world.caller()
    face = world.announced(door)
    world.announced(door)
    world.authority.deliver(door, kit.score(face, known, 0.9).to_bytes())
    shown = fhe_face("authority", "status", world.folder).out
    assert re.search(r"device +door +░+ 1 of 10000", shown), shown
    uses = fhe_face("authority", "status", world.folder, "--json").json()["uses"]
    own = next(use for use in uses if use["who"] == "door")
    assert (own["hour"], own["day"], own["near"], own["waiting"]) == (1, 1, 0, 1)


def test_the_log_on_the_command_line(world: kit.World, fhe_face: Run) -> None:
    known, door = world.enrolled(), world.caller()
    face = world.announced(door)
    world.authority.deliver(door, kit.score(face, known, 0.31).to_bytes())
    shown = fhe_face("authority", "log", world.folder).out
    assert re.search(r"answered door ann [0-9a-f]{32} uncertain", shown)
    verified = fhe_face("authority", "log", world.folder, "--verify", "--json").json()
    again = fhe_face("authority", "log", world.folder, "--head", verified["head"])
    assert again.status == 0
    assert verified["head"] in again.out
    fhe_face("authority", "log", world.folder, "--head", "0" * 63 + "1").refused()


def test_a_gallery_is_told_by_its_owner(
    fhe_face: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_ = Gallery.open

    def small(folder: Any, **options: Any) -> Gallery:
        return open_(folder, **(options | {"parameters": galleries.SMALL}))

    monkeypatch.setattr(Gallery, "open", staticmethod(small))
    with galleries.make(tmp_path / "friends", names=True) as gallery:
        gallery.enroll(galleries.people(tmp_path / "people", 3, 2))
    folder = tmp_path / "deciding"
    fhe_face("authority", "create", folder)
    told = fhe_face("authority", "gallery", folder, tmp_path / "friends")
    assert told.out.splitlines()[-1] == "gallery friends: 3 people in 1 blocks"
    fhe_face("authority", "gallery", folder, tmp_path / "friends", "--name", "a b").refused()


def test_the_unit(fhe_face: Run, tmp_path: Path) -> None:
    folder, key = tmp_path / "deciding", tmp_path / "keys" / "client.key"
    told = fhe_face("authority", "serve", folder, "--key", key, "--print-unit").out
    assert f"authority serve {folder} --key {key}" in told
    assert f"ReadWritePaths={folder} {key.parent}" in told
    assert "NoNewPrivileges=yes" in told
    assert "MemoryMax=2G" in told
    refused = fhe_face("authority", "serve", folder, "--key", key, "--host", "0.0.0.0")
    assert "without TLS" in refused.refused(2)


def test_serving_without_an_authority_or_a_key(fhe_face: Run, tmp_path: Path) -> None:
    key = saved(tmp_path / "client.key", "nonsense")
    told = fhe_face("authority", "serve", tmp_path, "--key", key, "--port", 0)
    assert "holds no authority" in told.refused()
    fhe_face("authority", "create", tmp_path / "deciding")
    told = fhe_face("authority", "serve", tmp_path / "deciding", "--key", key, "--port", 0)
    assert "client.key" in told.refused()
