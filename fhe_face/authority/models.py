"""The JSON of requests and answers. Every text of a request has a bound."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fhe_face.authority.authority import Told
from fhe_face.authority.requests import Question
from fhe_face.authority.words import NAME_PATTERN, Kind

Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", max_length=63)]


class Announced(BaseModel):
    """A request that a device tells of.

    token: that its result will carry, in hexadecimal: of a face 48 bytes, of a probe 32.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    token: Annotated[str, Field(pattern="^[0-9a-f]+$", min_length=64, max_length=96)]
    subject: Name | None = None
    gallery: Name | None = None
    names: bool = False

    def question(self) -> Question:
        """The same for the core."""
        return Question(self.kind, self.token, self.subject, self.gallery, self.names)


class Answer(BaseModel):
    """What is said about a request. Words; `score` only for a token with that scope."""

    request: str
    kind: str
    state: str
    answer: str | None = None
    reason: str | None = None
    subject: str | None = None
    score: float | None = None

    @classmethod
    def of(cls, told: Told) -> Answer:
        """From the core."""
        return cls(**told.to_json())


class About(BaseModel):
    """What an authority is, and what the caller may do."""

    name: str
    version: str
    api: str
    device: str
    scopes: list[str]
    key: str | None
    galleries: list[str]
