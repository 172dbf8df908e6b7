"""What can go wrong with a server on the network; each text is one line."""

from __future__ import annotations

from typing import Any

from fhe_core.errors import Failure


class RemoteError(Failure):
    """A server on the network cannot be used as asked."""

    code = "remote"


class Unreachable(RemoteError):
    """The server does not answer, or is not the one that it should be."""

    code = "remote-unreachable"


class BadAnswer(RemoteError):
    """The server says what this version of its interface does not say."""

    code = "remote-answer"


class Refused(RemoteError):
    """The server refuses a request.

    status: of HTTP; problem: the server's code for it, such as "not-found"; after: in how many
    seconds it may be asked again, None where it does not say.
    """

    code = "remote-refused"

    def __init__(self, message: str, status: int = 0, problem: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem
        self.after: float | None = None

    def details(self) -> dict[str, Any]:
        """HTTP's status, and the server's code."""
        return {"status": self.status, "problem": self.problem}


class LoginError(RemoteError):
    """There is no profile of a server, or it cannot be used."""

    code = "remote-login"


class PushError(RemoteError):
    """A file must not be sent, or has changed while it was."""

    code = "remote-push"


class JobFailed(RemoteError):
    """A job of the server has ended without a result.

    job: its id; problem: the server's code for the reason.
    """

    code = "remote-job"

    def __init__(self, message: str, job: str = "", problem: str = "") -> None:
        super().__init__(message)
        self.job = job
        self.problem = problem

    def details(self) -> dict[str, Any]:
        """The job, and the server's code."""
        return {"job": self.job, "problem": self.problem}


class JobLeft(KeyboardInterrupt):
    """Whoever waits was interrupted; the job goes on at the server. job: its id."""

    def __init__(self, job: str) -> None:
        super().__init__(job)
        self.job = job

    def __str__(self) -> str:
        return f"job {self.job} goes on at the server"
