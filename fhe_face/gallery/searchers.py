"""Answers of other parties are counted, as those of the engine's key are (docs/security.md)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fhe_core.matching import Probe, Scores
from fhe_face.client.ledger import DEFAULT_LIMIT, FileLedger, Ledger, Warn
from fhe_face.gallery.index import Searcher

#: One search gives one of: this person, uncertain, unknown.
_ANSWERS = 1


@dataclass(frozen=True)
class Counted:
    """Counts what searchers that are not this process answer.

    A gallery whose server is this very process is not counted: nobody else chose its ciphertexts.
    """

    ledger: Ledger

    @classmethod
    def beside(cls, path: Path, key_id: str, limit: int | None, warn: Warn) -> Counted:
        """With the ledger of a gallery's key."""
        return cls(FileLedger(path, key_id, DEFAULT_LIMIT if limit is None else limit, warn))

    def around(self, searcher: Searcher) -> Searcher:
        """A searcher whose scores are counted before they are opened."""
        return _Around(searcher, self.ledger)


@dataclass(frozen=True)
class _Around:
    inner: Searcher
    ledger: Ledger

    def search(self, probe: Probe, /) -> Scores:
        """As `Searcher.search`.

        Raises:
            AnswerLimitError: the key has given as many answers as it may.
        """
        scores = self.inner.search(probe)
        digest = hashlib.sha256(scores.token + "\n".join(scores.blocks).encode())
        digest.update(scores.words.tobytes())
        self.ledger.spend(digest.digest(), _ANSWERS)
        return scores
