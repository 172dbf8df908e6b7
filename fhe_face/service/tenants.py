"""Tenants and their quotas. A tenant is made with its first token, and is known by its tokens only:
key ids are public, and whoever uploads first could take another's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from fhe_face.service.errors import Invalid, NotHere, OverQuota
from fhe_face.service.rows import Quotas, checked_tenant, now
from fhe_face.service.tables import galleries, resources, tenants
from fhe_face.store.database import Database

#: A quota beyond these is none, and would not fit PostgreSQL's integers.
_MOST: Final = {"bytes": 10**18, "jobs": 10**9, "requests": 10**9}


@dataclass(frozen=True)
class Tenant:
    """A namespace."""

    name: str
    quotas: Quotas
    created: int


def make_tenant(database: Database, name: str, quotas: Quotas) -> None:
    """Make a tenant, or give the one of that name these quotas.

    Raises:
        Invalid: no name of a tenant, or a quota beyond `_MOST`.
    """
    values = {"bytes": quotas.bytes, "jobs": quotas.jobs, "requests": quotas.requests}
    checked_tenant(name)
    for quota, most in _MOST.items():
        if values[quota] > most:
            raise Invalid(f"{quota}: a quota is at most {most:,}")
    with database.locked() as connection:
        changed = connection.execute(
            tenants.update().where(tenants.c.name == name).values(**values)
        )
        if changed.rowcount == 0:
            connection.execute(tenants.insert().values(name=name, created=now(), **values))


def all_tenants(database: Database) -> list[Tenant]:
    """By name."""
    with database.reading() as connection:
        rows = connection.execute(select(tenants).order_by(tenants.c.name)).all()
    return [
        Tenant(row.name, Quotas(row.bytes, row.jobs, row.requests), row.created) for row in rows
    ]


def quotas_of(database: Database, name: str) -> Quotas | None:
    """A tenant's quotas; None: there is no such tenant."""
    with database.reading() as connection:
        row = connection.execute(select(tenants).where(tenants.c.name == name)).first()
    return None if row is None else Quotas(row.bytes, row.jobs, row.requests)


@contextmanager
def tenant_locked(database: Database, name: str) -> Iterator[Connection]:
    """A transaction that no other one of the tenant's runs beside. NotHere: no such tenant."""
    with database.locked() as connection:
        query = select(tenants.c.name).where(tenants.c.name == name).with_for_update()
        if connection.execute(query).first() is None:
            raise NotHere("there is no such tenant")
        yield connection


def bytes_used(connection: Connection, tenant: str) -> int:
    """What is stored for a tenant, and what its uploads will take."""
    total = 0
    for table in (resources, galleries):
        query = select(func.coalesce(func.sum(table.c.bytes), 0)).where(table.c.tenant == tenant)
        total += int(connection.execute(query).scalar_one())
    return total


def require_room(connection: Connection, tenant: str, more: int) -> None:
    """Raise OverQuota unless so many bytes more may be stored."""
    query = select(tenants.c.bytes).where(tenants.c.name == tenant)
    quota, used = int(connection.execute(query).scalar_one()), bytes_used(connection, tenant)
    if used + more > quota:
        raise OverQuota(
            f"this takes {more} bytes, and {max(0, quota - used)} of the quota of {quota} bytes "
            "are free: delete what is not needed"
        )
