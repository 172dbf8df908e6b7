"""Photographs, and the real rings: what a server alone finds, beside what its owner finds.

Embeddings are computed in the clear and encrypted as the engine leaves them, so that no engine has
to run: level, scale, period and lengths are those of its results.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fhe_core import encoding
from fhe_core.ciphertext import Ciphertext
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.formats.switching import findings_to_bytes
from fhe_core.keys.expand import uniform_row
from fhe_core.matching import gallery_parameters
from fhe_core.matching.switch_plan import Form
from fhe_core.secret.key import SecretKey
from fhe_face.circuit import Circuit, normalisation_of
from fhe_face.client.decryption import Embedding
from fhe_face.client.ledger import MemoryLedger
from fhe_face.engine import Engine, compile_engine
from fhe_face.gallery import crossing, findings
from fhe_face.gallery.gallery import Gallery
from fhe_face.models.templates import Array, unit
from fhe_face.server.crossing import CrossingServer
from tests.gallery.test_real_faces import Remembering, embedder, halves, johns

__all__ = ["embedder", "johns"]


def encrypted(key: SecretKey, slots: Array, form: Form) -> Ciphertext:
    """Slots [N] under fresh noise, at any level."""
    n, rows = key.parameters.ring_dimension, list(key.parameters.levels[form.level].rows)
    noisy = encoding.encode(slots, n, form.scale) + key._error()
    residues = np.empty((2, len(rows), n), dtype=np.uint64)
    for i, row in enumerate(rows):
        uniform_row(os.urandom(32), 0, 0, row, key.parameters.primes[row], residues[1, i])
    product = key._context.multiply(residues[1], np.ascontiguousarray(key._rows[rows]), rows)
    residues[0] = key._context.subtract(key._context.embed_signed(noisy, rows), product, rows)
    return Ciphertext(residues, form.scale, form.level)


def result_of(key: SecretKey, engine: Engine, gallery: Gallery, raw: Array, weights: str) -> Bundle:
    """A face as the server of that engine leaves it. raw: before its normalisation."""
    plan, facts = crossing.plan_for(gallery.opened, engine, weights)
    norm = float(raw @ raw)
    values = raw * float(engine.circuit.normalisation.evaluate(norm))
    slots = engine.parameters.slots
    rows = [np.tile(values, slots // len(values)), np.full(slots, norm)]
    names = [f"face 1 {name}" for name in facts.outputs]
    items = {
        name: encrypted(key, row, form)
        for name, row, form in zip(names, rows, (plan.embedding, plan.norm), strict=True)
    }
    said = {
        "runs": [["alone", 1]],
        "requests": [os.urandom(48).hex()],
        "weights": weights,
        "embedding": len(values),
        "normalisation": dict(facts.normalisation),
        "preparation": gallery.facts.preparation.describe(),
    }
    return Bundle("embedding", key.parameters, key.key_id, items, said, {})


@pytest.fixture
def gallery(tmp_path: Path, embedder: Remembering) -> Iterator[Gallery]:
    with Gallery.create(
        tmp_path / "g",
        embedder=embedder,
        names=True,
        thresholds=(0.36, 0.409),
        parameters=gallery_parameters(),
        threads=2,
    ) as made:
        yield made


@pytest.mark.full
def test_scores_are_those_of_the_owner(
    gallery: Gallery, johns: Path, embedder: Remembering, tmp_path: Path
) -> None:
    """Within 2e-3 of what a sealed probe finds, and as fast; the faces that wait as well."""
    enrolled, probes = halves(johns)
    for person, path in enrolled:
        gallery.enroll(path, subject=person)
    engine = compile_engine(Circuit("lean", normalisation_of(None)))
    key, weights = SecretKey.generate(engine.parameters, 2), "ab" * 16
    path = gallery.server_only.make_key(key, engine, weights)
    assert path.stat().st_size + gallery.opened.folder.evaluation_key.stat().st_size < 8e6
    server = CrossingServer.load(tmp_path / "g" / "server", threads=2)
    ledger, apart, seconds, lengths = MemoryLedger(limit=10**6), [], [], []
    waits: dict[str, Array] = {}
    for person, path in probes:
        (face,) = gallery.faces(path, every=False)
        (found,) = embedder.embed([face.prepared])
        if not isinstance(found, Embedding):
            continue
        raw = unit(found.values) * np.sqrt(found.health.squared_norms[0])
        result = result_of(key, engine, gallery, raw, weights)
        started = time.perf_counter()
        (switched,) = server.faces(result, person)
        answer = server.look_up(switched)
        seconds.append(time.perf_counter() - started)
        told = findings.answer(gallery.finder, ledger, findings_to_bytes(answer), top=10)
        assert told.identified.answer is not None, told.identified.reason
        own = {one.subject: one.score for one in told.identified.candidates}
        sealed, by_subject = gallery.scores(unit(found.values), "encrypted")
        assert not sealed.missing
        apart += [
            own[subject] - score
            for subject, score in zip(by_subject.subjects, by_subject.scores, strict=True)
        ]
        lengths.append(float(np.sqrt(raw @ raw) * engine.circuit.normalisation.evaluate(raw @ raw)))
        if len(waits) < 5:
            waits[server.enrol(switched)] = unit(found.values)
    judged = crossing.waiting_faces(gallery.opened, ledger)
    assert all(one.healthy for one in judged)
    beside = []
    for digest, vector in waits.items():
        again = server.look_up(server.waiting()[digest])
        told = findings.answer(gallery.finder, ledger, findings_to_bytes(again), judged)
        beside += [one.score - vector @ waits[one.face] for one in told.waiting]
    server.close()
    print(
        f"\n{len(seconds)} faces, lengths {min(lengths):.3f} to {max(lengths):.3f}: apart "
        f"{np.std(apart):.2e}, at most {np.abs(apart).max():.2e}; waiting {np.std(beside):.2e}, at "
        f"most {np.abs(beside).max():.2e}; {np.median(seconds) * 1e3:.0f} ms"
    )
    assert np.abs(apart).max() < 2e-3
    assert np.abs(beside).max() < 2e-3
