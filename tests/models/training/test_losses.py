"""Losses against their definitions, written out."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fhe_face.models.training.losses import (
    NORM_AIM,
    ArcFace,
    Distillation,
    info_nce,
    jigsaw,
    norm_penalty,
)


@settings(max_examples=25)
@given(seed=st.integers(0, 999), people=st.integers(1, 4))
def test_info_nce(seed: int, people: int) -> None:
    random = torch.Generator().manual_seed(seed)
    embedding = torch.randn(9, 256, generator=random).double()
    person = torch.randint(people, (9,), generator=random)
    unit = embedding / embedding.norm(dim=1, keepdim=True)
    losses = []
    for i in range(9):
        others = [j for j in range(9) if j != i]
        positives = [j for j in others if person[j] == person[i]]
        if positives:
            logits = {j: float(unit[i] @ unit[j]) / 0.07 for j in others}
            total = math.log(sum(math.exp(v) for v in logits.values()))
            losses.append(sum(total - logits[j] for j in positives) / len(positives))
    expected = sum(losses) / len(losses) if losses else 0.0
    assert float(info_nce(embedding, person)) == pytest.approx(expected, rel=1e-9)


def test_info_nce_is_low_when_people_agree_across_images() -> None:
    person = torch.tensor([0, 0, 1, 1])
    apart = torch.eye(4, 256)[[0, 0, 1, 1]]
    alike = torch.ones(4, 256)
    assert info_nce(apart, person) < 0.01 < info_nce(alike, person)


def test_info_nce_without_pairs_is_zero_and_has_gradients() -> None:
    embedding = torch.randn(3, 256, requires_grad=True)
    loss = info_nce(embedding, torch.arange(3))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert embedding.grad is not None
    assert torch.isfinite(embedding.grad).all()


def test_arcface_without_margin_is_softmax_of_cosines() -> None:
    torch.manual_seed(3)
    head = ArcFace(5, scale=10, margin=0.0)
    embedding, person = torch.randn(7, 256), torch.randint(5, (7,))
    unit = torch.nn.functional.normalize
    logits = 10 * unit(embedding) @ unit(head.weight).T
    expected = torch.nn.functional.cross_entropy(logits, person)
    torch.testing.assert_close(head(embedding, person), expected)


def test_arcface_margin_is_an_angle() -> None:
    """Own cosine cos(t) becomes cos(t + margin); and never falls as the angle grows."""
    head = ArcFace(2, scale=1.0, margin=0.4)
    with torch.no_grad():
        head.weight.copy_(torch.eye(2, 256))
    losses = []
    for angle in torch.linspace(0.05, math.pi - 0.05, 40).tolist():
        embedding = torch.zeros(1, 256)
        embedding[0, 0], embedding[0, 2] = math.cos(angle), math.sin(angle)
        losses.append(head(embedding, torch.tensor([0])).item())
        if angle + 0.4 < math.pi:
            expected = math.log(1 + math.exp(-math.cos(angle + 0.4)))
            assert losses[-1] == pytest.approx(expected, abs=1e-5)
    assert all(b >= a - 1e-6 for a, b in itertools.pairwise(losses))


def test_jigsaw() -> None:
    right = torch.eye(4).expand(3, 4, 4) * 50
    assert float(jigsaw(right)) < 1e-6
    assert float(jigsaw(torch.zeros(3, 4, 4))) == pytest.approx(math.log(4))


def test_distillation_keeps_the_teachers_cosines() -> None:
    teacher = torch.randn(20, 128)
    distillation = Distillation(torch.zeros(128))
    target = distillation.target(teacher)
    unit = torch.nn.functional.normalize(teacher)
    torch.testing.assert_close(target @ target.T, unit @ unit.T, atol=1e-5, rtol=0)
    cosine, relation, _ = distillation(target * 3, teacher)
    assert float(cosine) == pytest.approx(0, abs=1e-6)
    assert float(relation) == pytest.approx(0, abs=1e-6)


@settings(max_examples=25)
@given(norm=st.floats(1.0, 1e6))
def test_norm_penalty_is_zero_exactly_inside(norm: float) -> None:
    embedding = torch.full((1, 256), math.sqrt(norm / 256))
    inside = NORM_AIM[0] * 1.001 < norm < NORM_AIM[1] * 0.999
    outside = norm < NORM_AIM[0] * 0.999 or norm > NORM_AIM[1] * 1.001
    penalty = float(norm_penalty(embedding))
    assert penalty == 0 if inside else penalty >= 0
    assert penalty > 0 or not outside
