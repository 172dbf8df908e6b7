"""Both sides of an encrypted threshold in one process: keys, sealed templates, signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.threshold.circuit import Circuit, Design, compile_threshold
from benchmarks.threshold.search import Float, Layout, scores, turned
from fhe_core import encoding
from fhe_core.ciphertext import Ciphertext
from fhe_core.parameters import Parameters
from fhe_core.plan import KeySpecification, Progress
from fhe_core.runtime import native, packed
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey, decrypted_rows
from fhe_face.bench.keys import evaluation_keys


@dataclass(frozen=True, eq=False)
class Rig:
    """A design at one ring dimension, with keys."""

    design: Design
    parameters: Parameters
    circuit: Circuit
    layout: Layout
    key: SecretKey
    evaluator: Evaluator
    packed: packed.PackedPlan

    @classmethod
    def prepare(
        cls, design: Design, log_ring_dimension: int, features: int, threads: int = 1
    ) -> Rig:
        """Fresh keys and an encoded plan."""
        parameters = design.parameters(log_ring_dimension)
        circuit = compile_threshold(design, parameters)
        layout = Layout(features)
        key = SecretKey.generate(parameters, threads)
        keys = evaluation_keys(key, layout.keys(parameters))
        plan = packed.pack(circuit.plan, circuit.tables, parameters)
        evaluator = Evaluator(parameters, keys, threads)
        return cls(design, parameters, circuit, layout, key, evaluator, plan)

    @property
    def keys(self) -> list[KeySpecification]:
        return self.layout.keys(self.parameters)

    @property
    def fresh_scale(self) -> float:
        """Of templates and probes: their product, rescaled, has the scale that the plan wants."""
        factor = self.evaluator.rescale_factor(self.parameters.top, 1)
        return float(np.sqrt(self.circuit.score_scale * factor))

    def seal(self, slots: Float) -> Ciphertext:
        """A fresh ciphertext of slots [slots]: a row of a block, or a probe."""
        return self.key.encrypt(slots, self.fresh_scale)[0]

    def scores(self, probe: Ciphertext, block: Sequence[Ciphertext]) -> Ciphertext:
        """Encrypted inner products, as the plan takes them."""
        return self.searched(turned(self.evaluator, self.layout, probe), block)

    def searched(self, rotations: Sequence[Ciphertext], block: Sequence[Ciphertext]) -> Ciphertext:
        """As `scores`, of a probe that was rotated before.

        The plan's own scale is taken for exact: the last bit of another would be raised to the
        power of the degree, and show as 2^-39.
        """
        found = scores(self.evaluator, self.layout, rotations, block)
        wanted = self.circuit.plan.values[self.circuit.plan.inputs[0]]
        native.check_value(wanted, found)
        return replace(found, scale=wanted.scale)

    def given(self, slots: Float) -> Ciphertext:
        """Scores that somebody chose, encrypted where a search would leave them."""
        plan = self.circuit.plan
        wanted = plan.values[plan.inputs[0]]
        fresh = self.key.encrypt(slots, wanted.scale)[0]
        return self.evaluator.drop_to(fresh, wanted.level)

    def signs(self, score: Ciphertext, progress: Progress | None = None) -> Ciphertext:
        """p((score - t) / reach)."""
        (result,) = native.run(self.packed, self.evaluator, [score], progress)
        if self.circuit.sign > 0:
            return result
        nothing = replace(result, residues=np.zeros_like(result.residues))
        return self.evaluator.subtract(nothing, result)

    def opened(self, result: Ciphertext, less: float = 0.0) -> Float:
        """Slots of a result minus a constant, which is taken off before rounding to doubles can
        show: what is near 1 keeps the bits of its distance."""
        constant = np.zeros(8)
        constant[0] = -less * result.scale
        shift = max(0, int(np.log2(abs(constant[0]) + 1)) - 50)
        coefficients = np.rint(constant / 2.0**shift).astype(np.int64)
        moved = self.evaluator.add_plain(result, coefficients, shift)
        rows = decrypted_rows(moved, self.parameters)
        message = self.key.decrypt_polynomial(moved.residues[:, : len(rows)], rows)
        return encoding.decode(message, moved.scale)
