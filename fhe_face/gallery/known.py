"""Which photos a gallery knows already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhe_face.gallery.stored import GalleryStore

#: (template id, subject id, whether it is deleted)
Row = tuple[str, str, bool]


@dataclass(frozen=True)
class Known:
    """Sources of templates, deleted ones too, and of refusals, with their sealed reasons."""

    rows: Mapping[str, Sequence[Row]]
    refusals: Mapping[str, bytes]

    @classmethod
    def of(cls, store: GalleryStore) -> Known:
        """As a store is now."""
        rows: dict[str, list[Row]] = {}
        for row in store.templates(include_deleted=True):
            if row.source is not None:
                rows.setdefault(row.source, []).append((row.id, row.subject, row.deleted))
        return cls(rows, {refusal.source: refusal.reason for refusal in store.refusals()})

    def templates(self, source: str) -> Sequence[Row]:
        """Of a photo."""
        return self.rows.get(source, ())

    def refusal(self, source: str) -> bytes | None:
        """The sealed reason where the photo, or a face of it, was refused."""
        return self.refusals.get(source)
