"""All rows of a gallery from one store into another that is empty; blocks are sealed anew there."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from fhe_face.gallery.stored import GalleryStore
from fhe_face.progress import Stage, silent
from fhe_face.store import Subject, Template

#: Rows of one transaction.
_ROWS = 1000


def copy_rows(source: GalleryStore, target: GalleryStore, stage: Stage = silent) -> int:
    """People, templates, refusals, and what was merged or deleted; how many templates.

    Ids, names and records stay as they are, sealed. When each template was added begins anew.
    Templates of deleted people come without a mark of their own: they are deleted with them.

    Raises:
        StoreError: one of both cannot be used; what was copied stays.
    """
    said = source.merged()
    people = list(source.subjects(include_deleted=True))
    there = {row.id for row in people}
    # Who is there was not merged, whatever a server says: it would give a person's templates away.
    merged = [(id, into) for id, into in said if id not in there]
    target.add([Subject(row.id, row.name) for row in people])
    target.add([Subject(id, None) for id, _ in merged])
    gone = {row.id for row in people if row.deleted}
    total, count = source.counts(), 0
    all_of_them = total.templates + total.deleted_templates
    deleted: list[str] = []
    waiting: list[Template] = []
    for row in source.templates(include_deleted=True):
        waiting.append(Template(row.id, row.subject, row.source, row.record))
        if row.deleted and row.subject not in gone:
            deleted.append(row.id)
        count += 1
        if len(waiting) == _ROWS:
            target.add(templates=waiting)
            waiting = []
            stage("copying templates", count, max(count, all_of_them))
    target.add(templates=waiting)
    target.add(refusals=source.refusals())
    for into, some in groupby(sorted(merged, key=itemgetter(1)), key=itemgetter(1)):
        target.merge([id for id, _ in some], into)
    if deleted:
        target.delete_templates(deleted)
    if gone:
        target.delete_subjects(sorted(gone))
    stage("copying templates", count, count)
    return count
