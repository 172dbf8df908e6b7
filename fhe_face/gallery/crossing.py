"""Galleries that a server may fill and search by itself, as their owner sees them.

The owner of an engine's key and of the gallery's makes a switching key between them; from then on
the gallery is sealed in the coordinates in which the server finds a face (docs/server-only.md).
What the server enrols waits until the owner has seen that it is healthy.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from fhe_core.container import ContainerError, JsonValue
from fhe_core.formats.switching import (
    MOST_WAITING,
    KeyFacts,
    described,
    face_bytes,
    face_from_bytes,
    save_switch_key,
    switch_facts,
)
from fhe_core.keys.expand import SEED_BYTES
from fhe_core.matching.answers import answers_of
from fhe_core.matching.crossed import SwitchedFace
from fhe_core.matching.switch_plan import Form, SwitchPlan
from fhe_core.normalisation import Normalisation
from fhe_core.secret.key import SecretKey
from fhe_core.secret.switching import open_embedding, open_norm, switch_bodies
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import HealthReport, check_embedding
from fhe_face.client.ledger import Ledger
from fhe_face.engine import Engine
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.opened import Opened
from fhe_face.gallery.photos import Person
from fhe_face.gallery.resealing import reseal
from fhe_face.gallery.settings import Settings
from fhe_face.gallery.subjects import People
from fhe_face.keyfile import SWITCH_KEY, WAITING
from fhe_face.models.templates import unit
from fhe_face.places import Packing
from fhe_face.progress import Stage, silent
from fhe_face.store import DamagedBlock, NotStored, Template
from fhe_face.store.blocks import BlockFiles


@dataclass(frozen=True, eq=False)
class Crossing:
    """What leads to a gallery from an engine's key. engine_key: its id."""

    plan: SwitchPlan
    facts: KeyFacts
    engine_key: str

    @property
    def normalisation(self) -> Normalisation:
        """Of the engine."""
        return Normalisation.from_description(self.facts.normalisation)


def crossing_of(opened: Opened) -> Crossing:
    """What leads to a gallery.

    Raises:
        GalleryError: nothing does.
    """
    found = opened.settings.crossing
    if found is None:
        raise GalleryError(
            "the gallery has no switching key, so no server enrols or searches by itself: "
            "fhe-face gallery server-only key"
        )
    return Crossing(
        *switch_facts("the gallery's settings", found, opened.parameters, opened.engines)
    )


# --- the key -------------------------------------------------------------------------------------


def make_switch(
    opened: Opened, key: SecretKey, engine: Engine, weights: str, stage: Stage = silent
) -> Path:
    """Make the switching key from an engine's secret key, and seal the gallery for it.

    weights: digest of the gallery's network in that engine, as results name it. From then on
    whoever has the gallery's key and what the server has can open everything of the engine's key.

    Raises:
        GalleryError: scores of the gallery are centred, which the server could not do; or faces
            wait that came with another switching key.
        NoScoresError: the engine's client normalises.
        ParameterMismatch: the engine's results have no place in the gallery's ring.
        Busy, StoreError, FileError: it cannot be written.
    """
    if opened.settings.centre is not None:
        raise GalleryError(
            "the gallery subtracts its mean from faces, and a server that has their ciphertexts "
            "alone cannot: calibrate it without (--centre-from, with more people than it has)"
        )
    plan, facts = plan_for(opened, engine, weights)
    description = described(plan, key.key_id, facts)
    before = opened.settings.crossing
    if before != description:
        require_none_waiting(opened)
    stage("making the switching key", 0, 0)
    seed = os.urandom(SEED_BYTES)
    bodies = list(switch_bodies(key, opened.key, plan, seed))
    if before != description:
        reseal(opened, _changed(description), stage)
    path = opened.folder.server / SWITCH_KEY
    save_switch_key(path, opened.parameters, opened.key.key_id, description, seed, bodies)
    return path


def plan_for(opened: Opened, engine: Engine, weights: str) -> tuple[SwitchPlan, KeyFacts]:
    """What leads from an engine's faces to the gallery; errors as `make_switch`."""
    engine.circuit.require_scores()
    own = engine.of(Packing.ALONE).plan
    lengths = {own.metadata["embedding"], own.metadata["period"], opened.parameters.features}
    if len(lengths) > 1:
        raise GalleryError(
            f"the engine's embeddings have {own.metadata['embedding']} numbers and repeat after "
            f"{own.metadata['period']}, the gallery's {opened.parameters.features}"
        )
    outputs = [own.values[name] for name in own.outputs]
    embedding, norm = (Form(value.level, value.scale) for value in outputs)
    plan = SwitchPlan(engine.parameters, opened.parameters, embedding, norm)
    named = (own.outputs[0], own.outputs[1])
    return plan, KeyFacts(named, engine.circuit.normalisation.describe(), weights)


def remove_switch(opened: Opened, stage: Stage = silent) -> bool:
    """Take the switching key away, and seal the gallery as others are; whether there was one.

    Copies of the key that the server made stay what they are.

    Raises:
        GalleryError: faces wait. Busy, StoreError: as `reseal`.
    """
    require_none_waiting(opened)
    path = opened.folder.server / SWITCH_KEY
    there = path.is_file() or opened.settings.crossing is not None
    path.unlink(missing_ok=True)
    if opened.settings.crossing is not None:
        reseal(opened, _changed(None), stage)
    return there


def _changed(description: Mapping[str, JsonValue] | None) -> Any:
    def change(settings: Settings) -> Settings:
        return replace(settings, crossing=description)

    return change


# --- faces that wait -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Waiting:
    """A face that waits. subject: an id, as the server was told.

    result: its embedding, or why it must not be used; None: its file is damaged, and error says it.
    """

    digest: str
    subject: str = ""
    request: str = ""
    result: Embedding | HealthReport | None = None
    error: str | None = None

    @property
    def healthy(self) -> bool:
        return isinstance(self.result, Embedding)

    def to_json(self) -> dict[str, Any]:
        """Plain values by name; no number of the face."""
        said = self.result.message if isinstance(self.result, HealthReport) else self.error
        return {
            "face": self.digest,
            "subject": self.subject,
            "healthy": self.healthy,
            "reason": said,
        }


def files_of(opened: Opened) -> BlockFiles:
    """Where faces wait."""
    return BlockFiles(opened.folder.server / WAITING)


def require_none_waiting(opened: Opened) -> None:
    """Raises GalleryError where faces wait: what is about to change is what opens them."""
    if any(files_of(opened).names()):
        raise GalleryError("faces wait that a server has enrolled: confirm or drop them first")


def judged_face(key: SecretKey, crossing: Crossing, face: SwitchedFace) -> Embedding | HealthReport:
    """A face that a server switched, with the checks that every embedding passes.

    key: the gallery's.
    """
    values = open_embedding(key, crossing.plan, face.embedding)
    norm = open_norm(key, crossing.plan, face.norm)
    report = check_embedding(values, norm, crossing.normalisation)
    return Embedding(values, report) if report.healthy else report


def waiting_faces(
    opened: Opened, ledger: Ledger, only: Sequence[str] | None = None
) -> list[Waiting]:
    """Faces that wait, judged; only: these, by their digests.

    Each counts as an answer of the key, once: its server may learn whether it was healthy.

    Raises:
        AnswerLimitError: the key has given as many answers as it may.
        GalleryError: a face waits, and the gallery has no switching key.
    """
    files = files_of(opened)
    names = sorted(files.names())[: 2 * MOST_WAITING] if only is None else only
    found = cache(partial(crossing_of, opened))  # once, and only where a face is to be opened
    return [_judged(opened, found, ledger, files, name) for name in names]


def _judged(
    opened: Opened,
    crossing: Callable[[], Crossing],
    ledger: Ledger,
    files: BlockFiles,
    digest: str,
) -> Waiting:
    try:
        if files.path(digest).stat().st_size > face_bytes(opened.parameters):
            return Waiting(digest, error="its file is larger than any face that waits")
        data = files.read(digest)
        name = f"face {digest[:12]}"
        face = face_from_bytes(data, opened.parameters, opened.key.key_id, name)
    except (DamagedBlock, ContainerError, OSError) as error:
        return Waiting(digest, error=str(error))
    ledger.spend(hashlib.sha256(data).digest(), answers_of(_HEALTHY_OR_NOT))
    result = judged_face(opened.key, crossing(), face)
    return Waiting(digest, face.subject, face.request, result)


_HEALTHY_OR_NOT = 2


def find_waiting(opened: Opened, given: Sequence[str]) -> list[str]:
    """The digests that these begin, each of one face, and each once.

    Raises:
        GalleryError: none begins so, or several do.
    """
    names, found = list(files_of(opened).names()), []
    for text in given:
        own = [name for name in names if len(text) >= _LEAST and name.startswith(text)]
        if len(own) != 1:
            why = f"{len(own)} faces that wait begin so" if own else "no face of that name waits"
            raise GalleryError(f"{text[:80]!r}: {why}")
        found += own
    return list(dict.fromkeys(found))


#: Digits of a digest that a person has to give.
_LEAST = 4


def confirm(opened: Opened, people: People, face: Waiting, name: str | None = None) -> str:
    """Make a template of a healthy face that waits; its id. Seal afterwards.

    name: of the person; default: the subject that the server was told.

    Raises:
        GalleryError: the face is not healthy, belongs to nobody, or came before for somebody else.
        StoreError: as `Store.add`.
    """
    if not isinstance(face.result, Embedding):
        why = face.to_json()["reason"]
        raise GalleryError(f"face {face.digest[:12]} must not be used: {why}; drop it")
    person = Person(name, None) if name else Person(None, face.subject or None)
    subject, known = people.for_person(person)
    if known is not None and known.deleted:
        raise GalleryError(f"subject {subject.id[:80]!r} is deleted: undelete it first")
    ids = opened.settings.ids
    source = ids.source(hashlib.sha256(bytes.fromhex(face.request)).digest())
    template = ids.template(source, 1)
    _require_own(opened, face, template, subject.id)
    # Nobody has seen the photo here, so that it weighs one.
    record = opened.vault.seal_record(template, unit(face.result.values))
    opened.store.add([subject], [Template(template, subject.id, source, record)], [])
    files_of(opened).remove(face.digest)
    return template


def _require_own(opened: Opened, face: Waiting, template: str, subject: str) -> None:
    """That a face's template is new, or what an interrupted `confirm` has left: a store keeps the
    first template of an id, and the server says which request a face is of."""
    with suppress(NotStored):
        known = opened.store.template(template)
        if known.deleted or known.subject != subject:
            state = "deleted since" if known.deleted else f"of subject {known.subject[:80]!r}"
            raise GalleryError(
                f"face {face.digest[:12]}: one of the same request was confirmed before, and is "
                f"{state}; drop this one"
            )


def drop(opened: Opened, digests: Sequence[str]) -> int:
    """Remove faces that wait; how many."""
    files = files_of(opened)
    for digest in digests:
        files.remove(digest)
    return len(digests)


def length_of(face: Waiting) -> float:
    """Of what the server has of it, as its inner products mean it; nan where it is not healthy."""
    if not isinstance(face.result, Embedding):
        return float("nan")
    return float(np.linalg.norm(face.result.values))
