"""Which requests may be announced: by whom, and whether they make sense here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from fhe_core.matching import crossed
from fhe_core.matching.values import TOKEN_BYTES
from fhe_face.authority.galleries import Known, known_gallery
from fhe_face.authority.requests import Question
from fhe_face.authority.searches import Searches
from fhe_face.authority.thresholds import MATCHES, Standard, standard_of
from fhe_face.authority.words import Caller, Kind, Scope, checked_name
from fhe_face.service.errors import Invalid, NotHere
from fhe_face.store.database import Database
from fhe_face.tokens import NONCE_BYTES, TAG_BYTES

_FACE: Final = re.compile(f"[0-9a-f]{{{2 * (NONCE_BYTES + TAG_BYTES)}}}")
_PROBE: Final = re.compile(f"[0-9a-f]{{{2 * TOKEN_BYTES}}}")


@dataclass(frozen=True)
class Questions:
    """faces: whether a client.key is held; searches: openers of galleries, by their keys' ids."""

    database: Database
    faces: bool
    searches: Mapping[str, Searches]

    def require(self, caller: Caller, question: Question) -> Question:
        """The question, with the token that its result carries.

        Raises:
            Forbidden: the token may not ask this. Invalid, NotHere: it makes no sense here.
        """
        caller.require(Scope.ENROL if question.kind is Kind.ENROL else Scope.ASK)
        by_face = _FACE.fullmatch(question.token) is not None
        asked = _known_by(question)
        if asked.subject is not None:
            checked_name(asked.subject, "person")
        if asked.kind is Kind.SEARCH:
            self._require_search(caller, asked, by_face)
        elif asked.gallery is not None:
            self._require_enrolment(asked)
        else:
            self._require_face(asked)
        return asked

    def _require_face(self, question: Question) -> None:
        if not self.faces:
            raise NotHere("this authority holds no client.key")
        if question.subject is None or question.names:
            raise Invalid(f"a request of kind '{question.kind}' has a subject and nothing else")
        if question.kind is Kind.MATCH:
            require_standard(standard_of(self.database, MATCHES))

    def _require_enrolment(self, question: Question) -> None:
        """Of a face that a server enrols in a gallery by itself."""
        if question.kind is Kind.MATCH or question.subject is None or question.names:
            raise Invalid("a gallery is searched, or a subject's face is enrolled in it")
        self._gallery(question).require_crossing()

    def _require_search(self, caller: Caller, question: Question, by_face: bool) -> None:
        """by_face: a server searches for the face by itself."""
        known = self._gallery(question)
        if by_face:
            known.require_crossing()
        if question.names:
            caller.require(Scope.NAMES)
            if question.subject is not None:
                raise Invalid("whoever names a subject needs no name: leave out one of both")

    def _gallery(self, question: Question) -> Known:
        if question.gallery is None:
            raise Invalid("a search is of a gallery")
        known = known_gallery(self.database, question.gallery)
        opener_of(self.searches, known)
        return known


def opener_of(searches: Mapping[str, Searches], known: Known) -> Searches:
    """What opens results of a gallery. NotHere: its key is not held."""
    try:
        return searches[known.key_id]
    except KeyError:
        raise NotHere("this authority does not hold the gallery's key") from None


def require_standard(standard: Standard | None) -> Standard:
    """The thresholds of matches, which were looked up. NotHere: there are none."""
    if standard is None:
        raise NotHere("this authority has no thresholds for matches")
    return standard


def _known_by(question: Question) -> Question:
    """The question, with the token that its result carries.

    A search by a sealed probe has the probe's token, one that a server does by itself that which
    follows from the face's.

    Raises:
        Invalid: that is no token.
    """
    if question.kind is Kind.SEARCH and _PROBE.fullmatch(question.token):
        return question
    if not _FACE.fullmatch(question.token):
        raise Invalid("that is no token of such a request, in hexadecimal")
    if question.kind is Kind.SEARCH:
        return replace(question, token=crossed.token_of(question.token).hex())
    return question
