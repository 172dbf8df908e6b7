"""kill -9 at every moment of a decision: no count is forgotten, and no second word is said."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fhe_core.secret.files import save_secret_key
from fhe_face.authority import log
from fhe_face.authority.authority import Authority
from fhe_face.authority.tokens import authenticate
from fhe_face.authority.words import Caller, State, Word
from fhe_face.client.ledger import beside
from fhe_face.service.errors import OtherContent, TooManyRequests
from tests.authority import dying, kit


@pytest.mark.parametrize("moment", dying.MOMENTS)
def test_a_killed_decision_is_counted_and_said_once(tmp_path: Path, moment: str) -> None:
    folder, key = tmp_path / "authority", tmp_path / "client.key"
    save_secret_key(key, kit.key(), {})
    beside(key, kit.key().key_id).create()
    world = kit.World(folder, replace(kit.WIDE, device_hour=1))
    try:
        known, secret = world.enrolled(), world.secret()
        door = authenticate(world.database, f"Bearer {secret}")
        face, next_one = world.announced(door), world.announced(door)
        first, second = (kit.score(face, known, cosine).to_bytes() for cosine in (0.9, 0.1))
        result = tmp_path / "result.ct"
        result.write_bytes(first)
        words = (folder, key, secret, result, moment)
        command = [sys.executable, "-m", "tests.authority.dying", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr

        restarted = dying.authority_in(folder, key, world.database, world.clock)
        request = restarted.requests.by_token(face)
        assert request is not None
        counted = moment != "counting"
        assert (request.state is not State.WAITING) == counted
        if counted:
            _said_once(restarted, door, face, first, second)
            other = kit.score(next_one, known, 0.9).to_bytes()
            with pytest.raises(TooManyRequests):
                restarted.deliver(door, other)
        else:  # nothing had been opened
            assert beside(key, kit.key().key_id).answers == 0
            assert restarted.deliver(door, second).word is Word.UNKNOWN
        assert beside(key, kit.key().key_id).answers == 2
        log.verify(world.database)
    finally:
        world.close()


def _said_once(restarted: Authority, door: Caller, face: str, *results: bytes) -> None:
    first, second = results
    with pytest.raises(OtherContent):
        restarted.deliver(door, second)
    assert restarted.deliver(door, first).word is Word.MATCH
    assert restarted.deliver(door, first).word is Word.MATCH
    request = restarted.requests.by_token(face)
    assert request is not None
    events = [w.line.event for w in log.read(restarted.database) if w.line.request == request.id]
    assert events.count("opened") == 1
    assert events.count("answered") == 1
