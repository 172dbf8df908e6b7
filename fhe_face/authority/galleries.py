"""What galleries hold, as their owner has told: blocks, live positions, and whose these are.

The server is not asked: a result of other blocks, or of other positions, is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import select

from fhe_core.matching.values import Mask, masks_digest
from fhe_face.authority import log
from fhe_face.authority.tables import galleries, places
from fhe_face.authority.thresholds import Standard, gallery_name, keep, standard_of
from fhe_face.service.errors import NotHere
from fhe_face.store.database import Database


@dataclass(frozen=True, eq=False)
class Place:
    """A block. live: [N]; owners: subjects of its live positions, in order."""

    digest: str
    live: Mask
    owners: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Known:
    """A gallery.

    key_id: of its key; crossing: what leads to it, where its server searches by itself
    (`fhe_core.formats.switching.described`).
    """

    name: str
    key_id: str
    places: tuple[Place, ...]
    standard: Standard
    crossing: Mapping[str, Any] | None = None

    @property
    def masks(self) -> str:
        """The digest that scores must have."""
        return masks_digest([place.live for place in self.places])

    @property
    def blocks(self) -> tuple[str, ...]:
        return tuple(place.digest for place in self.places)

    def require_crossing(self) -> Mapping[str, Any]:
        """What leads to it. NotHere: nothing does."""
        if self.crossing is None:
            raise NotHere("no server enrols or searches by itself in this gallery")
        return self.crossing

    @property
    def people(self) -> int:
        """How many subjects there are."""
        return len({owner for place in self.places for owner in place.owners})


def keep_gallery(database: Database, known: Known, at: int) -> None:
    """What a gallery holds now, in place of what it held."""
    with database.locked() as connection:
        connection.execute(places.delete().where(places.c.gallery == known.name))
        connection.execute(galleries.delete().where(galleries.c.name == known.name))
        connection.execute(
            galleries.insert().values(
                name=known.name,
                key_id=known.key_id,
                updated=at,
                crossing=None if known.crossing is None else json.dumps(dict(known.crossing)),
            )
        )
        for number, place in enumerate(known.places):
            connection.execute(
                places.insert().values(
                    gallery=known.name,
                    number=number,
                    digest=place.digest,
                    live=np.packbits(place.live).tobytes(),
                    owners=json.dumps(place.owners),
                )
            )
        keep(connection, gallery_name(known.name), known.standard)
        log.write(connection, log.Line("gallery", word=known.name), at)


def known_gallery(database: Database, name: str) -> Known:
    """NotHere: nobody has told of a gallery of this name."""
    with database.snapshot() as connection:
        row = connection.execute(select(galleries).where(galleries.c.name == name)).first()
        query = select(places).where(places.c.gallery == name).order_by(places.c.number)
        found = connection.execute(query).all()
    standard = standard_of(database, gallery_name(name))
    if row is None or standard is None:
        raise NotHere("this authority knows no such gallery")
    crossing = None if row.crossing is None else json.loads(row.crossing)
    return Known(name, row.key_id, tuple(map(_place, found)), standard, crossing)


def gallery_names(database: Database) -> Sequence[str]:
    """All that are known."""
    with database.reading() as connection:
        query = select(galleries.c.name).order_by(galleries.c.name)
        return [str(row[0]) for row in connection.execute(query)]


def _place(row: object) -> Place:
    digest, live, owners = (getattr(row, name) for name in ("digest", "live", "owners"))
    mask = np.unpackbits(np.frombuffer(live, np.uint8)).astype(np.bool_)
    return Place(str(digest), mask, tuple(json.loads(owners)))
