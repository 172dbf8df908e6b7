"""Targets: switching keys of galleries, switched faces and findings, at insecure rings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from fhe_core import container
from fhe_core.container import ContainerError
from fhe_core.formats import switching as formats
from fhe_core.matching import Asked, Matcher, masks_digest
from fhe_core.matching.crossed import Findings, SwitchedFace, token_of
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from fhe_core.secret.switching import open_embedding, open_products, switch_bodies
from fuzz.mutators import mutate_container
from fuzz.target import Scratch, Target
from tests.core import tiny
from tests.core.switch_kit import Crossing, crossing_of

_SEED, _REQUEST, _BLOCK = b"s" * 32, "0c" * 48, "0a" * 32
_FACTS = formats.KeyFacts(("normalise", "health"), {"degree": 2}, "ab" * 16)


def _crossing() -> Crossing:
    """The same keys each time, so that a kept corpus stays valid."""
    parameters, ring = tiny.load(tiny.SHORT.name), tiny.gallery()
    draw = np.random.default_rng(7)
    engine = draw.integers(-1, 2, parameters.ring_dimension, dtype=np.int8)
    gallery = draw.integers(-1, 2, ring.templates, dtype=np.int8)
    keys = SecretKey(parameters, engine), SecretKey(ring.parameters, gallery)
    return crossing_of(*keys, replace(ring, probe_scale=2.0**26, template_scale=2.0**20))


def _face(crossing: Crossing) -> SwitchedFace:
    plan = crossing.plan
    words = crossing.switcher.embedding(crossing.result(tiny.unit_vectors(1, plan.features)[0]))
    gallery = crossing.gallery.key_id
    return SwitchedFace(plan.gallery, gallery, _REQUEST, "badge-7", words, words)


def gallery_switch_target(folder: Path) -> Target:
    """Read by the server whose gallery it is."""
    crossing, file = _crossing(), Scratch(folder, "gallery.switch.key")
    p, key_id = crossing.plan.gallery, crossing.gallery.key_id
    bodies = list(switch_bodies(crossing.engine, crossing.gallery, crossing.plan, _SEED))
    description = formats.described(crossing.plan, crossing.engine.key_id, _FACTS)
    formats.save_switch_key(file.path, p, key_id, description, _SEED, bodies)

    def parse(data: bytes) -> None:
        with container.loads(data) as reader:
            formats.describe(reader.header, p, tiny.load)
        key, _ = formats.load_switch_key(file.holding(data), p, key_id, tiny.load)
        assert len(key.parts) == key.plan.parts

    seeds = [file.path.read_bytes()]
    return Target("gallery-switch", parse, (ContainerError,), seeds, mutate_container)


def switched_face_target(_folder: Path) -> Target:
    """Opened by its owner, and multiplied by the server."""
    crossing = _crossing()
    face = _face(crossing)

    def parse(data: bytes) -> None:
        found = formats.face_from_bytes(data, face.parameters, face.key_id)
        open_embedding(crossing.gallery, crossing.plan, found.embedding)
        crossing.switcher.products(face.embedding, [found.embedding, found.norm])

    seeds = [formats.face_to_bytes(face)]
    return Target("switched-face", parse, (ContainerError,), seeds, mutate_container)


def findings_target(_folder: Path) -> Target:
    """Opened by the owner."""
    crossing = _crossing()
    face, p = _face(crossing), crossing.plan.gallery
    matcher, live = Matcher(p, crossing.keys, 1), np.arange(p.templates) < 5
    sealer = Sealer(crossing.gallery, p, coordinates=True)
    block = matcher.load(sealer.seal_block(tiny.unit_vectors(5, p.features)))
    constants = crossing.switcher.constants(face.embedding, token_of(face.request))
    scores = matcher.answer(constants, [(_BLOCK, block, live)])
    products = crossing.switcher.products(face.embedding, [face.embedding] * 2)
    found = Findings(scores, face.norm, products, ("0d" * 32,))
    masks = masks_digest([live])
    asked = Asked(p, face.key_id, token_of(face.request), (_BLOCK,), masks)

    def parse(data: bytes) -> None:
        read = formats.findings_from_bytes(data, asked)
        sealer.open_words(read.scores.words)
        assert len(open_products(crossing.gallery, crossing.plan, read.products)) <= 257

    seeds = [formats.findings_to_bytes(found)]
    return Target("findings", parse, (ContainerError,), seeds, mutate_container)
