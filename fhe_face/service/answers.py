"""Answers to POSTs with an idempotency key: the same request again gets the same answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select

from fhe_face.service.errors import Invalid, OtherRequest, StillRunning
from fhe_face.service.rows import now
from fhe_face.service.tables import answers
from fhe_face.service.tenants import tenant_locked
from fhe_face.store.database import Database

#: Longer answers are not kept: such requests change nothing.
LARGEST = 1 << 16
#: A request that has not ended after so many seconds was cut off by a crash; where this is the only
#: API process, it forgets them when it starts.
_ABANDONED = 300
_LONGEST_KEY = 128


@dataclass(frozen=True)
class Kept:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answers:
    """Those of all tenants. seconds: how long they are kept."""

    database: Database
    seconds: float

    def claim(self, tenant: str, key: str, request: str) -> Kept | None:
        """The answer to a request, by its digest; None: it is new, and now runs.

        Raises:
            OtherRequest: the key was used for another one. StillRunning: it is not answered yet.
            Invalid: the key is empty, too long or not printable.
        """
        if not 1 <= len(key) <= _LONGEST_KEY or not (key.isascii() and key.isprintable()):
            raise Invalid(f"an idempotency key has 1 to {_LONGEST_KEY} printable ASCII characters")
        mine = answers.c.tenant == tenant, answers.c.key == key
        with tenant_locked(self.database, tenant) as connection:
            row = connection.execute(select(answers).where(*mine)).first()
            if row is not None and not self._over(row.created, row.status):
                if row.request != request:
                    raise OtherRequest("this idempotency key was used for another request")
                if row.status is None:
                    raise StillRunning("the same request is still running")
                return Kept(row.status, json.loads(row.headers), bytes(row.body))
            connection.execute(answers.delete().where(*mine))
            values = {"tenant": tenant, "key": key, "request": request, "created": now()}
            connection.execute(answers.insert().values(**values, headers="{}", body=b""))
        return None

    def keep(self, tenant: str, key: str, answer: Kept) -> None:
        """Keep the answer to a request that was claimed."""
        values = {
            "status": answer.status,
            "headers": json.dumps(dict(answer.headers)),
            "body": answer.body,
        }
        mine = answers.c.tenant == tenant, answers.c.key == key
        with tenant_locked(self.database, tenant) as connection:
            connection.execute(answers.update().where(*mine).values(**values))

    def release(self, tenant: str, key: str) -> None:
        """Forget a claim: the request failed, and may be tried again."""
        mine = answers.c.tenant == tenant, answers.c.key == key
        with tenant_locked(self.database, tenant) as connection:
            connection.execute(answers.delete().where(*mine, answers.c.status.is_(None)))

    def forget_interrupted(self) -> None:
        """Forget all claims: whoever ran those requests is gone, and they may be sent again."""
        with self.database.locked() as connection:
            connection.execute(answers.delete().where(answers.c.status.is_(None)))

    def sweep(self) -> None:
        """Forget what is kept long enough."""
        with self.database.locked() as connection:
            connection.execute(answers.delete().where(answers.c.created < now() - self.seconds))

    def _over(self, created: int, status: int | None) -> bool:
        return created < now() - (_ABANDONED if status is None else self.seconds)
