"""The native functions of a search, slowly, until they have landed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.ciphertext import Words

Bytes = NDArray[np.uint8]


def pack48(words: Words) -> Bytes:
    if np.any(words >> np.uint64(48)):
        raise ValueError("a word has more than 48 bits")
    data = np.ascontiguousarray(words, "<u8").view(np.uint8)
    return np.ascontiguousarray(data.reshape(*words.shape, 8)[..., :6]).reshape(
        *words.shape[:-1], 6 * words.shape[-1]
    )


def unpack48(data: Bytes) -> Words:
    n = data.shape[-1] // 6
    out = np.zeros((*data.shape[:-1], n, 8), np.uint8)
    out[..., :6] = data.reshape(*data.shape[:-1], n, 6)
    return out.view("<u8").reshape(*data.shape[:-1], n)


def _switched(
    context: _native.Context,
    polynomial: Words,
    addend: Words,
    key: Words,
    p_mod_q: int,
    permutation: NDArray[np.uint32] | None,
) -> Words:
    digits = context.decompose(polynomial, 1, [1])
    extended = context.switch_key(digits, key, 1, [1], addend, [p_mod_q], permutation, None)
    return context.divide_and_round(extended, [0, 1], 1)


def expand_constants(
    context: _native.Context,
    roots: Words,
    keys: Sequence[Words],
    permutations: Sequence[NDArray[np.uint32]],
    powers: Sequence[int],
    p_mod_q: int,
) -> Words:
    n = context.n
    nodes = [np.ascontiguousarray(root[:, None]) for root in roots]
    leaves = 1
    for key, permutation, power in zip(keys, permutations, powers, strict=True):
        monomial = np.zeros(n, np.int64)
        monomial[n - power] = -1
        factor = context.embed_signed(monomial, [0])
        even, odd = [], []
        for c in nodes:
            turned = _switched(context, c[1], c[:1], key, p_mod_q, permutation)
            even.append(np.stack([context.add(c[i], turned[i], [0]) for i in range(2)]))
            differences = [context.subtract(c[i], turned[i], [0]) for i in range(2)]
            odd.append(np.stack([context.multiply(d, factor, [0]) for d in differences]))
        # Of each root, leaves whose number has this level's bit follow those without.
        nodes = []
        for first in range(0, len(even), leaves):
            nodes += even[first : first + leaves] + odd[first : first + leaves]
        leaves *= 2
    return np.stack([c[:, 0] for c in nodes])


class ProbeTiles:
    def __init__(self, constants: Words) -> None:
        self.constants = constants


class BlockMemory:
    def __init__(self, features: int, n: int) -> None:
        self.data = np.empty((features, 2, n), np.uint64)

    def set(self, k: int, body: Bytes, uniform: Words) -> None:
        self.data[k, 0] = unpack48(body)
        self.data[k, 1] = uniform

    @property
    def bytes(self) -> int:
        return self.data.size * 6


def search(context: _native.Context, probe: ProbeTiles, blocks: Sequence[BlockMemory]) -> Words:
    found = []
    for block in blocks:
        total = np.zeros((3, context.n), np.uint64)
        for p, t in zip(probe.constants, block.data, strict=True):
            product = context.tensor(p[:, None], t[:, None])[:, 0]
            total = context.add(total, product, [0, 0, 0])
        found.append(total)
    return np.stack(found)


def switch_to_bits(
    context: _native.Context, products: Words, key: Words, p_mod_q: int, q: int, bits: int
) -> NDArray[np.uint32]:
    out = np.empty((len(products), 2, context.n), np.uint32)
    for product, words in zip(products, out, strict=True):
        parts = np.ascontiguousarray(product[:, None])
        low = _switched(context, parts[2], parts[:2], key, p_mod_q, None)
        for half in range(2):
            x = context.ntt_inverse(low[half], [0])[0].astype(object)
            words[half] = (((x << bits) + q // 2) // q % (1 << bits)).astype(np.uint32)
    return out
