"""How large a body may be and how long it may take: decided before any of it is read."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Final

import anyio
from starlette.types import Message, Receive

from fhe_core.container.header import DIGEST_BYTES, MAX_HEADER_BYTES
from fhe_core.matching.parameters import MatchParameters
from fhe_core.matching.plan import MatchPlan
from fhe_face.service.errors import BodyTooLarge, EncodedBody, Invalid, TooSlow
from fhe_face.service.rows import Room
from fhe_face.service.settings import Settings

#: A container's beginning: preamble, header, checksum and padding.
HEADER_BYTES: Final = MAX_HEADER_BYTES + DIGEST_BYTES + 128
#: Of a container, around its payload.
_FRAME: Final = 4 * 4096
_BYTES_PER_SECOND: Final = 1 << 16
_ROOMS: Final = "|".join(room.value for room in Room)
_SECTION: Final = re.compile(rf"/v1/(?:{_ROOMS})/[^/]+/sections/[^/]+")
_FRONT: Final = re.compile(rf"/v1/(?:{_ROOMS})/[^/]+")
_BLOCK: Final = re.compile(r"/v1/galleries/[^/]+/blocks/[^/]+")
_RECORDS: Final = re.compile(r"/v1/galleries/[^/]+/records:replace")
_PROBE: Final = re.compile(r"/v1/galleries/[^/]+/searches")


@dataclass(frozen=True)
class Caps:
    """The largest bodies, in bytes."""

    header: int
    section: int
    block: int
    records: int
    probe: int
    json: int

    @classmethod
    def of(cls, settings: Settings, gallery: MatchParameters) -> Caps:
        """Those of a service; gallery: the ring of its searches."""
        plan = MatchPlan(gallery)
        return cls(
            HEADER_BYTES,
            settings.file_bytes,
            plan.block_bytes + _FRAME,
            settings.file_bytes,
            plan.probe_bytes + _FRAME,
            settings.json_bytes,
        )

    def cap_of(self, method: str, path: str) -> int:
        """The most bytes that the body of a request may have."""
        if method == "PUT" and _SECTION.fullmatch(path):
            return self.section
        if method == "PUT" and _FRONT.fullmatch(path):
            return self.header
        if method == "PUT" and _BLOCK.fullmatch(path):
            return self.block
        if method == "POST" and _RECORDS.fullmatch(path):
            return self.records
        if method == "POST" and _PROBE.fullmatch(path):
            return self.probe
        return self.json


@dataclass
class Body:
    """A request's body on its way in: counted, and not waited for longer than it may take."""

    receive: Receive
    cap: int
    idle_seconds: float
    body_seconds: float
    received: int = 0
    complete: bool = False
    _until: float = field(default=0.0, repr=False)

    def check(self, headers: dict[bytes, bytes]) -> None:
        """From the headers alone.

        Raises:
            EncodedBody, BodyTooLarge, Invalid: it will not be read.
        """
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise EncodedBody("send bodies as they are, without Content-Encoding")
        told = headers.get(b"content-length", b"0")
        if not told.isdigit() or len(told) > 18:
            raise Invalid("Content-Length is no number")
        if int(told) > self.cap:
            raise BodyTooLarge(f"a body of {int(told)} bytes; at most {self.cap} are taken here")
        self._until = time.monotonic() + self.body_seconds + int(told) / _BYTES_PER_SECOND

    async def __call__(self) -> Message:
        """The next piece. TooSlow, BodyTooLarge: the rest is not read."""
        if self.complete:
            return await self.receive()
        left = min(self.idle_seconds, self._until - time.monotonic())
        with anyio.move_on_after(max(0.0, left)) as scope:
            message = await self.receive()
        if scope.cancelled_caught:
            raise TooSlow("the body did not come in time")
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
            if self.received > self.cap:
                raise BodyTooLarge(f"a body of more than {self.cap} bytes")
        return message
