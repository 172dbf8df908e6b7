"""A client and a server that compute batches: answers, and refusals of everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core.compiler import BATCH, CompiledBatch, compile_batch, compile_match
from fhe_core.compiler.architecture import architecture_of
from fhe_core.container import Corrupt, ParameterMismatch, WrongKind
from fhe_core.formats.ciphertexts import Bundle, load_bundle, save_bundle
from fhe_core.plan import required_keys
from fhe_core.secret.key import SecretKey
from fhe_face.client.decryption import Client, Embedding, Score
from fhe_face.client.health import HealthReport
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.reference import embed, squared_norm
from fhe_face.models.synthetic import random_fused
from fhe_face.places import Batch
from fhe_face.server.computation import Server
from tests.core import tiny


@dataclass(frozen=True)
class Many:
    """Room for eight faces, two of them embedded in one batch and five in another."""

    network: FusedNetwork
    compiled: CompiledBatch
    key: SecretKey
    client: Client
    server: Server
    images: tiny.Array

    def embedded(self, images: tiny.Array, preparation: Mapping[str, Any] | None = None) -> Bundle:
        return self.server.embed(self.client.encrypt_images(images, self.compiled, preparation))

    def reference(self, images: tiny.Array) -> tiny.Array:
        embedding = embed(self.network, images)
        return embedding * tiny.ROOT.evaluate(squared_norm(embedding))[:, None]


@pytest.fixture(scope="module")
def many() -> Many:
    network, parameters = random_fused(0), tiny.load(tiny.TINY.name)
    compiled = compile_batch(architecture_of(network), parameters, BATCH, tiny.ROOT, 8)
    match = compile_match(compiled.plan, parameters, BATCH)
    key = SecretKey.generate(parameters)
    keys = tiny.make_keys(key, required_keys([compiled.plan, match], parameters))
    server = Server(keys, compiled, compiled.tables(network), match, threads=1)
    images = tiny.images_for(network, 10)
    return Many(network, compiled, key, Client(key, compiled.plan, match), server, images)


def test_embeddings_and_scores(many: Many, tmp_path: Path) -> None:
    left, right = np.split(many.images, 2)
    results = []
    for name, images in (("left", left), ("right", right)):
        file = tmp_path / f"{name}.ct"
        save_bundle(file, many.client.encrypt_images(images, many.compiled, {"size": 16}))
        result = many.server.embed(load_bundle(file, "image batch", tiny.load))
        assert result.facts["preparation"] == {"size": 16}
        assert result.facts["batch"]["count"] == 5
        save_bundle(file, result)
        results.append(load_bundle(file, "embedding batch", tiny.load))
    found = many.client.decrypt_embeddings(results[0])
    assert len(found) == 5
    for own, wanted in zip(found, many.reference(left), strict=True):
        assert isinstance(own, Embedding)
        assert np.linalg.norm(own.values - wanted) < 1e-3 * np.linalg.norm(wanted)
    scores = many.client.decrypt_scores(many.server.match(results[0], results[1]))
    wanted = np.sum(many.reference(left) * many.reference(right), axis=1)
    assert len(scores) == 5
    for score, value in zip(scores, wanted, strict=True):
        assert isinstance(score, Score)
        assert abs(score.value - value) < 1e-3


def test_one_face_outside_the_interval_does_not_hide_the_others(many: Many) -> None:
    """Every face has a health report of its own."""
    factor = 1.5 * np.sqrt(tiny.INTERVAL[1] / squared_norm(embed(many.network, many.images)).min())
    stretched = replace(
        many.network,
        head_weight=many.network.head_weight * factor,
        head_bias=many.network.head_bias * factor,
    )
    key, compiled = many.key, many.compiled
    match = compile_match(compiled.plan, compiled.parameters, BATCH)
    keys = tiny.make_keys(key, required_keys([compiled.plan, match], compiled.parameters))
    server = Server(keys, compiled, compiled.tables(stretched), match, threads=1)
    result = server.embed(many.client.encrypt_images(many.images[:2], compiled))
    assert all(isinstance(r, HealthReport) for r in many.client.decrypt_embeddings(result))
    # Slots of one face's squared norm replaced: only that face is refused.
    good = many.embedded(many.images[:6])
    norms = many.key.decrypt(good.items["second half health"]).real
    half, start = Batch.from_facts(good.facts, compiled.parameters.slots).locate(5)
    assert half == 1
    norms[start : start + 16] = 500.0
    scale = good.items["second half health"].scale
    forged = key.encrypt(norms, scale)[0].drop_to(2)
    found = many.client.decrypt_embeddings(
        replace(good, items={**good.items, "second half health": forged})
    )
    assert [isinstance(r, Embedding) for r in found] == [True] * 5 + [False]
    assert isinstance(found[5], HealthReport)
    assert "outside" in found[5].message


def test_a_diverging_face_spoils_what_it_shares(many: Many) -> None:
    """Its half's scores wrap around, though the other squared norms and embeddings are right."""
    good = many.embedded(many.images[:8])
    slots = many.compiled.parameters.slots
    facts = Batch.from_facts(good.facts, slots)
    items = dict(good.items)
    norm = 1e6
    slot = float(np.sqrt(norm / 16) * tiny.ROOT.evaluate(norm))
    for name, value in (("first half normalise", slot), ("first half health", norm)):
        changed = many.key.decrypt(items[name]).real
        changed[: 2 * 16] = value  # face 0, as it would be far outside the interval
        items[name] = many.key.encrypt(changed, items[name].scale)[0].drop_to(2)
    bad = replace(good, items=items)
    result = many.server.match(bad, good)
    score = many.key.decrypt(result.items["half 1 score"]).real
    starts = [facts.locate(number)[1] for number in range(1, 4)]
    assert np.max(np.abs(score[starts])) > 2  # wrapped around
    found = many.client.decrypt_scores(result)
    for report in found[:4]:
        assert isinstance(report, HealthReport)
        assert "may have wrapped around" in report.message
    assert isinstance(found[4], HealthReport)  # in the slots of face 0
    assert "together with this one diverged" in found[4].message
    assert all(isinstance(other, Score) for other in found[5:])
    # Its embeddings still fit: only the face in the same slots is refused besides it.
    reports = many.client.decrypt_embeddings(bad)
    assert [isinstance(r, HealthReport) for r in reports] == [n in (0, 4) for n in range(8)]


def test_batches_of_different_sizes_are_not_compared(many: Many) -> None:
    two, three = (many.embedded(many.images[:n]) for n in (2, 3))
    with pytest.raises(ParameterMismatch, match="batches of 2 and 3 faces"):
        many.server.match(two, three)
    other = many.embedded(many.images[:2], {"size": 16})
    with pytest.raises(ParameterMismatch, match="does not say how its face was prepared"):
        many.server.match(two, other)


def test_kinds_are_not_mixed_up(many: Many, world: tiny.World) -> None:
    images = many.client.encrypt_images(many.images[:2], many.compiled)
    with pytest.raises(WrongKind, match="an encrypted image batch, not an encrypted embedding"):
        many.server.match(images, images)
    single = Client(many.key, world.compiled.plan, world.match).encrypt_image(
        world.images[0], world.compiled
    )
    with pytest.raises(WrongKind, match="an encrypted image, not an encrypted image batch"):
        many.server.embed(single)
    with pytest.raises(Corrupt, match="expected an encrypted embedding batch"):
        many.client.decrypt_embeddings(images)
    with pytest.raises(ParameterMismatch, match="another plan"):
        many.server.embed(replace(images, facts={**images.facts, "plan": "x"}))


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        {"count": 9, "capacity": 8, "block": 256},
        {"count": 0, "capacity": 8, "block": 256},
        {"count": 2, "capacity": 8, "block": 128},
        {"count": True, "capacity": 8, "block": 256},
        {"count": 1, "capacity": 1, "block": 1024},
    ],
    ids=str,
)
def test_impossible_facts_are_refused(many: Many, entry: Any) -> None:
    images = many.client.encrypt_images(many.images[:2], many.compiled)
    facts = {**images.facts, "batch": entry}
    with pytest.raises(Corrupt, match="a batch "):
        many.server.embed(replace(images, facts=facts))


def test_images_out_of_range_are_refused(many: Many) -> None:
    for value in (np.nan, 1.5):
        with pytest.raises(ValueError, match="finite and in"):
            many.client.encrypt_images(np.full((2, 3, 16, 16), value), many.compiled)
