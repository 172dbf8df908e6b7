"""Who did what, when, and with what outcome. Only added to; holds no secret and no body."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from fhe_face.service.rows import now
from fhe_face.service.tables import audit
from fhe_face.store.database import Database

_LONGEST = 300


@dataclass(frozen=True)
class Deed:
    """One request. token: the public id; action: method and route; object: the path."""

    tenant: str
    token: str
    action: str
    object: str
    status: int
    request: str
    at: int = 0


def write_deed(database: Database, deed: Deed) -> None:
    """Add one."""
    with database.locked() as connection:
        connection.execute(
            audit.insert().values(
                at=now(),
                tenant=deed.tenant,
                token=deed.token,
                action=_printable(deed.action),
                object=_printable(deed.object),
                status=deed.status,
                request=deed.request,
            )
        )


def read_deeds(database: Database, tenant: str | None = None, limit: int = 1000) -> list[Deed]:
    """The newest, the oldest of them first."""
    query = select(audit).order_by(audit.c.number.desc()).limit(limit)
    if tenant is not None:
        query = query.where(audit.c.tenant == tenant)
    with database.reading() as connection:
        rows = connection.execute(query).all()
    return [
        Deed(r.tenant, r.token, r.action, r.object, r.status, r.request, r.at)
        for r in reversed(rows)
    ]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:_LONGEST])
