"""A client and a server that compute batches: answers, and refusals of everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core.container import Corrupt, ParameterMismatch, WrongKind
from fhe_core.formats.ciphertexts import Bundle, load_bundle
from fhe_face.circuit import CircuitError
from fhe_face.client.decryption import Embedding, Score
from fhe_face.client.health import Cause, HealthReport
from fhe_face.engine import choose_engine
from fhe_face.models.reference import embed, squared_norm
from fhe_face.places import Packing, numbered
from fhe_face.planning import PlanningError
from fhe_face.server.server import FaceServer
from tests.core import tiny


@pytest.fixture(scope="module")
def many() -> tiny.World:
    """Room for eight faces in a batch; single faces with the same secret."""
    return tiny.make_world(Packing, images=10)


def embedded(many: tiny.World, images: tiny.Array, packing: Packing = Packing.BATCH) -> Bundle:
    return many.server.embed(encrypted(many, images, packing))


def encrypted(many: tiny.World, images: tiny.Array, packing: Packing = Packing.BATCH) -> Bundle:
    runs = [(packing, len(images))]
    if packing is Packing.ALONE:
        runs = [(packing, 1)] * len(images)
    return many.client.encrypt(tiny.faces(images), runs=numbered(runs))


def test_embeddings_and_scores(many: tiny.World, tmp_path: Path) -> None:
    left, right = np.split(many.images, 2)
    results = []
    for name, images in (("left", left), ("right", right)):
        file = tmp_path / f"{name}.ct"
        encrypted(many, images).save(file)
        result = many.server.embed(load_bundle(file, "image", tiny.load))
        assert result.facts["preparation"]["size"] == 64
        assert result.facts["runs"] == [["batch", 5]]
        result.save(file)
        results.append(load_bundle(file, "embedding", tiny.load))
    found = many.client.decrypt(results[0])
    assert len(found) == 5
    for own, wanted in zip(found, many.reference(left), strict=True):
        assert isinstance(own, Embedding)
        assert np.linalg.norm(own.values - wanted) < 1e-3 * np.linalg.norm(wanted)
    scores = many.client.decrypt(many.server.match(results[0], results[1]))
    wanted = np.sum(many.reference(left) * many.reference(right), axis=1)
    require_scores(scores, wanted)


def require_scores(found: Sequence[object], wanted: Sequence[float]) -> None:
    for score, value in zip(found, wanted, strict=True):
        assert isinstance(score, Score)
        assert abs(score.value - value) < 2e-3


def test_every_packing_in_one_bundle(many: tiny.World) -> None:
    """One secret and one embedding, however a face is computed; found by name, in any order."""
    runs = numbered(
        [(Packing.ALONE, 1), (Packing.BATCH, 6), (Packing.ALONE, 1), (Packing.ALONE, 1)]
    )
    images = many.client.encrypt(tiny.faces(many.images[:9]), runs=runs)
    images = replace(images, items=dict(reversed(list(images.items.items()))))
    result = many.server.embed(images)
    assert {name.split(" ")[1] for name in result.items} == {"1", "2-7", "8", "9"}
    result = replace(result, items=dict(reversed(list(result.items.items()))))
    found = many.client.decrypt(result)
    for own, wanted in zip(found, many.reference(many.images[:9]), strict=True):
        assert isinstance(own, Embedding)
        assert np.linalg.norm(own.values - wanted) < 2e-3 * np.linalg.norm(wanted)
    require_scores(
        many.client.decrypt(many.server.match(result, result)),
        np.sum(many.reference(many.images[:9]) ** 2, axis=1).tolist(),
    )


def test_one_face_against_many(many: tiny.World) -> None:
    one = embedded(many, many.images[:1], Packing.ALONE)
    expected = many.reference(many.images)
    others = embedded(many, many.images[1:4], Packing.ALONE)
    wanted = (expected[1:4] @ expected[0]).tolist()
    require_scores(many.client.decrypt(many.server.match(one, others)), wanted)
    require_scores(many.client.decrypt(many.server.match(others, one)), wanted)


def test_one_face_against_a_batch(many: tiny.World) -> None:
    """Where an embedding has as many slots in both, as it has at full size."""
    one, batch = embedded(many, many.images[:1], Packing.ALONE), embedded(many, many.images[1:9])
    with pytest.raises(ParameterMismatch, match="bundles of 1 and 8 faces"):
        many.server.match(one, batch)
    engine = choose_engine(packings=Packing)
    assert engine.match(Packing.ALONE) == engine.match(Packing.BATCH)


def test_packings_that_cannot_be_compared(many: tiny.World) -> None:
    batch = embedded(many, many.images[:2])
    single = embedded(many, many.images[:2], Packing.ALONE)
    with pytest.raises(ParameterMismatch, match="computed in batches, those of the other were not"):
        many.server.match(batch, single)


def test_the_planner_decides(many: tiny.World) -> None:
    assert many.client.encrypt(tiny.faces(many.images[:3])).facts["runs"] == 3 * [["alone", 1]]
    with pytest.raises(PlanningError, match="no face"):
        many.client.encrypt([])
    with pytest.raises(CircuitError, match="for another number"):
        many.client.encrypt(tiny.faces(many.images[:3]), runs=numbered([(Packing.ALONE, 1)]))


def test_one_face_outside_the_interval_does_not_hide_the_others(many: tiny.World) -> None:
    """Every face has a health report of its own."""
    factor = 1.5 * np.sqrt(tiny.INTERVAL[1] / squared_norm(embed(many.network, many.images)).min())
    stretched = replace(
        many.network,
        head_weight=many.network.head_weight * factor,
        head_bias=many.network.head_bias * factor,
    )
    key = many.key
    server = FaceServer(many.keys, many.engine, stretched)
    result = server.embed(encrypted(many, many.images[:2]))
    assert all(isinstance(r, HealthReport) for r in many.client.decrypt(result))
    # Slots of one face's squared norm replaced: only that face is refused.
    good = embedded(many, many.images[:6])
    norms = many.key.decrypt(good.items["faces 1-6 health"])
    norms[many.engine.places.slots(5, 16)] = 500.0
    scale = good.items["faces 1-6 health"].scale
    forged = key.encrypt(norms, scale)[0].drop_to(1, many.parameters)
    found = many.client.decrypt(replace(good, items={**good.items, "faces 1-6 health": forged}))
    assert [isinstance(r, Embedding) for r in found] == [True] * 5 + [False]
    assert isinstance(found[5], HealthReport)
    assert "outside" in found[5].message


def test_a_diverging_face_spoils_what_it_shares(many: tiny.World) -> None:
    """All scores wrap around, though the other squared norms and embeddings are right."""
    good = embedded(many, many.images[:8])
    items = dict(good.items)
    norm = 1e6
    slot = float(np.sqrt(norm / 16) * tiny.ROOT.evaluate(norm))
    for name, value in (("normalise", slot), ("health", norm)):
        name = f"faces 1-8 {name}"
        changed = many.key.decrypt(items[name])
        changed[: 2 * 16] = value  # face 0, as it would be far outside the interval
        items[name] = many.key.encrypt(changed, items[name].scale)[0].drop_to(1, many.parameters)
    bad = replace(good, items=items)
    result = many.server.match(bad, good)
    score = many.key.decrypt(result.items["faces 1-8 score"])
    starts = [many.engine.places.slots(number, 1).start for number in range(1, 8)]
    assert np.max(np.abs(score[starts])) > 2  # wrapped around
    for number, report in enumerate(many.client.decrypt(result)):
        assert isinstance(report, HealthReport)
        assert "may have wrapped around" in report.message
        assert (report.cause is Cause.OWN) == (number == 0)
    # Its embeddings still fit: only it is refused, and those beside it.
    reports = many.client.decrypt(bad)
    causes = [r.cause if isinstance(r, HealthReport) else None for r in reports]
    beside = Cause.PARTNER
    assert causes == [Cause.OWN, beside, None, None, None, None, None, beside]
    assert isinstance(reports[1], HealthReport)
    assert "beside this one in the batch diverged" in reports[1].message


def test_bundles_that_do_not_belong_together(many: tiny.World) -> None:
    two, three = (embedded(many, many.images[:n]) for n in (2, 3))
    with pytest.raises(ParameterMismatch, match="bundles of 2 and 3 faces"):
        many.server.match(two, three)
    facts = {key: value for key, value in two.facts.items() if key != "preparation"}
    with pytest.raises(ParameterMismatch, match="does not say how its face was prepared"):
        many.server.match(replace(two, facts=facts), two)


def test_kinds_are_not_mixed_up(many: tiny.World, world: tiny.World) -> None:
    images = encrypted(many, many.images[:2])
    with pytest.raises(WrongKind, match="expected an encrypted embedding, got an encrypted image"):
        many.server.match(images, images)
    with pytest.raises(WrongKind, match="expected encrypted embeddings or scores"):
        many.client.decrypt(images)
    with pytest.raises(ParameterMismatch, match="another plan"):
        many.server.embed(replace(images, facts={**images.facts, "plans": {"batch": "x"}}))
    theirs = replace(images, key_id=world.key.key_id)
    with pytest.raises(ParameterMismatch, match=r"packed as 'batch'.*keygen --batch"):
        world.server.embed(theirs)
    with pytest.raises(PlanningError, match="neither single faces nor batches"):
        world.client.plan(3, packings=[Packing.BATCH])


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        [["batch", 9]],
        [["batch", 0]],
        [["batch", True]],
        [["alone", 2]],
        [["pair", 2]],
        [["many", 1]],
        [["batch"]],
        ["batch", 2],
        [["batch", 8]] * 40,
        [[["batch"], 1]],
    ],
    ids=str,
)
def test_impossible_facts_are_refused(many: tiny.World, entry: Any) -> None:
    images = encrypted(many, many.images[:2])
    facts = {**images.facts, "runs": entry}
    with pytest.raises(Corrupt, match="a bundle "):
        many.server.embed(replace(images, facts=facts))
    result = embedded(many, many.images[:2])
    with pytest.raises(Corrupt, match="a bundle "):
        many.client.decrypt(replace(result, facts={**result.facts, "runs": entry}))


def test_other_numbers_than_were_sent(many: tiny.World) -> None:
    """A result that claims other faces lacks the ciphertexts of these."""
    result = embedded(many, many.images[:2])
    for entry in ([["batch", 3]], [["alone", 1], ["alone", 1]]):
        with pytest.raises(Corrupt, match=r"expected \d ciphertexts"):
            many.client.decrypt(replace(result, facts={**result.facts, "runs": entry}))


def test_images_out_of_range_are_refused(many: tiny.World) -> None:
    for value in (np.nan, 1.5):
        with pytest.raises(ValueError, match=r"NaN|values in"):
            encrypted(many, np.full((2, 3, 16, 16), value))
