"""All rows of one store into another, whatever databases they are in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, func, select, text

from fhe_face.store.tables import ALL, blocks, subjects, templates

_ROWS: Final = 2000
#: Tables whose rows are numbered by the database.
_NUMBERED: Final = (subjects, templates, blocks)


def copy_rows(source: Connection, target: Connection) -> None:
    """Copy every row, with its number; `target` has empty tables."""
    for table in ALL:
        query = select(table)
        if table is subjects:  # a row that refers to another comes after it
            query = query.order_by(subjects.c.merged_into.is_not(None), subjects.c.number)
        copy_table(source, target, table, query)
    continue_numbers(target, _NUMBERED)


def copy_table(
    source: Connection, target: Connection, table: Table, query: Select[Any] | None = None
) -> None:
    """Copy the rows of a table, or those that a query of it gives, into one without these rows."""
    streaming = source.execution_options(yield_per=_ROWS)
    with streaming.execute(select(table) if query is None else query) as result:
        for part in result.mappings().partitions():
            target.execute(table.insert(), [dict(row) for row in part])


def continue_numbers(target: Connection, tables: Iterable[Table]) -> None:
    """PostgreSQL counts apart from the rows: new ones come after those that were copied."""
    if target.dialect.name != "postgresql":
        return
    for table in tables:
        last = target.execute(select(func.max(table.c.number))).scalar()
        if last is not None:
            sequence = text("SELECT setval(pg_get_serial_sequence(:table, 'number'), :last)")
            target.execute(sequence, {"table": table.name, "last": last})
