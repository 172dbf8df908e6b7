"""How many answers a secret key has given, counted beside the key.

An answer is one score, embedding or refusal that somebody may get to see. Whoever chooses the
ciphertexts learns from it at most one of three outcomes (same, different, refused), so at most one
ternary coefficient of the secret. docs/security.md derives the limit from that.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from fhe_core.errors import Failure
from fhe_core.files import FileError, explain, shown
from fhe_core.formats.ciphertexts import Bundle

#: Answers of a key, by default: 2^12 known coefficients leave every parameter set an attack of
#: more than 2^120 operations (tests/face/test_security_page.py computes it).
DEFAULT_LIMIT = 4096
#: From this share of the limit on, every new answer comes with a warning.
WARNING_SHARE = 0.8
SUFFIX = ".ledger"

_APPLICATION = 0x46484541
_VERSION = 1
_WAIT_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE answers (
    key_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    answers INTEGER NOT NULL CHECK (answers > 0),
    PRIMARY KEY (key_id, digest)
) WITHOUT ROWID
"""

#: Told what a person should know.
Warn = Callable[[str], None]


class LedgerError(FileError):
    """The file that counts answers cannot be used; it is never replaced silently."""

    code = "ledger"


class AnswerLimitError(Failure, ValueError):
    """The key has given as many answers as it may; the text says what can be done."""

    code = "answer-limit"


class Ledger(Protocol):
    """Counts the answers of one key."""

    def spend(self, digest: bytes, answers: int) -> None:
        """Count a result before it is decrypted; one that was counted before is free.

        Raises:
            AnswerLimitError: the limit would be passed. Nothing is counted then.
            LedgerError: the count cannot be read or written.
        """
        ...


def result_digest(bundle: Bundle) -> bytes:
    """Names a result: equal digests decrypt to equal answers."""
    digest = hashlib.sha256()
    for name, item in bundle.items.items():
        form = [bundle.what, name, str(item.level), item.scale.hex()]
        digest.update("\n".join(form).encode("utf-8", "surrogatepass") + b"\0")
        digest.update(item.residues.tobytes())
    return digest.digest()


def warn_in_python(text: str) -> None:
    """The default for programs."""
    warnings.warn(text, stacklevel=2)


class MemoryLedger:
    """For a key that has no file, and lives no longer than this object."""

    def __init__(self, limit: int = DEFAULT_LIMIT, warn: Warn = warn_in_python) -> None:
        self.limit = _checked(limit)
        self._warn = warn
        self._seen: dict[bytes, int] = {}

    @property
    def answers(self) -> int:
        """Given so far."""
        return sum(self._seen.values())

    def spend(self, digest: bytes, answers: int) -> None:
        """See `Ledger.spend`."""
        if self._seen.get(digest, 0) >= answers:
            return
        used = self.answers - self._seen.get(digest, 0) + answers
        _require(used, answers, self.limit)
        self._seen[digest] = answers
        _warn_near(used, self.limit, self._warn)


class FileLedger:
    """Beside a key file: a small SQLite database, mode 0600. Every answer is one transaction."""

    def __init__(
        self,
        path: Path,
        key_id: str,
        limit: int = DEFAULT_LIMIT,
        warn: Warn = warn_in_python,
    ) -> None:
        self.path = path
        self.limit = _checked(limit)
        self._key_id = key_id
        self._warn = warn

    def create(self) -> None:
        """Make an empty one, unless there is one already; whole or not at all.

        Raises:
            LedgerError: it cannot be written.
        """
        if os.path.lexists(self.path):
            return
        temporary = self.path.with_name(f".{self.path.name}.{os.urandom(8).hex()}.tmp")
        try:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with closing(sqlite3.connect(temporary, isolation_level=None)) as database:
                database.execute(_SCHEMA)
                database.execute(f"PRAGMA application_id = {_APPLICATION}")
                database.execute(f"PRAGMA user_version = {_VERSION}")
            with suppress(FileExistsError):  # another process was first
                os.link(temporary, self.path)
        except OSError as error:
            raise LedgerError(_unusable(self.path, str(explain(self.path, "write", error)))) from (
                error
            )
        except (sqlite3.Error, ValueError) as error:
            raise LedgerError(_unusable(self.path, str(error))) from error
        finally:
            with suppress(OSError):
                temporary.unlink()

    @property
    def answers(self) -> int:
        """Given so far under this key; 0 where nothing was counted yet.

        Raises:
            LedgerError: the file cannot be used.
        """
        if not os.path.lexists(self.path):
            return 0
        with self._transaction() as database:
            return self._total(database)

    def spend(self, digest: bytes, answers: int) -> None:
        """See `Ledger.spend`."""
        if not os.path.lexists(self.path):
            self._warn(
                f"{shown(self.path)} is missing: answers of this key are counted from zero; "
                "bring the file along where a key is moved"
            )
            self.create()
        with self._transaction() as database:
            row = database.execute(
                "SELECT answers FROM answers WHERE key_id = ? AND digest = ?",
                (self._key_id, digest),
            ).fetchone()
            before = 0 if row is None else int(row[0])
            if before >= answers:
                return
            used = self._total(database) - before + answers
            _require(used, answers, self.limit)
            database.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (self._key_id, digest, answers)
            )
        _warn_near(used, self.limit, self._warn)

    def _total(self, database: sqlite3.Connection) -> int:
        query = "SELECT COALESCE(SUM(answers), 0) FROM answers WHERE key_id = ?"
        return int(database.execute(query, (self._key_id,)).fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The open, checked database; committed at the end of the block, undone by an error."""
        try:
            if not self.path.is_file():
                raise LedgerError(_unusable(self.path, "it is not a regular file"))
            database = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None)
            with closing(database):
                database.execute("PRAGMA synchronous = FULL")
                database.execute("BEGIN IMMEDIATE")
                marks = [
                    database.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("application_id", "user_version")
                ]
                if marks != [_APPLICATION, _VERSION]:
                    raise LedgerError(_unusable(self.path, "it is no ledger of this version"))
                pages, page_bytes = (
                    int(database.execute(f"PRAGMA {name}").fetchone()[0])
                    for name in ("page_count", "page_size")
                )
                check = database.execute("PRAGMA quick_check(1)").fetchone()[0]
                if check != "ok" or self.path.stat().st_size != pages * page_bytes:
                    raise LedgerError(_unusable(self.path, "it is damaged"))
                try:
                    yield database
                except BaseException:
                    database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
        except (sqlite3.Error, OverflowError) as error:
            raise LedgerError(_unusable(self.path, str(error))) from error


def beside(
    key: str | os.PathLike[str],
    key_id: str,
    limit: int = DEFAULT_LIMIT,
    warn: Warn = warn_in_python,
) -> FileLedger:
    """The ledger of a key file: client.ledger for client.key, beside the file that a link names."""
    path = Path(os.path.realpath(key)).with_suffix(SUFFIX)
    return FileLedger(path, key_id, limit, warn)


def _checked(limit: int) -> int:
    if limit < 1:
        raise AnswerLimitError(f"a limit of {limit} answers; it must be at least 1")
    return limit


def _require(used: int, answers: int, limit: int) -> None:
    if used > limit:
        raise AnswerLimitError(
            f"the key has given {used - answers} answers, {answers} more would pass its limit of "
            f"{limit}: make a new key, or raise the limit knowingly (--answer-limit; "
            "docs/security.md says what an answer is worth)"
        )


def _warn_near(used: int, limit: int, warn: Warn) -> None:
    if used >= WARNING_SHARE * limit:
        warn(f"the key has given {used} of the {limit} answers that it may; plan a new key")


def _unusable(path: Path, why: str) -> str:
    return (
        f"{shown(path)}: cannot be used to count the key's answers ({why}); put back the file that "
        "belongs to the key"
    )
