"""Which photos a gallery knows already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhe_face.gallery.stored import GalleryStore
from fhe_face.store import Placed


@dataclass(frozen=True)
class Known:
    """Sources of templates, deleted ones too, and of refusals, with their sealed reasons.

    refusals: as they were when this was made.
    """

    store: GalleryStore
    refusals: Mapping[str, bytes]

    @classmethod
    def of(cls, store: GalleryStore) -> Known:
        """Of a store."""
        return cls(store, {refusal.source: refusal.reason for refusal in store.refusals()})

    def refusal(self, source: str) -> bytes | None:
        """The sealed reason where the photo, or a face of it, was refused."""
        return self.refusals.get(source)

    def templates(self, source: str) -> Sequence[Placed]:
        """Of a photo; none where there is none."""
        return self.store.from_sources([source]).get(source, ())
