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
from fhe_face.models.faces import Preparation
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


@pytest.mark.parametrize(
    "content",
    [[], "text", 5, {"a": []}, {"a": {"b": 1}}, {"a": "x" * 1000}, {str(n): n for n in range(99)}],
)
def test_malformed(content: object) -> None:
    with pytest.raises(Corrupt, match=r"x\.ct: says in a malformed way"):
        check_preparation("x.ct", {ENTRY: content})
