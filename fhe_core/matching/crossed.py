"""What a server makes of a face that it switched itself, and what leaves it: all of it public."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fhe_core.ciphertext import Words
from fhe_core.matching.parameters import MatchParameters
from fhe_core.matching.values import Scores

Products = NDArray[np.uint32]
#: The id of a person that a face is enrolled for.
SUBJECT: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, eq=False)
class SwitchedFace:
    """A face in a gallery's ring: what an enrolment is until its owner has seen it.

    Attributes:
        parameters: of the gallery.
        key_id: of the gallery's key.
        request: the token of the face's request, in hexadecimal, as results carry it.
        subject: whom it is enrolled for, an id that says nothing; "" of a face to look up.
        embedding, norm: ciphertexts [2, n] in NTT form, see `switch_plan.SwitchPlan`.
    """

    parameters: MatchParameters
    key_id: str
    request: str
    subject: str
    embedding: Words
    norm: Words


def token_of(request: str) -> bytes:
    """What the answer to a face is known by: SHA-256 of its request's token."""
    return hashlib.sha256(bytes.fromhex(request)).digest()


@dataclass(frozen=True, eq=False)
class Findings:
    """The answer to a face that a server looked up itself, with what its health is judged by.

    Attributes:
        scores: of the gallery's blocks; their token is that of the face's request
            (`token_of`).
        norm: the face's squared norm, a ciphertext [2, n] in NTT form.
        products: with the face itself, whose length this is squared, and with every face that
            waits: c0's first coefficient and c1 modulo 2^result_bits, u32 [1 + waiting, 1 + n].
        waiting: digests of the faces that wait, in order.
    """

    scores: Scores
    norm: Words
    products: Products
    waiting: tuple[str, ...]
