"""What a client accepts as a result: the shape of its own plans, and an answer to its own request.

The server decides the residues and nothing else. docs/security.md lists every field of a result
with what it is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhe_core.container import Corrupt
from fhe_core.formats.heads import Admission, Head
from fhe_core.inverse_root import InverseRoot
from fhe_core.plan import Plan
from fhe_core.secret.key import SecretKey
from fhe_face.client.requests import PURPOSE, Asked, Requests, Sent, preparation_of, require_sent
from fhe_face.places import Batch, Kinds, kinds_of
from fhe_face.shapes import Shape, embedding_shape, require_key, score_shape
from fhe_face.tokens import tokens_of


@dataclass(frozen=True)
class Accepted:
    """A result that may be decrypted: how many faces the request had, and where they lie.

    length: of an embedding.
    """

    count: int
    batch: Batch | None
    length: int

    @property
    def places(self) -> Batch:
        """Of a batch."""
        assert self.batch is not None
        return self.batch


class Expected:
    """The results of one key, one plan for embeddings and one for matches."""

    def __init__(self, key: SecretKey, plan: Plan, match_plan: Plan) -> None:
        self._key_id = key.key_id
        self._plan = plan.digest
        self.requests = Requests(key.derive(PURPOSE))
        self.kinds: Kinds = kinds_of(plan)
        self.root = InverseRoot.from_description(plan.metadata["normalisation"])
        self.length = int(plan.metadata["embedding"])
        # How many requests a result answers belongs to its kind.
        self._shapes: dict[str, tuple[Shape, int]] = {
            self.kinds.embedding: (embedding_shape(plan), 1),
            self.kinds.score: (score_shape(plan, match_plan), 2),
        }

    def require(self, head: Head, what: str | None = None, sent: Sequence[Sent] = ()) -> Accepted:
        """Compare a result with what this client asked for; what: the kind, where it is known.

        sent: what the result must be the answer to, in order; nothing: any request of this key.

        Raises:
            KeyMismatch: it belongs to another key.
            Corrupt, ParameterMismatch: another shape than the plans give.
            RequestMismatch: it answers no request of this key, or another one than ``sent``.
        """
        shape, sides = self._shape(head, what)
        require_key(head, self._key_id)
        count = shape.require(head)
        tokens = tokens_of(head.source, head.facts, sides)
        asked = Asked(self.kinds.image, count, self._plan, preparation_of(head.facts))
        self.requests.require(head.source, tokens, asked)
        if sent:
            require_sent(head.source, tokens, sent)
        batch = None if shape.room is None else Batch(count, *shape.room)
        return Accepted(count, batch, self.length)

    def admission(self, what: str | None = None, sent: Sequence[Sent] = ()) -> Admission:
        """For `load_bundle`: the same, from the header alone."""

        def admit(head: Head) -> None:
            self.require(head, what, sent)

        return admit

    def _shape(self, head: Head, what: str | None) -> tuple[Shape, int]:
        wanted = what or head.what
        if wanted not in self._shapes:
            known = " or ".join(self._shapes)
            raise Corrupt(f"{head.source}: expected an encrypted {known}, got a {head.what}")
        return self._shapes[wanted]
