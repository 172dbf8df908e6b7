"""A client and a server, end to end at a small size: answers, and refusals of everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core.ciphertext import Ciphertext
from fhe_core.container import Corrupt, KeyMismatch, ParameterMismatch, WrongKind
from fhe_core.formats.ciphertexts import Bundle, load_bundle, save_bundle
from fhe_core.keys.evaluation import EvaluationKeys, MissingKeyError
from fhe_core.normalisation import Normalisation
from fhe_core.parameters import Parameters
from fhe_core.plan import KeyName
from fhe_core.secret.key import SecretKey
from fhe_face.client.decryption import Embedding, Score
from fhe_face.client.health import UnhealthyResultError
from fhe_face.client.requests import RequestMismatch
from fhe_face.models.synthetic import random_fused
from fhe_face.models.thresholds import MeasuredSet, OperatingPoint, Thresholds, Verdict
from fhe_face.server.server import FaceServer
from fhe_face.shapes import ShapeMismatch
from tests.core import tiny


@pytest.fixture(scope="module")
def results(world: tiny.World) -> list[Bundle]:
    """Encrypted embeddings of the first two images."""
    return [embedding_of(world, image) for image in world.images[:2]]


def embedding_of(world: tiny.World, image: tiny.Array, server: FaceServer | None = None) -> Bundle:
    encrypted = world.client.encrypt(tiny.faces(image))
    return (server or world.server).embed(encrypted)


def match(world: tiny.World, pair: Sequence[Bundle]) -> Bundle:
    left, right = pair
    return world.server.match(left, right)


def reference(world: tiny.World) -> tiny.Array:
    return world.reference(world.images)


def noise(bundle: Bundle, seed: int = 0) -> dict[str, Ciphertext]:
    """Uniform residues in place of every ciphertext."""
    generator = np.random.default_rng(seed)
    items = {}
    for name, item in bundle.items.items():
        moduli = np.array(bundle.parameters.moduli_at(item.level), dtype=np.uint64)[:, None]
        residues = generator.integers(0, moduli, item.residues.shape, dtype=np.uint64)
        items[name] = replace(item, residues=residues)
    return items


def with_facts(bundle: Bundle, **facts: Any) -> Bundle:
    return replace(bundle, facts={**bundle.facts, **facts})


# --- answers --------------------------------------------------------------------------------------


def test_embeddings(world: tiny.World, results: list[Bundle]) -> None:
    for bundle, expected in zip(results, reference(world), strict=False):
        decrypted = world.client.embedding(bundle)
        assert decrypted.health.healthy
        assert decrypted.values.shape == expected.shape
        error = np.linalg.norm(decrypted.values - expected)
        assert error < 1e-3 * np.linalg.norm(expected)


def test_scores(world: tiny.World, results: list[Bundle]) -> None:
    left, right = reference(world)[:2]
    for pair, expected in (((0, 1), (left, right)), ((0, 0), (left, left))):
        score = world.client.score(match(world, [results[i] for i in pair]))
        a, b = expected
        assert score.value == pytest.approx(float(a @ b), abs=1e-4)
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert score.cosine == pytest.approx(float(cosine), abs=5e-3)
        assert len(score.health.squared_norms) == 2


def test_results_cross_as_files(world: tiny.World, results: list[Bundle], tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.ct" for i in range(2)]
    for path, bundle in zip(paths, results, strict=True):
        save_bundle(path, bundle)
    loaded = [load_bundle(path, "embedding", tiny.load) for path in paths]
    save_bundle(tmp_path / "score.ct", match(world, loaded))
    score = load_bundle(tmp_path / "score.ct", "score", tiny.load)
    left, right = reference(world)[:2]
    assert world.client.score(score).value == pytest.approx(float(left @ right), abs=1e-4)


def test_progress_is_reported(world: tiny.World) -> None:
    seen: list[tuple[str, int, int]] = []
    bundle = world.client.encrypt(tiny.faces(world.images[0]))
    world.server.embed(bundle, lambda *stage: seen.append(stage))
    steps = len(world.compiled.plan.steps)
    assert seen == [("embedding", n + 1, steps) for n in range(steps)]
    assert world.server.packed_weight_bytes > 0
    assert world.server.evaluation_key_memory_bytes == world.keys.memory_bytes


# --- what diverges, wraps around or is no answer --------------------------------------------------


@pytest.mark.parametrize("factor", [8.0, 100.0, 1e4])
def test_a_network_that_diverges_is_refused(world: tiny.World, factor: float) -> None:
    server = world.server_for(tiny.scaled_block(world.network, factor))
    bundle = embedding_of(world, world.images[0], server)
    with pytest.raises(UnhealthyResultError):
        world.client.embedding(bundle)
    score = server.match(bundle, bundle)
    with pytest.raises(UnhealthyResultError):
        world.client.score(score)


def test_one_diverging_face_spoils_the_score(world: tiny.World, results: list[Bundle]) -> None:
    bad = embedding_of(
        world, world.images[1], world.server_for(tiny.scaled_block(world.network, 100.0))
    )
    with pytest.raises(ParameterMismatch, match="different models"):
        match(world, (results[0], bad))  # the scaled block makes it another model
    bad = replace(bad, facts=results[0].facts)
    for pair in ((results[0], bad), (bad, results[0])):
        with pytest.raises(UnhealthyResultError):
            world.client.score(match(world, pair))


@pytest.mark.parametrize("seed", range(3))
def test_noise_in_place_of_a_ciphertext_is_refused(
    world: tiny.World, results: list[Bundle], seed: int
) -> None:
    image = world.client.encrypt(tiny.faces(world.images[0]))
    forged = replace(image, items=noise(image, seed), seeds={})
    with pytest.raises(UnhealthyResultError):
        world.client.embedding(world.server.embed(forged))
    with pytest.raises(UnhealthyResultError):
        world.client.embedding(replace(results[0], items=noise(results[0], seed)))
    score = match(world, results)
    with pytest.raises(UnhealthyResultError):
        world.client.score(replace(score, items=noise(score, seed)))


def test_each_part_of_a_result_is_checked(world: tiny.World, results: list[Bundle]) -> None:
    bundle = results[0]
    for name, forged in noise(bundle).items():
        mixed: Mapping[str, Ciphertext] = {**bundle.items, name: forged}
        with pytest.raises(UnhealthyResultError):
            world.client.embedding(replace(bundle, items=mixed))
    score = match(world, results)
    for name, forged in noise(score).items():
        with pytest.raises(UnhealthyResultError):
            world.client.score(replace(score, items={**score.items, name: forged}))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1.01, -1.01])
def test_images_out_of_range_are_refused(world: tiny.World, bad: float) -> None:
    image = world.images[0].copy()
    image[1, 2, 3] = bad
    with pytest.raises(ValueError, match=r"finite|values in|infinite"):
        world.client.encrypt(tiny.faces(image))
    with pytest.raises(ValueError, match="shape is"):
        world.client.encrypt(tiny.faces(world.images[0][:, :8]))


def test_two_images_in_one_bundle(world: tiny.World) -> None:
    """The same answers as one by one; they match each other and those."""
    both = world.server.embed(world.client.encrypt(tiny.faces(world.images[:2])))
    assert both.facts["runs"] == [["alone", 1]] * 2
    expected = reference(world)
    for found, answer in zip(world.client.decrypt(both), expected, strict=False):
        assert isinstance(found, Embedding)
        assert np.linalg.norm(found.values - answer) < 2e-3 * np.linalg.norm(answer)
        assert found.health.healthy
    other = world.server.embed(world.client.encrypt(tiny.faces(world.images[1::-1])))
    for score in world.client.decrypt(world.server.match(both, other)):
        assert isinstance(score, Score)
        assert score.value == pytest.approx(expected[0] @ expected[1], abs=2e-3)
    images = world.client.encrypt(tiny.faces(world.images[:2]))
    with pytest.raises(ParameterMismatch, match="was encrypted for another plan"):
        world.server.embed(with_facts(images, plans={"alone": "00"}))


# --- what belongs to somebody else ----------------------------------------------------------------


def test_another_key(world: tiny.World, results: list[Bundle]) -> None:
    stranger = world.client_for(SecretKey.generate(world.parameters))
    with pytest.raises(KeyMismatch):
        stranger.embedding(results[0])
    with pytest.raises(KeyMismatch):
        world.server.embed(stranger.encrypt(tiny.faces(world.images[0])))
    foreign = replace(results[1], key_id=stranger.key.key_id)
    with pytest.raises(KeyMismatch, match="second embedding"):
        world.server.match(results[0], foreign)
    # A file that claims the right key but is of another one answers no request of that key ...
    claimed = replace(stranger.encrypt(tiny.faces(world.images[0])), key_id=world.key.key_id)
    renamed = replace(results[0], key_id=stranger.key.key_id)
    with pytest.raises(RequestMismatch, match="answers no request that this key made"):
        world.client.embedding(world.server.embed(claimed))
    with pytest.raises(RequestMismatch, match="answers no request that this key made"):
        stranger.embedding(renamed)
    # ... and with a token of it, decrypts to noise.
    ours, theirs = (
        client.encrypt(tiny.faces(world.images[0])).facts["requests"]
        for client in (world.client, stranger)
    )
    with pytest.raises(UnhealthyResultError):
        world.client.embedding(world.server.embed(with_facts(claimed, requests=ours)))
    with pytest.raises(UnhealthyResultError):
        stranger.embedding(with_facts(renamed, requests=theirs))


def test_another_plan(world: tiny.World) -> None:
    image = world.client.encrypt(tiny.faces(world.images[0]))
    with pytest.raises(ParameterMismatch, match="another plan"):
        world.server.embed(with_facts(image, plans={"alone": "0" * 64}))
    with pytest.raises(ParameterMismatch, match="another plan"):
        world.server.embed(replace(image, facts={"runs": image.facts["runs"]}))
    with pytest.raises(Corrupt, match="how its faces are packed"):
        world.server.embed(replace(image, facts={}))
    fewer = dict(list(image.items.items())[1:])
    with pytest.raises(ShapeMismatch, match="holds 1 ciphertexts"):
        world.server.embed(replace(image, items=fewer))
    more = {**image.items, "face 2 input.0": next(iter(image.items.values()))}
    with pytest.raises(ShapeMismatch, match="holds 3 ciphertexts"):
        world.server.embed(replace(image, items=more))
    name, item = next(iter(image.items.items()))
    for changed in (item.drop_to(2, world.parameters), replace(item, scale=item.scale * 2)):
        with pytest.raises(ShapeMismatch, match=name):
            world.server.embed(replace(image, items={**image.items, name: changed}))


def test_other_parameters(world: tiny.World, short: Parameters, results: list[Bundle]) -> None:
    with pytest.raises(ParameterMismatch, match="other parameters"):
        world.server.embed(replace(results[0], parameters=short))
    keys = EvaluationKeys(short, world.keys.key_id, {})
    with pytest.raises(ParameterMismatch, match="different parameters"):
        FaceServer(keys, world.engine, world.network)


def test_another_architecture(world: tiny.World, results: list[Bundle]) -> None:
    """Weights of another shape have no tables; results of other models do not match."""
    with pytest.raises(ValueError, match="architecture"):
        world.server_for(random_fused(0, channels=(4, 8), strides=(2,)))
    other = with_facts(results[1], weights="0" * 32)
    with pytest.raises(ParameterMismatch, match="different models"):
        world.server.match(results[0], other)


def test_results_of_the_wrong_sort(world: tiny.World, results: list[Bundle]) -> None:
    client, embedding = world.client, results[0]
    score = match(world, results)
    with pytest.raises(WrongKind, match="expected an encrypted score"):
        client.score(embedding)
    with pytest.raises(WrongKind, match="expected an encrypted embedding"):
        client.embedding(score)
    one = dict(list(embedding.items.items())[:1])
    with pytest.raises(Corrupt):
        client.embedding(replace(embedding, items=one))
    with pytest.raises(ShapeMismatch, match="holds 1 ciphertexts"):
        world.server.match(embedding, replace(embedding, items=one))


@pytest.mark.parametrize(
    "facts",
    [
        {"embedding": 0},
        {"embedding": -1},
        {"embedding": 10**9},
        {"embedding": "16"},
        {"embedding": None},
        {"embedding": True},
        {"normalisation": None},
        {"normalisation": "0x1p+0"},
        {"normalisation": {"chebyshev": ["0x1p+0"] * 2, "interval": ["0x1p+0"] * 2}},
    ],
)
def test_malformed_facts(world: tiny.World, results: list[Bundle], facts: dict[str, Any]) -> None:
    with pytest.raises(Corrupt):
        world.client.embedding(with_facts(results[0], **facts))


def test_another_normalisation_is_refused(world: tiny.World, results: list[Bundle]) -> None:
    """A server must not widen the interval that diverging results are measured by."""
    wide = Normalisation(tiny.ROOT.chebyshev, (1e-3, 1e9)).describe()
    with pytest.raises(ParameterMismatch, match="normalised in another way"):
        world.client.embedding(with_facts(results[0], normalisation=wide))


def test_missing_evaluation_keys_are_named(world: tiny.World) -> None:
    keys = dict(world.keys.keys)
    del keys[KeyName(0, 0)]
    short_of = EvaluationKeys(world.parameters, world.keys.key_id, keys)
    server = FaceServer(short_of, world.engine, world.network)
    with pytest.raises(MissingKeyError, match="relinearisation"):
        embedding_of(world, world.images[0], server)


def test_two_clients_side_by_side(world: tiny.World) -> None:
    """Nothing of one client's keys reaches the other's server."""
    key = SecretKey.generate(world.parameters)
    keys = tiny.make_keys(key, world.specifications)
    server = FaceServer(keys, world.engine, world.network)
    other = world.client_for(key)
    theirs = server.embed(other.encrypt(tiny.faces(world.images[0])))
    ours = embedding_of(world, world.images[0])
    expected = reference(world)[0]
    for client, bundle in ((other, theirs), (world.client, ours)):
        assert np.allclose(client.embedding(bundle).values, expected, atol=1e-3)


def test_one_call_says_whether_two_faces_are_of_one_person(world: tiny.World) -> None:
    one, other = tiny.faces(world.images[:2])
    left, right = reference(world)[:2]
    cosine = float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))
    for threshold, verdict in ((cosine - 0.05, Verdict.SAME), (cosine + 0.05, Verdict.DIFFERENT)):
        point = OperatingPoint(threshold, 0.01, 0.99)
        measured = MeasuredSet("a set", 5, 10, 10, "2026-11-30", "0", point)
        found = world.client.verify(one, other, world.server, Thresholds((measured,)))
        assert found.verdict is verdict
        assert found.cosine == pytest.approx(cosine, abs=1e-3)
    wild = world.server_for(tiny.scaled_block(world.network, 100.0))
    with pytest.raises(UnhealthyResultError, match=r"^first face: "):
        world.client.verify(one, other, wild, Thresholds((measured,)))


@dataclass
class Counting:
    """A server that notes how many faces each request had."""

    server: FaceServer
    faces: list[int] = field(default_factory=list)

    def embed(self, bundle: Bundle, /) -> Bundle:
        self.faces.append(sum(faces for _, faces in bundle.facts["runs"]))
        return self.server.embed(bundle)


def test_two_faces_are_one_request(world: tiny.World) -> None:
    one, other = tiny.faces(world.images[:2])
    point = OperatingPoint(0.0, 0.01, 0.99)
    thresholds = Thresholds((MeasuredSet("a set", 5, 10, 10, "2026-11-30", "0", point),))
    for twice, faces in ((False, 2), (True, 4)):
        server = Counting(world.server)
        found = world.client.verify(one, other, server, thresholds, twice=twice)
        assert server.faces == [faces]
        assert all(report.healthy for report in found.health)
        assert found.threshold == 0.0
