"""An authority that is handed one result and killed at a chosen moment.

python -m tests.authority.dying FOLDER KEY TOKEN RESULT MOMENT
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from fhe_core.secret.files import load_secret_key
from fhe_face.authority import log
from fhe_face.authority.authority import Authority
from fhe_face.authority.faces import Faces
from fhe_face.authority.opening import opened
from fhe_face.authority.policy import load_policy
from fhe_face.authority.requests import Requests
from fhe_face.authority.tokens import authenticate
from fhe_face.client.ledger import beside
from tests.authority import kit
from tests.core import tiny

#: Before the count is on the disk, after it, after the score is known, before the answer is on the
#: disk, and after it, before anybody was told.
MOMENTS = ("counting", "counted", "opened", "answering", "answered")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, and the end."""

    def run(*args: Any, **more: Any) -> Any:
        function(*args, **more)
        die()

    return run


def writing(event: str) -> Callable[..., None]:
    """Writes lines of the log, and dies after one of an event, before its transaction ends."""
    write = log.write

    def run(connection: Any, line: log.Line, at: int) -> None:
        write(connection, line, at)
        if line.event == event:
            die()

    return run


def patched(moment: str) -> Any:
    if moment == "counting":
        return mock.patch.object(log, "write", writing("opened"))
    if moment == "answering":
        return mock.patch.object(log, "write", writing("answered"))
    if moment == "opened":
        return mock.patch.object(Faces, "match", after(Faces.match))
    name = "claim" if moment == "counted" else "settle"
    return mock.patch.object(Requests, name, after(getattr(Requests, name)))


def authority_in(folder: Path, key: Path, database: Any, clock: kit.Clock) -> Authority:
    """As the command makes it, on the small ring."""
    secret = load_secret_key(key, tiny.load)
    faces = Faces(secret, kit.engine(), beside(key, secret.key_id))
    return Authority(database, load_policy(folder), faces, {}, clock)


def main() -> None:
    folder, key, token, result, moment = sys.argv[1:]
    with opened(folder) as database:
        authority = authority_in(Path(folder), Path(key), database, kit.Clock())
        caller = authenticate(database, f"Bearer {token}")
        data = Path(result).read_bytes()
        with patched(moment):
            authority.deliver(caller, data)


if __name__ == "__main__":
    main()
