"""What a process does to a gallery until it is killed, and what must be there afterwards.

Before and after each operation it writes a line; what it said was done must be there, and of what
it had begun, a part or all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fhe_face.gallery.gallery import Gallery
from tests.gallery.kit import face, photo, save

PHOTOS = 3
#: People that are there at once: whoever is this much older is deleted.
ALIVE = 5


def paint(photos: Path, first: int, until: int) -> None:
    """PHOTOS/0/0.png ...: of people by number."""
    for person in range(first, until):
        for number in range(PHOTOS):
            save(photos / f"{person}" / f"{number}.png", photo(face(person % 250, number)))


def act(gallery: Gallery, photos: Path, what: str, whom: int) -> None:
    if what == "enrol":
        gallery.enroll(photos / f"{whom}", subject=f"{whom}")
    elif what == "delete" and whom >= 0:
        gallery.delete([f"{whom}"])
    elif what == "compact":
        gallery.compact()


@dataclass
class Model:
    """Who must be there, by what the lines say. begun: the operation that was interrupted."""

    alive: set[int] = field(default_factory=set)
    begun: tuple[str, int] | None = None
    ended: int = 0

    def read(self, text: str) -> None:
        self.begun = None
        for line in text.splitlines():
            which, what, whom = line.split()
            if which == "begin":
                self.begun = what, int(whom)
                continue
            self.begun = None
            self.ended += 1
            if what == "enrol":
                self.alive.add(int(whom))
            elif what == "delete":
                self.alive.discard(int(whom))

    def require(self, gallery: Gallery) -> None:
        """Nothing lost, nothing doubled, nothing back from the dead."""
        found = {one.name: one.templates for one in gallery.subjects() if one.templates}
        uncertain = self.begun[1] if self.begun and self.begun[0] != "compact" else None
        for person in self.alive - {uncertain}:
            assert found.pop(f"{person}", 0) == PHOTOS, person
        if uncertain is not None:
            assert found.pop(f"{uncertain}", 0) <= PHOTOS
        assert not found, "people who were deleted"

    def finish(self, gallery: Gallery, photos: Path) -> None:
        """What was interrupted, done again, is done."""
        if self.begun is None:
            return
        what, whom = self.begun
        act(gallery, photos, what, whom)
        if what == "enrol":
            assert gallery.subject(f"{whom}").templates == PHOTOS
            self.alive.add(whom)
        elif what == "delete":
            self.alive.discard(whom)
