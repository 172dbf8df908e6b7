"""How faces were prepared travels with the ciphertexts, and must agree for a match."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fhe_core.container import Corrupt, ParameterMismatch
from fhe_core.formats.ciphertexts import load_bundle, save_bundle
from fhe_core.formats.preparation import ENTRY, check_preparation
from fhe_face.facts import require_same_preparation
from fhe_face.models.faces import Preparation, PreparationError
from fhe_face.photos.images import ImageError
from fhe_face.photos.preparation import PreparedFace
from tests.core import tiny

FACE = Preparation(64, "arcface-112", "aligned", "a" * 64)
ALIGNED = FACE.describe()


def test_it_travels_to_the_score(world: tiny.World, tmp_path: Path) -> None:
    embeddings = []
    for image in world.images[:2]:
        encrypted = world.client.encrypt(PreparedFace(image, "aligned", FACE))
        save_bundle(tmp_path / "image.ct", encrypted)
        received = load_bundle(tmp_path / "image.ct", "image", tiny.load)
        embeddings.append(world.server.embed(received))
    assert all(embedding.facts[ENTRY] == ALIGNED for embedding in embeddings)
    one, two = embeddings
    score = world.server.match(one, two)
    assert score.facts[ENTRY] == ALIGNED
    assert np.isfinite(world.client.score(score).value)
    other = replace(two, facts={**two.facts, ENTRY: {**ALIGNED, "fallback": True}})
    with pytest.raises(ParameterMismatch, match=r"prepared differently.*fallback False and True"):
        world.server.match(one, other)


def test_older_files_have_none(world: tiny.World) -> None:
    image = world.client.encrypt(tiny.faces(world.images[0]))
    facts = {name: value for name, value in image.facts.items() if name != ENTRY}
    image = replace(image, facts=facts)
    embedding = world.server.embed(image)
    assert ENTRY not in embedding.facts
    world.server.match(embedding, embedding)


def test_differences_are_named() -> None:
    require_same_preparation({ENTRY: ALIGNED}, {ENTRY: dict(ALIGNED)})
    require_same_preparation({}, {})
    other = {**ALIGNED, "detector": "b" * 64, "size": 96, "flip": True}
    with pytest.raises(ParameterMismatch) as caught:
        require_same_preparation({ENTRY: ALIGNED}, {ENTRY: other})
    for text in (f"detector {'a' * 16}... and {'b' * 16}...", "size 64 and 96", "flip False and T"):
        assert text in str(caught.value)
    assert "template" not in str(caught.value)
    with pytest.raises(ParameterMismatch, match="the first embedding does not say"):
        require_same_preparation({}, {ENTRY: ALIGNED})
    with pytest.raises(ParameterMismatch, match="the second embedding does not say"):
        require_same_preparation({ENTRY: ALIGNED}, {})


def test_contrast_is_written_down_and_may_differ() -> None:
    softer = FACE.with_contrast(0.9)
    assert softer.normalisation == "0.900000 * (x / 127.5 - 1)"
    assert softer.with_contrast(0.5).normalisation == "0.450000 * (x / 127.5 - 1)"
    assert FACE.with_contrast(1.0) == FACE
    assert Preparation.from_description(softer.describe()) == softer
    check_preparation("x.ct", {ENTRY: softer.describe()})
    for one in (FACE, FACE.with_contrast(0.8), FACE.with_contrast(1 - 1e-9)):
        require_same_preparation({ENTRY: one.describe()}, {ENTRY: softer.describe()})
    other = replace(softer, detector="b" * 64)
    with pytest.raises(ParameterMismatch) as caught:
        require_same_preparation({ENTRY: ALIGNED}, {ENTRY: other.describe()})
    assert "normalisation" not in str(caught.value)
    for normalisation in ("2 * (x / 127.5 - 1)", "x / 255", "0.900000 * (x / 255)"):
        with pytest.raises(ParameterMismatch, match="normalisation"):
            require_same_preparation(
                {ENTRY: ALIGNED}, {ENTRY: {**ALIGNED, "normalisation": normalisation}}
            )
    for wrong in (0.0, -0.5, 1.1, float("nan"), float("inf")):
        with pytest.raises(PreparationError, match="contrast"):
            FACE.with_contrast(wrong)


def test_a_face_with_less_contrast(world: tiny.World) -> None:
    """What is encrypted is that, and says so; it may be matched with one as it is."""
    face = PreparedFace(world.images[0], "aligned", FACE)
    softer = face.with_contrast(0.9)
    assert np.array_equal(softer.unit, 0.9 * face.unit)
    one, two = world.client.encrypt(face, contrast=0.9), world.client.encrypt(softer)
    assert one.facts[ENTRY] == two.facts[ENTRY] == FACE.with_contrast(0.9).describe()
    found = [world.server.embed(bundle) for bundle in (one, two, world.client.encrypt(face))]
    values = [world.client.embedding(bundle).values for bundle in found]
    assert np.allclose(values[0], values[1], atol=1e-3)
    assert not np.allclose(values[0], values[2], atol=1e-3)
    score = world.server.match(found[0], found[2])
    assert score.facts[ENTRY] == ALIGNED
    assert world.client.score(score, [found[0], found[2]]).cosine > 0.9
    with pytest.raises(ImageError, match=r"contrast of 1\.5"):
        world.client.encrypt(face, contrast=1.5)


@pytest.mark.parametrize(
    "content",
    [[], "text", 5, {"a": []}, {"a": {"b": 1}}, {"a": "x" * 1000}, {str(n): n for n in range(99)}],
)
def test_malformed(content: object) -> None:
    with pytest.raises(Corrupt, match=r"x\.ct: says in a malformed way"):
        check_preparation("x.ct", {ENTRY: content})
