"""The public random half of keys and fresh ciphertexts, expanded from a 32-byte seed.

AES-256 in counter mode from the cryptography package; every row has a counter block of its own
(domain, digit, row), so rows can be expanded in any order. Residues are uniform by rejection.
"""

from __future__ import annotations

import struct
from functools import lru_cache

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from fhe_core import _native

SEED_BYTES = 32
#: Domains of the counter block: fresh ciphertexts use 0, evaluation keys 1 + their position.
FRESH_DOMAIN = 0
#: Words that a cipher wants beyond its output: a block.
_MARGIN = 2


def uniform_row(
    seed: bytes, domain: int, digit: int, row: int, modulus: int, out: NDArray[np.uint64]
) -> None:
    """Fill ``out`` [N] with uniform residues modulo ``modulus``.

    Raises:
        ValueError: the seed has the wrong length.
    """
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a seed has {SEED_BYTES} bytes")
    block = struct.pack("<IHH8x", domain, digit, row)
    stream = Cipher(algorithms.AES(seed), modes.CTR(block)).encryptor()
    filled = 0
    while filled < out.size:
        missing = out.size - filled
        count = missing + missing // 64 + 16
        words = np.empty(count + _MARGIN, dtype="<u8")
        stream.update_into(_zeros(8 * count), words.view(np.uint8).data)
        drawn = words[:count].astype(np.uint64, copy=False)
        filled += _native.fill_uniform(out[filled:], drawn, modulus)


@lru_cache(maxsize=4)
def _zeros(count: int) -> bytes:
    """What the stream is added to."""
    return bytes(count)
