"""A plan with keys, tables and inputs, and its native run with every value decrypted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.analysis.precision import ErrorModel, predict
from fhe_core.ciphertext import Ciphertext
from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.oracles.chain import chain_of
from fhe_core.oracles.compare import Difference, difference
from fhe_core.oracles.errors import openfhe_errors
from fhe_core.oracles.interface import Slots
from fhe_core.parameters import Parameters
from fhe_core.plan import Plan, required_keys, step_writes
from fhe_core.runtime import native
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import pack
from fhe_core.secret.key import SecretKey
from tests.core import tiny

Values = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Bench:
    """values: the plan's inputs, slot by slot."""

    parameters: Parameters
    plan: Plan
    tables: dict[str, NDArray[Any]]
    values: list[Slots]
    key: SecretKey
    keys: EvaluationKeys

    def evaluator(self, threads: int = 1) -> Evaluator:
        return Evaluator(self.parameters, self.keys, threads)

    def encrypted(self) -> list[Ciphertext]:
        """Fresh ciphertexts of the inputs, at their levels."""
        inputs = [self.plan.values[name] for name in self.plan.inputs]
        return [
            self.key.encrypt(slots, value.scale)[0].drop_to(value.level, self.parameters)
            for slots, value in zip(self.values, inputs, strict=True)
        ]

    def native(self, evaluator: Evaluator | None = None, *, every_value: bool = True) -> Values:
        """Decrypted slots by name of every value, or of the outputs only."""
        names = tuple(self.plan.values) if every_value else self.plan.outputs
        packed = pack(replace(self.plan, outputs=names), self.tables, self.parameters)
        results = native.run(packed, evaluator or self.evaluator(), self.encrypted())
        return {n: self.key.at(c.level).decrypt(c) for n, c in zip(names, results, strict=True)}

    def predicted(self, model: ErrorModel) -> dict[str, float]:
        """Standard deviation of every value's slot error."""
        rows = predict(self.plan, self.tables, self.parameters, self.values, model)
        fresh = {n: model.fresh(self.plan.values[n].scale) ** 0.5 for n in self.plan.inputs}
        return fresh | {
            name: row.predicted_std
            for step, row in zip(self.plan.steps, rows, strict=True)
            for name in step_writes(step)
        }

    def differences(
        self, ours: Values, theirs: Values, models: tuple[ErrorModel, ErrorModel] | None = None
    ) -> dict[str, Difference]:
        """Of all of our values; ``models``: of both backends, by default with OpenFHE."""
        mine, other = models or (
            ErrorModel(self.parameters),
            openfhe_errors(self.parameters, chain_of(self.parameters)),
        )
        left, right = self.predicted(mine), self.predicted(other)
        return {
            name: difference(name, ours[name], theirs[name], (left[name], right[name]))
            for name in ours
        }


def bench_of(
    parameters: Parameters,
    plan: Plan,
    tables: Mapping[str, NDArray[Any]],
    values: list[Slots],
    key: SecretKey | None = None,
) -> Bench:
    """With a new key, unless one is given."""
    key = key or SecretKey.generate(parameters)
    keys = tiny.make_keys(key, required_keys([plan], parameters))
    return Bench(parameters, plan, dict(tables), values, key, keys)
