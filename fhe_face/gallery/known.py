"""Which photos a gallery knows already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhe_face.gallery.stored import GalleryStore

#: (template id, subject id, whether it is deleted)
Row = tuple[str, str, bool]


@dataclass(frozen=True)
class Known:
    """Sources of templates, deleted ones too, and those that were refused."""

    rows: Mapping[str, Sequence[Row]]
    refusals: frozenset[str]

    @classmethod
    def of(cls, store: GalleryStore) -> Known:
        """As a store is now."""
        rows: dict[str, list[Row]] = {}
        for row in store.templates(include_deleted=True):
            if row.source is not None:
                rows.setdefault(row.source, []).append((row.id, row.subject, row.deleted))
        return cls(rows, frozenset(refusal.source for refusal in store.refusals()))

    def templates(self, source: str) -> Sequence[Row]:
        """Of a photo."""
        return self.rows.get(source, ())

    def refused(self, source: str) -> bool:
        """Whether the photo, or a face of it, was refused."""
        return source in self.refusals
