"""Requests that may be sent again, and an API process that died while it answered them."""

from __future__ import annotations

import fcntl

import pytest

from fhe_face.service.answers import Answers, Kept
from fhe_face.service.errors import StillRunning
from fhe_face.service.opening import Service
from fhe_face.service.serving import alone

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
