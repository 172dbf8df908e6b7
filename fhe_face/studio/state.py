"""What one studio holds while it runs: one person, one page, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from fhe_face.failures import UsageError
from fhe_face.gallery.gallery import Gallery
from fhe_face.studio.comparing import Comparing
from fhe_face.studio.engine import Engine
from fhe_face.studio.guard import Access
from fhe_face.studio.jobs import Desk
from fhe_face.studio.people import PeopleDesk
from fhe_face.studio.photos import Look, Looks
from fhe_face.studio.pictures import Pictures
from fhe_face.studio.readiness import Readiness

SIDES: Final = ("a", "b")
WAYS: Final = ("encrypted", "clear")


@dataclass(eq=False)
class Studio:
    """All parts, and the two photos to compare."""

    engine: Engine
    access: Access
    gallery: Gallery | None = None
    #: What was chosen last.
    encrypted: bool = True
    looks: dict[str, Look] = field(default_factory=dict)
    #: Of the photos that were refused: one sentence each.
    refused: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pictures = Pictures()
        self.finder = Looks(self.engine.size, self.pictures)
        self.desk = Desk()
        self.readiness = Readiness(self.engine)
        self.comparing = Comparing(self.engine, self.readiness, self.pictures)
        self.people = PeopleDesk(
            self.engine, self.readiness, self.pictures, self.finder, self.gallery
        )

    def choose(self, way: str) -> bool:
        """How faces are embedded from now on; whether it is encrypted.

        Raises:
            UsageError: there is no such way.
        """
        if way not in WAYS:
            raise UsageError(f"faces are computed in one of these ways: {', '.join(WAYS)}")
        self.encrypted = way == WAYS[0]
        return self.encrypted

    def put(self, side: str, look: Look | None, refused: str | None = None) -> None:
        """Another photo on a side, or none; refused: why it is none."""
        before = self.looks.pop(side, None)
        self.refused.pop(side, None)
        if before is not None:
            self.pictures.forget(*before.pictures)
        if look is not None:
            self.looks[side] = look
        elif refused is not None:
            self.refused[side] = refused

    def both(self) -> list[Look]:
        """The two photos.

        Raises:
            UsageError: one is missing.
        """
        if any(side not in self.looks for side in SIDES):
            raise UsageError("choose two photos first")
        return [self.looks[side] for side in SIDES]

    def close(self) -> None:
        """End all that is under way; nothing stays but a gallery that was given."""
        self.desk.call_last(self.people.close)
        self.readiness.close()
        self.engine.close()
