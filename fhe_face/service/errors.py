"""What can go wrong in the service. Texts reach clients: they hold no path and no measurement."""

from __future__ import annotations

from fhe_core.errors import Failure


class ServiceError(Failure):
    """A request cannot be served as asked; nothing was changed."""

    code = "service"


class Unauthorized(ServiceError):
    """No token, or one that is not known, has expired or was revoked."""

    code = "unauthorized"


class Forbidden(ServiceError):
    """The token lacks a scope."""

    code = "forbidden"


class NotHere(ServiceError):
    """There is nothing of this name for this tenant, whoever else has one."""

    code = "not-here"


class NotComplete(ServiceError):
    """Sections of the file are still missing."""

    code = "not-complete"


class OtherContent(ServiceError):
    """The name is taken by something else."""

    code = "other-content"


class StillRunning(ServiceError):
    """The same is being done by another request."""

    code = "in-progress"


class OtherRequest(ServiceError):
    """An idempotency key was used for another request before."""

    code = "idempotency-mismatch"


class Invalid(ServiceError):
    """A value of the request makes no sense."""

    code = "invalid"


class BodyTooLarge(ServiceError):
    """The body is over the limit of its kind."""

    code = "body-too-large"


class LengthRequired(ServiceError):
    """The body's length must be told before it."""

    code = "length-required"


class EncodedBody(ServiceError):
    """Bodies come as they are: what is compressed could be of any size."""

    code = "encoded-body"


class TooSlow(ServiceError):
    """The body did not come in time."""

    code = "too-slow"


class OverQuota(ServiceError):
    """The tenant has no room left; deleting something makes some."""

    code = "over-quota"


class DiskFull(ServiceError):
    """The server's disk is full; nothing was changed."""

    code = "disk-full"


class Waiting(ServiceError):
    """It would be possible later; retry_after: in how many seconds to try again."""

    code = "waiting"

    def __init__(self, text: str, retry_after: float = 1.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class TooManyRequests(Waiting):
    """The tenant's requests, or its jobs that wait, are over its quota."""

    code = "too-many-requests"


class Busy(Waiting):
    """The server has no room at the moment."""

    code = "busy"
