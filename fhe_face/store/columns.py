"""Types of columns that hold the same in SQLite and in PostgreSQL."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Integer

#: Counts, sizes and times beyond 2^31; SQLite needs INTEGER for a row's own number.
Number: Final = BigInteger().with_variant(Integer, "sqlite")
