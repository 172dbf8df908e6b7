"""Requests that may be sent again, and an API process that died while it answered them."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from fhe_face.service.answers import Answers, Kept
from fhe_face.service.errors import StillRunning
from fhe_face.service.opening import Service, open_service
from fhe_face.service.serving import alone
from fhe_face.store.opening import SERVER

ANSWER = Kept(202, {"location": "/v1/jobs/1"}, b"{}")


def test_a_restart_forgets_what_was_being_answered(service: Service) -> None:
    answers = Answers(service.database, 60.0)
    with alone(service):
        assert answers.claim("anna", "cut off", "digest") is None
        assert answers.claim("anna", "answered", "digest") is None
        answers.keep("anna", "answered", ANSWER)
        with pytest.raises(StillRunning):
            answers.claim("anna", "cut off", "digest")
    with alone(service):  # the next process
        assert answers.claim("anna", "cut off", "digest") is None
        assert answers.claim("anna", "answered", "digest") == ANSWER


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_another_process_may_still_answer(service: Service) -> None:
    answers = Answers(service.database, 60.0)
    with alone(service):
        assert answers.claim("anna", "running", "digest") is None
        with alone(service), pytest.raises(StillRunning):
            answers.claim("anna", "running", "digest")
        with pytest.raises(StillRunning):
            answers.claim("anna", "running", "digest")
        with (service.folder / "serve.lock").open("rb") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_process_whose_lock_of_the_folder_is_not_seen(service: Service, tmp_path: Path) -> None:
    """Of another machine, whose file system tells nobody: or of another folder with the same
    database. When it has ended, what it was answering is forgotten still."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copyfile(service.folder / SERVER, elsewhere / SERVER)
    answers = Answers(service.database, 60.0)
    with alone(service):
        assert answers.claim("anna", "running", "digest") is None
        with open_service(elsewhere) as other:
            with alone(other), pytest.raises(StillRunning):
                answers.claim("anna", "running", "digest")
            with pytest.raises(StillRunning):
                answers.claim("anna", "running", "digest")
    with open_service(elsewhere) as other, alone(other):
        assert answers.claim("anna", "running", "digest") is None


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_process_without_a_connection_holds_the_folder(service: Service) -> None:
    """The database was started again: its locks are gone, the folder's are not."""
    answers = Answers(service.database, 60.0)
    with alone(service):
        assert answers.claim("anna", "running", "digest") is None
        cut_off(service)
        with alone(service), pytest.raises(StillRunning):
            answers.claim("anna", "running", "digest")


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_folder_without_locks_is_served(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows who else is there: nothing is forgotten."""

    def without(_file: object, _how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    answers = Answers(service.database, 60.0)
    assert answers.claim("anna", "running", "digest") is None
    monkeypatch.setattr(fcntl, "flock", without)
    with alone(service), pytest.raises(StillRunning):
        answers.claim("anna", "running", "digest")


def cut_off(service: Service) -> None:
    """End all connections to the service's database but this one."""
    mine = "datname = current_database() AND pid <> pg_backend_pid()"
    with service.database.reading() as connection:
        connection.execute(
            text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}")
        )
