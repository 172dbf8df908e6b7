"""Answers of other parties are counted, as those of the engine's key are (docs/security.md)."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fhe_core import container
from fhe_core.container import Corrupt, Header, Kind, read_header
from fhe_core.formats.matching import load_scores, scores_from_bytes
from fhe_core.matching import Asked, Probe, Scores
from fhe_core.matching.answers import ANSWER_LIMIT, answers_of
from fhe_face.client.ledger import FileLedger, Ledger, Warn
from fhe_face.gallery.index import Searcher

#: Blocks that an answer may name: those of a gallery of 33 million people.
_MOST_BLOCKS: Final = 4096


@dataclass(frozen=True)
class Counted:
    """Counts what searchers that are not this process answer.

    A search is counted as what it may give away (`answers_of`): one name of all, or nobody. A
    gallery whose server is this very process is not counted: nobody else chose its ciphertexts.
    """

    ledger: Ledger
    limit: int
    warn: Warn

    @classmethod
    def beside(cls, path: Path, key_id: str, limit: int | None, warn: Warn) -> Counted:
        """With the ledger of a gallery's key."""
        most = ANSWER_LIMIT if limit is None else limit
        return cls(FileLedger(path, key_id, most, warn), most, warn)

    def of_key(self, path: Path, key_id: str) -> Counted:
        """The same for another key of the gallery."""
        return Counted.beside(path, key_id, self.limit, self.warn)

    def around(self, searcher: Searcher, outcomes: int) -> Searcher:
        """A searcher whose scores are counted before they are opened.

        outcomes: how many different things may be said because of one search.
        """
        return _Around(searcher, self.ledger, answers_of(outcomes))


@dataclass(frozen=True)
class _Around:
    inner: Searcher
    ledger: Ledger
    answers: int

    def search(self, probe: Probe, /) -> Scores:
        """As `Searcher.search`.

        Raises:
            AnswerLimitError: the key has given as many answers as it may.
        """
        scores = self.inner.search(probe)
        digest = hashlib.sha256(scores.token + "\n".join(scores.blocks).encode())
        digest.update(scores.words.tobytes())
        self.ledger.spend(digest.digest(), self.answers)
        return scores


def read_scores(path: str | os.PathLike[str], probe: Probe) -> Scores:
    """Scores that another process has written, as the answer to a probe.

    Which blocks they are of, and what lives there, the file says; the gallery compares that with
    what it knows.

    Raises:
        AnswerMismatch: they answer another probe. ContainerError: they are damaged, or no scores.
    """
    return load_scores(path, _asked(read_header(path, expect_kind=Kind.SCORES), probe))


def scores_of(data: bytes, probe: Probe) -> Scores:
    """As `read_scores`, of a file's content."""
    with container.loads(data, name="the server's scores", expect_kind=Kind.SCORES) as reader:
        asked = _asked(reader.header, probe)
    return scores_from_bytes(data, asked, "the server's scores")


def _asked(header: Header, probe: Probe) -> Asked:
    found = header.metadata.get("blocks")
    blocks = found if isinstance(found, list) else []
    if len(blocks) > _MOST_BLOCKS or not all(isinstance(digest, str) for digest in blocks):
        raise Corrupt(f"{header.source}: its list of blocks is malformed")
    named = tuple(str(digest) for digest in blocks)
    masks = header.text("masks")
    return Asked(probe.parameters, probe.key_id, probe.token, named, masks)
