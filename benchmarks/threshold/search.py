"""Scores of one probe and a block of templates, both sealed, in the slots of the real ring.

A block is ``features`` ciphertexts in diagonals (Halevi and Shoup 2014, ia.cr/2014/106; for faces
HyDia, PoPETs 2025): slot i of diagonal k has number (i + k) mod ``features`` of template i, and a
probe, repeated over the slots, is rotated by k. Diagonals are sealed rotated, so that ``steps``
rotations of the probe and as many of the sums are enough. Both by Horner's scheme: two keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core.ciphertext import Ciphertext, Words
from fhe_core.parameters import Parameters
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.runtime.evaluator import Evaluator

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """How templates of ``features`` numbers lie in ciphertexts of some slots.

    features: a power of four that divides the slots.
    """

    features: int

    @property
    def steps(self) -> int:
        """Rotations of the probe, and of the sums, counting the one by nothing."""
        return 1 << (self.features.bit_length() // 2)

    def diagonals(self, templates: Float) -> Float:
        """Slots [features, slots] of a block's ciphertexts from templates [slots, features]."""
        slots, features = templates.shape
        places = np.arange(slots)
        rows = np.empty((features, slots))
        for k in range(features):
            diagonal = templates[places, (places + k) % features]
            rows[k] = np.roll(diagonal, k // self.steps * self.steps)
        return rows

    def probe(self, probe: Float, slots: int) -> Float:
        """Slots of a probe [features]."""
        return np.tile(probe, slots // self.features)

    def keys(self, parameters: Parameters) -> list[KeySpecification]:
        """Relinearisation wherever something is multiplied, and both rotations at the top."""
        top = parameters.levels[-1].tier
        everywhere = tuple(range(1, parameters.top + 1))
        return [
            KeySpecification(KeyName(0, top), everywhere),
            KeySpecification(KeyName(1, top), (parameters.top,)),
            KeySpecification(KeyName(self.steps, top), (parameters.top,)),
        ]


def turned(evaluator: Evaluator, layout: Layout, probe: Ciphertext) -> list[Ciphertext]:
    """The probe rotated by 0, 1, 2, ...: once for all blocks."""
    rotations = [probe]
    for _ in range(layout.steps - 1):
        rotations += evaluator.rotate_many(rotations[-1], [1])
    return rotations


def scores(
    evaluator: Evaluator,
    layout: Layout,
    rotations: Sequence[Ciphertext],
    block: Sequence[Ciphertext],
) -> Ciphertext:
    """Inner products of the probe and all templates of a block, rescaled once."""
    level, steps = block[0].level, layout.steps
    total: Words | None = None
    for giant in reversed(range(steps)):
        own = _products(evaluator, rotations, block[giant * steps : (giant + 1) * steps])
        sums = evaluator.switch(evaluator.decompose(own[2], level), level, 0, own[:2])
        if total is not None:
            sums = evaluator.rotate_extended(total, level, steps, sums)
        total = sums
    assert total is not None
    scale = block[0].scale * rotations[0].scale / evaluator.rescale_factor(level, 1)
    return Ciphertext(evaluator.mod_down(total, level, 1), scale, level - 1)


def _products(
    evaluator: Evaluator, rotations: Sequence[Ciphertext], templates: Sequence[Ciphertext]
) -> Words:
    """The sum of tensor products, [3, limbs, N]."""
    level = templates[0].level
    context, rows = evaluator.at(level), list(evaluator.rows(level))
    total: Words | None = None
    for rotation, template in zip(rotations, templates, strict=True):
        product = context.tensor(rotation.residues, template.residues, rows)
        if total is not None:
            flat = (3 * len(rows), product.shape[-1])
            added = context.add(total.reshape(flat), product.reshape(flat), 3 * rows)
            product = added.reshape(product.shape)
        total = product
    assert total is not None
    return total
