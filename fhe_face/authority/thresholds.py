"""From which score a face is a match, and below which it is unknown: two thresholds, kept here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from fhe_face.authority.tables import thresholds
from fhe_face.authority.words import Word
from fhe_face.gallery.decisions import Answer, Decision
from fhe_face.store.database import Database

#: Those of matches; a gallery's stand under its own name.
MATCHES: Final = "match"
_WORDS: Final = {
    Answer.MATCH: Word.MATCH,
    Answer.UNCERTAIN: Word.UNCERTAIN,
    Answer.UNKNOWN: Word.UNKNOWN,
}


@dataclass(frozen=True)
class Standard:
    """decision: the thresholds, and where they are from. weights: the digest that results of these
    weights name; None: any."""

    decision: Decision
    weights: str | None = None

    def word(self, score: float) -> Word:
        """What is said about a score."""
        return _WORDS[self.decision.answer(score)]

    def near(self, score: float, band: float) -> bool:
        """Whether a score is between the thresholds, or closer than `band` to one."""
        low, high = self.decision.different_below - band, self.decision.same_from + band
        return low < score < high


def gallery_name(gallery: str) -> str:
    """Under which thresholds of a gallery are kept."""
    return f"gallery {gallery}"


def keep(connection: Connection, name: str, standard: Standard) -> None:
    """Put thresholds in place of others."""
    decision = standard.decision
    connection.execute(thresholds.delete().where(thresholds.c.name == name))
    connection.execute(
        thresholds.insert().values(
            name=name,
            same_from=decision.same_from,
            different_below=decision.different_below,
            origin=decision.origin,
            weights=standard.weights,
        )
    )


def standard_of(database: Database, name: str) -> Standard | None:
    """The thresholds of that name, where there are any."""
    with database.reading() as connection:
        row = connection.execute(select(thresholds).where(thresholds.c.name == name)).first()
    if row is None:
        return None
    decision = Decision(row.same_from, row.different_below, origin=row.origin)
    return Standard(decision, row.weights)
