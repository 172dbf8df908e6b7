"""Which photos a gallery knows already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from fhe_face.gallery.ids import Ids
from fhe_face.store import NotStored, Store

#: (template id, subject id, whether it is deleted)
Row = tuple[str, str, bool]
#: Faces of a photo that are asked for by their ids before all rows are read.
_FIRST_FACES: Final = 3


@dataclass
class Known:
    """Sources of templates, deleted ones too, and of refusals, with their sealed reasons.

    As the store was when this was made. A photo's templates are found by their ids; only for ids
    that the caller chose all rows are read, once.
    """

    store: Store
    ids: Ids
    sources: set[str]
    refusals: Mapping[str, bytes]
    _rows: dict[str, list[Row]] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, store: Store, ids: Ids) -> Known:
        """As a store is now."""
        refusals = {refusal.source: refusal.reason for refusal in store.refusals()}
        return cls(store, ids, store.sources(), refusals)

    def refusal(self, source: str) -> bytes | None:
        """The sealed reason where the photo, or a face of it, was refused."""
        return self.refusals.get(source)

    def some(self, source: str) -> Sequence[Row]:
        """Templates of a photo, perhaps not all; none where there is none."""
        if source not in self.sources:
            return ()
        found: list[Row] = []
        for number in range(1, _FIRST_FACES + 1):
            with suppress(NotStored):
                row = self.store.template(self.ids.template(source, number))
                found.append((row.id, row.subject, row.deleted))
        return found or self.every(source)

    def every(self, source: str) -> Sequence[Row]:
        """All templates of a photo."""
        if self._rows is None:
            self._rows = {}
            for row in self.store.templates(include_deleted=True):
                if row.source is not None:
                    found = row.id, row.subject, row.deleted
                    self._rows.setdefault(row.source, []).append(found)
        return self._rows.get(source, ())
