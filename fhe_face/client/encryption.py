"""Faces to ciphertexts: what the owner of a key and its devices have in common."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.ciphertext import Ciphertext
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.formats.preparation import ENTRY as PREPARATION
from fhe_core.secret.key import SecretKey
from fhe_face.circuit import Circuit, CircuitError
from fhe_face.client.requests import Requests, asked_of
from fhe_face.engine import Engine
from fhe_face.facts import differences
from fhe_face.photos.images import Unit, validate_unit
from fhe_face.photos.preparation import PreparedFace, given
from fhe_face.places import ENTRY, IMAGE, Packing, Run, describe
from fhe_face.planning import plan_runs
from fhe_face.tokens import ENTRY as REQUESTS

#: A face as a file, as pixels, or with what is known about its preparation.
Face = str | os.PathLike[str] | NDArray[np.uint8] | NDArray[np.float64] | PreparedFace
Faces = Face | Sequence[Face]


class Encryptor:
    """Encrypts under one key, for the plans of one engine."""

    def __init__(
        self, key: SecretKey, engine: Engine, requests: Requests, facts: Mapping[str, Any]
    ) -> None:
        """requests: makes the tokens that results are recognised by. facts: join those of every
        bundle.
        """
        self.engine = engine
        self._key = key
        self._requests = requests
        self._facts = facts

    @property
    def circuit(self) -> Circuit:
        """What results are computed with."""
        return self.engine.circuit

    @property
    def key_id(self) -> str:
        """Public name of the key; every file that belongs to it carries it."""
        return self._key.key_id

    def plan(
        self,
        faces: int,
        *,
        packings: Collection[Packing] | None = None,
        memory: int | None = None,
    ) -> tuple[Run, ...]:
        """How `encrypt` packs so many faces: one at a time, or in batches.

        packings: choose among these only. memory: that the server has, in bytes.

        Raises:
            PlanningError: no face, or no packing that the keys are for.
        """
        chosen = [p for p in self.engine.packings if packings is None or p in packings]
        return plan_runs(faces, chosen, self.engine.capacity, memory)

    def encrypt(
        self, faces: Faces, *, runs: Sequence[Run] | None = None, contrast: float = 1.0
    ) -> Bundle:
        """Encrypt an aligned face, or several in one bundle.

        A face is a file, uint8 (S, S, 3) RGB, or floats (3, S, S) in [-1, 1], S being the
        circuit's input size; photos are made into faces by `fhe_face.photos.preparation.prepare`,
        whose result is taken as well. Where the circuit has two views, the mirror image is
        encrypted, too. All faces must have been prepared in the same way. Names of files are not
        kept: they would tell the server who is in the pictures.

        runs: from `plan`; default: the cheapest that the keys allow. contrast: above 0 and at most
        1; with less, 0.9 say, the network may do well on a face that it diverged on.

        Raises:
            ImageError: no such image, another shape or type, not finite, or out of range; or
                another contrast.
            CircuitError: faces that were prepared in different ways, or another number than runs.
            PlanningError: no face.
        """
        prepared = [self._given(face).with_contrast(contrast) for face in listed(faces)]
        chosen = self.plan(len(prepared)) if runs is None else tuple(runs)
        if sum(run.faces for run in chosen) != len(prepared):
            raise CircuitError(f"{len(prepared)} faces; the runs are for another number")
        facts: dict[str, Any] = {
            ENTRY: describe(chosen),
            "plans": {
                packing.value: self.engine.of(packing).plan.digest
                for packing in sorted({run.packing for run in chosen})
            },
            PREPARATION: self._preparation(prepared),
            **self._facts,
        }
        asked = [asked_of(self.engine, run, facts) for run in chosen]
        facts[REQUESTS] = [self._requests.issue(one) for one in asked]
        items: dict[str, Ciphertext] = {}
        seeds: dict[str, bytes] = {}
        for run in chosen:
            plan = self.engine.of(run.packing).plan
            scales = [plan.values[name].scale for name in plan.inputs]
            rows = self._packed(run, [prepared[number].unit for number in run.numbers])
            names = self.engine.item_names(IMAGE, run)
            for name, row, scale in zip(names, rows, scales, strict=True):
                items[name], seeds[name] = self._key.encrypt(row, scale)
        return Bundle(IMAGE, self._key.parameters, self._key.key_id, items, facts, seeds)

    def _given(self, face: Face) -> PreparedFace:
        size = self.engine.architecture.input_size
        one = face if isinstance(face, PreparedFace) else given(face, size)
        validate_unit(one.unit, size)
        return one

    def _preparation(self, faces: Sequence[PreparedFace]) -> dict[str, Any]:
        views = self.engine.circuit.views > 1
        described = [face.preparation.with_flip(views).describe() for face in faces]
        for number, own in enumerate(described):
            if own != described[0]:
                raise CircuitError(
                    f"faces 1 and {number + 1} were prepared differently "
                    f"({differences(described[0], own)}): they cannot be in one bundle"
                )
        return dict(described[0])

    def _packed(self, run: Run, units: Sequence[Unit]) -> NDArray[np.float64]:
        """Slots of a run's ciphertexts, in the order of their names."""
        if run.packing is Packing.BATCH:
            return self.engine.batch.pack_images(np.stack(units))
        (unit,) = units
        views = [unit, unit[..., ::-1]][: self.engine.circuit.views]
        return self.engine.compiled.pack_image(np.stack(views))


def listed(faces: Faces) -> list[Face]:
    """One face, or several, as a list."""
    if isinstance(faces, np.ndarray):
        return list(faces) if faces.ndim == 4 else [faces]
    if isinstance(faces, str | os.PathLike | PreparedFace):
        return [faces]
    return list(faces)
