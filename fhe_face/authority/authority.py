"""The authority: requests are announced, results are handed in, and a word comes out.

What a server sends decides residues and nothing else. Before a result is opened its shape is
compared, its request is looked up, and the answer is counted; before the word leaves it is written.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fhe_core import container
from fhe_core.container import Kind as FileKind
from fhe_core.errors import Failure
from fhe_face.authority import log
from fhe_face.authority.faces import Checked, Claim, Faces
from fhe_face.authority.galleries import known_gallery
from fhe_face.authority.policy import Policy
from fhe_face.authority.questions import Questions, opener_of, require_standard
from fhe_face.authority.requests import Question, Request, Requests, Verdict
from fhe_face.authority.searches import SEARCHES, CheckedFace, CheckedScores, Searches, token_of
from fhe_face.authority.thresholds import MATCHES, standard_of
from fhe_face.authority.words import UNHEALTHY, Caller, Kind, Scope, State, Word, checked_name
from fhe_face.client.ledger import AnswerLimitError
from fhe_face.service.errors import Forbidden, NotHere, OverQuota
from fhe_face.service.rows import now
from fhe_face.store.database import Database

_SPENT: Final = "the key has given as many answers as it may: make a new key"
Clock = Callable[[], int]


@dataclass(frozen=True)
class Told:
    """What a caller is told about a request. score: only with the scope for it."""

    request: str
    kind: Kind
    state: State
    word: Word | None = None
    found: str | None = None
    score: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Without what is not there. No numbers but a score that may be told."""
        told: dict[str, Any] = {
            "request": self.request,
            "kind": self.kind.value,
            "state": self.state.value,
        }
        if self.word is not None:
            told["answer"] = self.word.value
        if self.word is Word.REFUSED:
            told["reason"] = UNHEALTHY
        if self.found is not None:
            told["subject"] = self.found
        if self.score is not None:
            told["score"] = self.score
        return told


@dataclass(frozen=True)
class Authority:
    """One authority. faces, searches: openers of the keys that it holds, by the keys' ids."""

    database: Database
    policy: Policy
    faces: Faces | None = None
    searches: Mapping[str, Searches] = field(default_factory=dict)
    clock: Clock = now
    _one: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def requests(self) -> Requests:
        return Requests(self.database, self.policy)

    def announce(self, caller: Caller, question: Question) -> Request:
        """Tell of a request before its result comes.

        Raises: as `Questions.require` and `Requests.announce`.
        """
        questions = Questions(self.database, self.faces is not None, self.searches)
        asked = questions.require(caller, question)
        return self.requests.announce(caller, asked, self.clock())

    # --- deciding ---------------------------------------------------------------------------------

    def deliver(self, caller: Caller, data: bytes) -> Told:
        """Take a result; what its caller may be told of it.

        A device is told the answer to its own request. Anybody else learns that the result was
        taken, whatever the answer is.

        Raises:
            Forbidden: the token may not hand in results.
            NotHere: nobody has announced the request.
            ContainerError, MatchingError: the result has another shape than it must have.
            OtherContent: the request was decided by another result.
            TooManyRequests, OverQuota: there are no answers left, for now or for this key.
        """
        caller.require(Scope.DELIVER)
        with container.loads(data, name="the result") as reader:
            kind = reader.header.kind
        if kind in SEARCHES:
            return self._deliver_scores(caller, data)
        if kind is FileKind.SWITCHED_FACE:
            return self._deliver_switched(caller, data)
        return self._deliver_face(caller, data)

    def _deliver_scores(self, caller: Caller, data: bytes) -> Told:
        token = token_of(data)
        request = self.requests.by_token(token)
        if request is None or request.question.kind is not Kind.SEARCH:
            raise _unannounced()
        with self._noting(caller, request):
            known = known_gallery(self.database, request.question.gallery or "")
            opener = opener_of(self.searches, known)
            checked = opener.check(data, token, known)

            def decide() -> tuple[Verdict, float]:
                return opener.decide(checked, request.question, self.policy.near_band)

            return self._decided(caller, request, checked, decide)

    def _deliver_switched(self, caller: Caller, data: bytes) -> Told:
        request = self.requests.by_token(token_of(data))
        if request is None or request.question.gallery is None:
            raise _unannounced()
        with self._noting(caller, request):
            known = known_gallery(self.database, request.question.gallery)
            opener = opener_of(self.searches, known)
            checked = opener.check_face(data, known)
            if checked.face.subject != request.question.subject:
                raise NotHere("the face is enrolled for another person than was announced")
            return self._decided(
                caller, request, checked, lambda: (opener.enrol(checked), math.nan)
            )

    def _deliver_face(self, caller: Caller, data: bytes) -> Told:
        if self.faces is None:
            raise NotHere("this authority holds no client.key")
        faces, standard = self.faces, standard_of(self.database, MATCHES)
        asked: list[Request] = []
        checked = faces.check(
            data,
            None if standard is None else standard.weights,
            lambda claim: asked.append(self._asked_about(claim)),
        )
        (request,) = asked

        def decide() -> tuple[Verdict, float]:
            if checked.claim.is_score:
                return faces.match(checked, require_standard(standard), self.policy.near_band)
            return faces.enrol(checked), math.nan

        with self._noting(caller, request):
            return self._decided(caller, request, checked, decide)

    def _asked_about(self, claim: Claim) -> Request:
        """The request that a result answers: of a match, one side's; the other one's is enrolled.

        Raises:
            NotHere: there is none.
        """
        wanted = Kind.MATCH if claim.is_score else Kind.ENROL
        for place, token in enumerate(claim.tokens):
            request = self.requests.by_token(token)
            if request is None or request.question.kind is not wanted:
                continue
            if request.question.gallery is not None:
                raise NotHere("the face was announced for a gallery")
            if request.sender not in (None, claim.senders[place]):
                raise NotHere("the face was encrypted by another device than has announced it")
            others = [one for number, one in enumerate(claim.tokens) if number != place]
            subject = request.question.subject
            if all(self.requests.enrolled(subject, other) for other in others):
                return request
            raise NotHere("the other face of the score is none that the subject has enrolled")
        raise _unannounced()

    def _decided(
        self,
        caller: Caller,
        request: Request,
        checked: Checked | CheckedScores | CheckedFace,
        decide: Callable[[], tuple[Verdict, float]],
    ) -> Told:
        """Count, open, write, tell: in this order. One result is opened at a time."""
        own = caller.device == request.device and self._may_hear(caller, request)
        numbers = own and caller.may(Scope.SCORES)
        score = math.nan
        with self._one:
            counted = self.requests.claim(request, checked.digest, caller, self.clock())
            if counted.state is State.OPENED or numbers:
                verdict, score = decide()
                counted = self.requests.settle(counted, verdict, self.clock())
        if not own:
            return Told(request.id, request.question.kind, State.OPENED)
        if numbers and math.isfinite(score):
            line = log.Line("numbers", caller.device, caller.token, request=request.id)
            self.requests.note(line, self.clock())
            return _told(counted, score)
        return _told(counted)

    def _noting(self, caller: Caller, request: Request) -> _Noting:
        return _Noting(self, caller, request)

    # --- telling ----------------------------------------------------------------------------------

    def answer(self, caller: Caller, id: str) -> Told:
        """What is known of a request of this device. NotHere: it has announced none of this id."""
        request = self.requests.of_device(id, caller.device)
        if not self._may_hear(caller, request):
            raise Forbidden("this token may not hear answers of this kind")
        return _told(request)

    def _may_hear(self, caller: Caller, request: Request) -> bool:
        """Whether a token of the request's device may be told its answer."""
        enrols = request.question.kind is Kind.ENROL
        hears = caller.may(Scope.ENROL if enrols else Scope.ASK)
        return hears and (not request.question.names or caller.may(Scope.NAMES))

    def end(self, caller: Caller, subject: str) -> int:
        """No face of a subject is compared with any more; how many there were."""
        caller.require(Scope.ENROL)
        return self.requests.end(checked_name(subject, "person"), caller, self.clock())


@dataclass(frozen=True)
class _Noting:
    """Writes down what was refused, and says why in words that hold no number of a result."""

    authority: Authority
    caller: Caller
    request: Request

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, Failure):
            return
        spent = isinstance(error, AnswerLimitError)
        question = self.request.question
        line = log.Line(
            "refused",
            self.caller.device,
            self.caller.token,
            question.subject or "",
            self.request.id,
            error.code,
        )
        self.authority.requests.note(line, self.authority.clock())
        if spent:
            raise OverQuota(_SPENT) from error


def _unannounced() -> NotHere:
    return NotHere("no device has announced a request that this result answers")


def _told(request: Request, score: float | None = None) -> Told:
    kind, state = request.question.kind, request.state
    return Told(request.id, kind, state, request.word, request.found, score)
