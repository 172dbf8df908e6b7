"""A network's numbers in a plan, with what their rounding does on average taken off.

The calibration images are drawn from a seed (`fhe_face.models.calibration`), so that every server
makes the same plaintexts of the same weights. They are part of a model's digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler import CompiledBatch, CompiledNetwork
from fhe_core.runtime.calibration import calibrate, corrected
from fhe_core.runtime.packed import PackedPlan, pack
from fhe_face.engine import Engine
from fhe_face.models.calibration import calibration_images
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.reference import unit_images

#: More bring little: what differs from image to image is not in their mean (docs/precision.md).
_IMAGES: Final = 2
#: How corrections are made; another way needs another name here, as results differ.
_METHOD: Final = b"mean rounding of linear steps 1"


@dataclass(frozen=True, eq=False)
class Plaintexts:
    """All tables of a plan, encoded and corrected for their own rounding.

    means: of the plan's values on the calibration images, as `Calibration.means`.
    """

    packed: PackedPlan
    means: Mapping[str, NDArray[Any]]


def plaintexts(compiled: CompiledNetwork | CompiledBatch, network: FusedNetwork) -> Plaintexts:
    """The plaintexts of a network for a plan.

    Raises:
        ValueError: the network has another architecture.
        CalibrationError: it diverges on most calibration images.
        EncodingError: a value is too large for its scale.
    """
    tables = compiled.tables(network)
    packed = pack(compiled.plan, tables, compiled.parameters)
    units = unit_images(_images(network), network.input_size)
    found = calibrate(packed, tables, [_inputs(compiled, unit) for unit in units])
    return Plaintexts(corrected(packed, tables, found), found.means)


def digest_of(engine: Engine, network: FusedNetwork) -> str:
    """Embeddings of different models must not be compared: this tells them apart.

    However faces are packed, it is taken from the tables of the plan for one face, and from the
    images on which the effect of rounding is measured.

    Raises:
        ValueError: the network has another architecture.
    """
    tables = engine.compiled.tables(network)
    digest = hashlib.sha256()
    for name in sorted(tables):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tables[name]).tobytes())
    digest.update(_METHOD)
    digest.update(_images(network).tobytes())
    return digest.hexdigest()[:32]


def _images(network: FusedNetwork) -> NDArray[np.uint8]:
    """The pictures on which rounding is measured: the first of those it is balanced on."""
    return calibration_images(network.input_size)[:_IMAGES]


def _inputs(
    compiled: CompiledNetwork | CompiledBatch, unit: NDArray[np.float64]
) -> list[NDArray[Any]]:
    """Slots of the plan's inputs that hold one image wherever there is room for one."""
    if isinstance(compiled, CompiledBatch):
        return list(compiled.pack_images(unit[None]))
    return list(compiled.pack_image(np.stack([unit, unit[..., ::-1]][: compiled.views])))
