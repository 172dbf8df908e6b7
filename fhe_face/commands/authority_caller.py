"""What a device, or the compute server's operator, says to an authority."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fhe_core.container import Kind, read_header
from fhe_core.files import read_bounded, shown
from fhe_core.formats.ciphertexts import known_facts
from fhe_face.failures import DIFFERENT, NOT_SURE, UNHEALTHY, CommandError, UsageError
from fhe_face.output import Output
from fhe_face.remote.authority import Answered, RemoteAuthority
from fhe_face.remote.connection import Connection
from fhe_face.remote.login import read_token
from fhe_face.tokens import tokens_of

_LARGEST: Final = 1 << 30
_STATUS: Final = {"unknown": DIFFERENT, "uncertain": NOT_SURE, "refused": UNHEALTHY}
_REQUEST: Final = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Place:
    """Where an authority is, and how it is asked."""

    url: str
    token_file: Path | None
    ca: Path | None

    @contextmanager
    def opened(self) -> Iterator[RemoteAuthority]:
        """LoginError: another URL, or no token."""
        token = read_token(self.token_file)
        with Connection(self.url, token, ca=self.ca) as connection:
            yield RemoteAuthority(connection)


@dataclass(frozen=True)
class Asked:
    """What the options say of a request. UsageError: they do not fit."""

    face: Path | None
    probe: Path | None
    subject: str | None
    gallery: str | None
    enrol: bool
    names: bool

    def __post_init__(self) -> None:
        more = self.subject or self.gallery or self.enrol or self.names
        if self.face is None and self.probe is None:
            if more:
                raise UsageError("say which request is meant: --face FACE.ct, or --probe PROBE")
            return
        if (self.face is None) == (self.probe is None):
            raise UsageError("choose one of --face and --probe")
        if self.probe is not None and (self.gallery is None or self.enrol):
            raise UsageError("--probe goes with --gallery NAME, and without --enrol")
        if self.face is None or (self.gallery is not None and not self.enrol):
            return
        if self.subject is None or self.names:
            raise UsageError(
                "--face goes with --subject NAME, or with the --gallery that is searched by it"
            )

    @property
    def named(self) -> bool:
        return self.face is not None or self.probe is not None

    def announce(self, authority: RemoteAuthority) -> Answered:
        """Tell of it. ContainerError: the file has no token."""
        if self.face is not None:
            header = read_header(self.face, expect_kind=Kind.CIPHERTEXT)
            tokens = tokens_of(header.source, known_facts(header))
            if len(tokens) != 1:
                raise UsageError(
                    f"{header.source}: holds {len(tokens)} faces, and a request is of one: encrypt "
                    "each photo into a file of its own"
                )
            (token,) = tokens
            kind = "enrol" if self.enrol else "match" if self.gallery is None else "search"
        else:
            assert self.probe is not None
            token, kind = read_header(self.probe, expect_kind=Kind.PROBE).text("token"), "search"
        return authority.announce(
            kind, token, subject=self.subject, gallery=self.gallery, names=self.names
        )


def announce(place: Place, asked: Asked, as_json: bool) -> None:
    """Print the request's id."""
    if not asked.named:
        raise UsageError("say what is announced: --face FACE.ct, or --probe PROBE")
    with place.opened() as authority:
        told = asked.announce(authority)
    Output(as_json).answer(told.to_json(), lambda console: console.print(told.request))


def ask(place: Place, result: Path, asked: Asked, as_json: bool) -> None:
    """Announce, hand in, and say what was answered."""
    data = read_bounded(result, _LARGEST)
    with place.opened() as authority:
        if asked.named:
            asked.announce(authority)
        told = authority.deliver(data)
    _say(told, as_json)


def answer(place: Place, request: str, as_json: bool) -> None:
    """Say what was answered."""
    if not _REQUEST.fullmatch(request):
        raise UsageError(f"{shown(request)}: the id of a request is 32 hexadecimal digits")
    with place.opened() as authority:
        told = authority.answer(request)
    _say(told, as_json)


def _say(told: Answered, as_json: bool) -> None:
    output = Output(as_json)
    if told.answer == "refused":
        raise CommandError(f"no answer: {told.reason}", UNHEALTHY, told.to_json())
    said = told.answer or ("taken" if told.state == "opened" else told.state)
    if told.subject is not None:
        said += f" {told.subject}"
    if told.score is not None:
        said += f" ({told.score:.3f})"
    output.answer(told.to_json(), lambda console: console.print(said, markup=False))
    status = _STATUS.get(told.answer or "", 0)
    if status:
        raise SystemExit(status)
