"""The reaction attack: a secret key from the decisions on crafted "batches of scores".

A crafted file has c1 = a small constant A, so that slot j decrypts to x_j + g s(zeta_j), and claims
that every other slot is the score of a face. Squared norms are trivial encryptions. Each decision
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
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from fhe_face.client.headroom import room, scores_fit
from fhe_face.client.health import beside, check_score, expected_norm, fitting
from fhe_face.places import Places

Floats = NDArray[np.float64]
#: Of every decision.
THRESHOLD = 0.4
#: Bits of every number of the secret.
BITS = 5
#: The client refuses imaginary parts beyond a twentieth.
_QUIET = 0.045
#: Numbers of the secret lie within so many of their deviations, nearly all of them.
_DEVIATIONS = 4.6

#: Decisions of a client on a bundle: one for each face, None where it refused.
Oracle = Callable[[Bundle], Sequence[bool | None]]


@dataclass
class Attack:
    """What the attacker knows: the public key for one rotation, and what a result looks like."""

    parameters: Parameters
    key_id: str
    normalisation: Normalisation
    evaluator: Evaluator
    facts: Mapping[str, Any]
    items: Sequence[ItemHead]
    norm: float
    decisions: int = 0
    files: int = 0
    _context: Any = field(init=False)

    def __post_init__(self) -> None:
        n = self.parameters.ring_dimension
        self._context = _native.Context(n, list(self.parameters.moduli), 1)

    def run(self, oracle: Oracle) -> NDArray[np.int64]:
        """The attacker's best guess of all coefficients of the secret."""
        slots = self.parameters.slots
        largest = _DEVIATIONS * np.sqrt(self.parameters.ring_dimension / 3)
        parts = []
        for imaginary in (False, True):
            low, high = np.full(slots, -largest), np.full(slots, largest)
            for _ in range(BITS):
                middle = (low + high) / 2
                found = oracle(self.craft(middle, _QUIET / largest, imaginary))
                self.files += 1
                self.decisions += len(found)
                for face, same in enumerate(found):
                    half, place = divmod(face, slots // 2)
                    slot = 2 * place + half
                    if same is not None:
                        (low if same else high)[slot] = middle[slot]
            parts.append((low + high) / 2)
        guess = encoding.encode(parts[0] + 1j * parts[1], self.parameters.ring_dimension, 1.0)
        return np.asarray(guess, dtype=np.int64)

    def craft(self, middle: Floats, gain: float, imaginary: bool) -> Bundle:
        """A file whose decisions compare Re (or Im) s(zeta_j) with middle[j] for all slots j."""
        norms = expected_norm(self.normalisation, self.norm) ** 2
        wanted = THRESHOLD * norms - gain * middle
        mask = self._mask(self.items[0], gain, imaginary)
        odd = self.evaluator.rotate_many(mask, (1,))[0]
        scores = (
            self._with_message(mask, wanted),
            self._with_message(odd, np.roll(wanted, -1)),
        )
        norm = self._trivial(self.items[1], np.full(self.parameters.slots, self.norm))
        parts = [scores[0], norm, norm, scores[1], norm, norm]
        items = {item.name: part for item, part in zip(self.items, parts, strict=True)}
        slots = self.parameters.slots
        facts = {**self.facts, "runs": [["batch", slots]], "embedding": 1}
        return Bundle("score", self.parameters, self.key_id, items, facts, {})

    def _mask(self, item: ItemHead, gain: float, imaginary: bool) -> Ciphertext:
        """(0, A) or (0, -i A): decrypts to g s(zeta_j), or to its product with -i."""
        n = self.parameters.ring_dimension
        polynomial = np.zeros(n, dtype=np.int64)
        polynomial[n // 2 if imaginary else 0] = (-1 if imaginary else 1) * round(gain * item.scale)
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
        slots = [key.decrypt(item) for item in bundle.items.values()]
        ((_, count),) = bundle.facts["runs"]
        places = Places(count, 2)
        length = bundle.facts["embedding"]
        rooms = [room(item, key.parameters) for item in bundle.items.values()]
        fit = [
            scores_fit(slots[i + 1].real, slots[i + 2].real, normalisation, length, rooms[i])
            for i in (0, 3)
        ]
        found: list[bool | None] = []
        for number in range(count):
            half, start = places.locate(number)
            own, other = (
                [part[start : start + length] for part in slots[3 * side + 1 : 3 * side + 3]]
                for side in (half, 1 - half)
            )
            norms = [beside(*pair) for pair in zip(own, other, strict=True)]
            value, report = check_score(slots[3 * half][start : start + 1], norms, normalisation)
            report = fitting(report, "scores", fit[half])
            both = np.prod([expected_norm(normalisation, y) for y in report.squared_norms])
            found.append(bool(value / both >= THRESHOLD) if report.healthy else None)
        return found

    return decide
