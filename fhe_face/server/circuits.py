"""The engine and the plans that an evaluation key file asks for; refused from its header."""

from __future__ import annotations

import os
from collections.abc import Collection

from fhe_core.container import Corrupt, Kind, read_header
from fhe_core.files import shown
from fhe_core.formats.ciphertexts import parameters_of
from fhe_core.normalisation import NormalisationError
from fhe_core.plan import Plan, PlanError
from fhe_face.engine import Engine, engine_for
from fhe_face.places import Packing
from fhe_face.progress import Stage, silent

Path = str | os.PathLike[str]


def engine_of(path: Path) -> Engine:
    """The engine for the circuit that evaluation keys were made for.

    Raises:
        ContainerError: the file is not an evaluation key file, or has an unknown circuit.
    """
    header = read_header(path, expect_kind=Kind.EVALUATION_KEYS)
    parameters_of(header)
    return engine_for(header)


def plans_of(
    path: Path,
    engine: Engine,
    packings: Collection[Packing] | None = None,
    stage: Stage = silent,
) -> list[Plan]:
    """The compiled plans of a key file's engine; packings: as for `Engine.plans`.

    Raises:
        Corrupt: nobody can have made keys for this circuit, because it has no plan.
    """
    stage("compiling the plan", 0, 0)
    try:
        plans = engine.plans(packings)
    except (PlanError, NormalisationError) as error:
        raise Corrupt(f"{shown(path)}: its circuit cannot be computed: {error}") from None
    stage("compiling the plan", 1, 1)
    return plans
