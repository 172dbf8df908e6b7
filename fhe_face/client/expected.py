"""What a client accepts as a result: the shape of its own plans, and an answer to its own request.

The server decides the residues and nothing else. docs/security.md lists every field of a result
with what it is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from fhe_core.container import KeyMismatch, WrongKind
from fhe_core.formats.heads import Admission, Head
from fhe_core.secret.key import SecretKey
from fhe_face.client.requests import (
    DEVICE_PURPOSE,
    PURPOSE,
    Asked,
    Requests,
    Sent,
    asked_of,
    require_asked,
    require_once,
    require_sent,
)
from fhe_face.engine import Engine
from fhe_face.places import EMBEDDING, SCORE, Packing, Run
from fhe_face.senders import senders_of
from fhe_face.shapes import require_key, require_shape
from fhe_face.tokens import sides_of, tokens_of

#: Devices whose keys of tokens are kept: each takes an HKDF over the secret.
_KEPT = 256


class RevokedDevice(KeyMismatch):
    """A result of a device that its owner has revoked."""

    code = "revoked-device"


def device_tokens(key: SecretKey, device: str) -> bytes:
    """The 32 bytes with which a device makes the tokens of its requests; its owner finds them
    again from the secret, so that nothing has to be kept to check one."""
    return key.derive(DEVICE_PURPOSE + device)


class Expected:
    """The results of one key and the plans of one engine."""

    def __init__(
        self, key: SecretKey, engine: Engine, revoked: Callable[[str], bool] | None = None
    ) -> None:
        """revoked: says of a device's id whether its owner has revoked it; None: there are none."""
        self._key_id = key.key_id
        self._engine = engine
        self._revoked = revoked
        self.requests = Requests(key.derive(PURPOSE))
        self._of_devices = lru_cache(_KEPT)(lambda device: Requests(device_tokens(key, device)))

    def asked(self, run: Run, facts: object) -> Asked:
        """What the token of a run of images or results fixes."""
        return asked_of(self._engine, run, facts)

    def _sides(self, head: Head, sides: int) -> list[Requests]:
        """Who asked, for each side of a result.

        Raises:
            RevokedDevice: a device that its owner has revoked.
        """
        found = []
        for device in senders_of(head.source, head.facts, sides):
            if device is not None and self._revoked is not None and self._revoked(device):
                raise RevokedDevice(
                    f"{head.source}: answers device {device[:8]}, which was revoked: its results "
                    "are not opened"
                )
            found.append(self.requests if device is None else self._of_devices(device))
        return found

    def require(
        self, head: Head, what: str | None = None, sent: Sequence[Sent] = ()
    ) -> tuple[Run, ...]:
        """Compare a result with what this client asked for; what: the kind, where it is known.

        sent: what the result must be the answer to, in order; nothing: any request of this key.
        Returns the runs of its faces, of which as many may be decrypted.

        Raises:
            KeyMismatch: it belongs to another key.
            NoScoresError: a score, of a key whose client normalises.
            Corrupt, WrongKind, ParameterMismatch: another shape than the plans give.
            RequestMismatch: it answers no request of this key or of the device that it names, one
                twice, or another than ``sent``.
            RevokedDevice: a device that its owner has revoked asked for it.
        """
        wanted = what or head.what
        if wanted not in (EMBEDDING, SCORE):
            raise WrongKind(
                f"{head.source}: expected encrypted embeddings or scores, got an encrypted "
                f"{head.what}"
            )
        require_key(head, self._key_id)
        if wanted == SCORE:
            self._engine.circuit.require_scores()
        runs = require_shape(head, wanted, self._engine)
        sides = sides_of(wanted)
        tokens = tokens_of(head.source, head.facts, sides * len(runs))
        makers = self._sides(head, sides)
        for number, run in enumerate(runs):
            asked = [self.asked(run, head.facts)]
            if wanted == SCORE and run.packing is Packing.BATCH and self._mixes():
                # One face that was computed alone, compared with all of a batch.
                asked.append(self.asked(Run(Packing.ALONE, 0, 1), head.facts))
            own = tokens[sides * number : sides * (number + 1)]
            require_asked(head.source, list(zip(makers, own, strict=True)), asked)
        require_once(head.source, tokens, sides)
        if sent:
            require_sent(head.source, tokens, sent, sides)
        return runs

    def _mixes(self) -> bool:
        """Whether a face that was computed alone can be compared with those of a batch."""
        both = (Packing.ALONE, Packing.BATCH)
        return Packing.ALONE in self._engine.packings and self._engine.alike(both)

    def admission(self, what: str | None = None, sent: Sequence[Sent] = ()) -> Admission:
        """For `load_bundle`: the same, from the header alone."""

        def admit(head: Head) -> None:
            self.require(head, what, sent)

        return admit
