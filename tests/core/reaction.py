"""The reaction attack: a secret key from the decisions on crafted "batches of scores".

A crafted file has c1 = a small constant A, so that slot j decrypts to x_j + g s(zeta_j), and claims
that every slot is the score of a face. Squared norms are trivial encryptions. Each decision
then halves the interval of one number of the secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native, encoding
from fhe_core.ciphertext import Ciphertext
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.formats.heads import ItemHead
from fhe_core.normalisation import Normalisation
from fhe_core.parameters import Parameters
from fhe_core.secret.key import SecretKey
from fhe_face.client.headroom import room, scores_fit
from fhe_face.client.health import check_score, expected_norm, fitting
from fhe_face.places import Places

Floats = NDArray[np.float64]
#: Of every decision.
THRESHOLD = 0.4
#: Bits of every number of the secret.
BITS = 5
#: Of a score, what the largest number of the secret may add.
_GAIN = 0.045
#: Numbers of the secret lie within so many of their deviations, nearly all of them.
_DEVIATIONS = 4.6

#: Decisions of a client on a bundle: one for each face, None where it refused.
Oracle = Callable[[Bundle], Sequence[bool | None]]


@dataclass
class Attack:
    """What the attacker knows: what a result looks like."""

    parameters: Parameters
    key_id: str
    normalisation: Normalisation
    facts: Mapping[str, Any]
    items: Sequence[ItemHead]
    norm: float
    decisions: int = 0
    files: int = 0
    _context: Any = field(init=False)

    def __post_init__(self) -> None:
        n = self.parameters.ring_dimension
        self._context = _native.Context(
            n, list(self.parameters.moduli), 1, ring=self.parameters.ring.value
        )

    def run(self, oracle: Oracle) -> NDArray[np.int64]:
        """The attacker's best guess of all coefficients of the secret."""
        slots = self.parameters.slots
        # A slot of the secret is a sum of N coefficients of variance 2/3, times 2 cos.
        largest = _DEVIATIONS * np.sqrt(4 / 3 * self.parameters.ring_dimension)
        low, high = np.full(slots, -largest), np.full(slots, largest)
        for _ in range(BITS):
            middle = (low + high) / 2
            found = oracle(self.craft(middle, _GAIN / largest))
            self.files += 1
            self.decisions += len(found)
            for slot, same in enumerate(found):
                if same is not None:
                    (low if same else high)[slot] = middle[slot]
        guess = encoding.encode((low + high) / 2, self.parameters.ring_dimension, 1.0)
        return np.asarray(guess, dtype=np.int64)

    def craft(self, middle: Floats, gain: float) -> Bundle:
        """A file whose decisions compare s(zeta_j) with middle[j] for all slots j."""
        norms = expected_norm(self.normalisation, self.norm) ** 2
        wanted = THRESHOLD * norms - gain * middle
        score = self._with_message(self._mask(self.items[0], gain), wanted)
        norm = self._trivial(self.items[1], np.full(self.parameters.slots, self.norm))
        parts = [score, norm, norm]
        items = {item.name: part for item, part in zip(self.items, parts, strict=True)}
        slots = self.parameters.slots
        facts = {**self.facts, "runs": [["batch", slots]], "embedding": 1}
        return Bundle("score", self.parameters, self.key_id, items, facts, {})

    def _mask(self, item: ItemHead, gain: float) -> Ciphertext:
        """(0, A): decrypts to g s(zeta_j)."""
        n = self.parameters.ring_dimension
        polynomial = np.zeros(n, dtype=np.int64)
        polynomial[0] = round(gain * item.scale)
        rows = self.parameters.levels[item.level].rows
        residues = np.zeros((2, len(rows), n), dtype=np.uint64)
        residues[1] = self._context.embed_signed(polynomial, rows)
        return Ciphertext(residues, item.scale, item.level)

    def _trivial(self, item: ItemHead, slots: Floats) -> Ciphertext:
        shape = (2, self.parameters.levels[item.level].limbs, self.parameters.ring_dimension)
        zero = Ciphertext(np.zeros(shape, dtype=np.uint64), item.scale, item.level)
        return self._with_message(zero, slots)

    def _with_message(self, ciphertext: Ciphertext, slots: Floats) -> Ciphertext:
        rows = self.parameters.levels[ciphertext.level].rows
        encoded = encoding.encode(slots, self.parameters.ring_dimension, ciphertext.scale)
        residues = ciphertext.residues.copy()
        message = self._context.embed_signed(encoded, rows)
        residues[0] = self._context.add(np.ascontiguousarray(residues[0]), message, rows)
        return replace(ciphertext, residues=residues)


def believing_client(key: SecretKey, normalisation: Normalisation) -> Oracle:
    """What the client did before it compared shapes: it took count, room, length, limbs and scale
    from the file, and every check of health passed."""

    def decide(bundle: Bundle) -> list[bool | None]:
        scores, left, right = (key.decrypt(item) for item in bundle.items.values())
        ((_, count),) = bundle.facts["runs"]
        places = Places(count, 1)
        length = bundle.facts["embedding"]
        limit = room(next(iter(bundle.items.values())), key.parameters)
        fit = scores_fit(left, right, normalisation, length, limit)
        found: list[bool | None] = []
        for number in range(count):
            own = places.slots(number, length)
            value, report = check_score(scores[own][:1], [left[own], right[own]], normalisation)
            report = fitting(report, "scores", fit)
            both = np.prod([expected_norm(normalisation, y) for y in report.squared_norms])
            found.append(bool(value / both >= THRESHOLD) if report.healthy else None)
        return found

    return decide
