"""Changed pictures and stress images: repeatable, in range, and what they claim to be."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fhe_face.models.training.augmentation import _block_coded, augment, centre
from fhe_face.models.training.stress import KINDS, spoiled, stress_images


def faces(count: int, side: int = 80) -> torch.Tensor:
    random = torch.Generator().manual_seed(5)
    small = torch.rand(count, 3, 8, 8, generator=random) * 2 - 1
    return torch.nn.functional.interpolate(small, (side, side), mode="bilinear")


@settings(max_examples=12)
@given(seed=st.integers(0, 2**63 - 1), side=st.sampled_from([64, 80]))
def test_augmented_pictures(seed: int, side: int) -> None:
    given_faces = faces(5, side)
    once, again = augment(given_faces, seed), augment(given_faces, seed)
    assert once.shape == (5, 3, 64, 64)
    assert torch.equal(once, again)
    assert once.abs().max() <= 1
    assert not torch.equal(once, augment(given_faces, seed ^ 1))


def test_pictures_of_a_batch_change_differently() -> None:
    same = faces(1).expand(6, -1, -1, -1)
    changed = augment(same, 9)
    assert all((changed[i] - changed[j]).abs().max() > 0.01 for i in range(6) for j in range(i))


def test_faces_stay_recognisable() -> None:
    """On average a changed picture is far more like its original than like the others."""
    originals = faces(60)
    changed = augment(originals, 11)

    def flat(x: torch.Tensor) -> torch.Tensor:
        grey = x.mean(1).flatten(1)
        return torch.nn.functional.normalize(grey - grey.mean(1, keepdim=True))

    plain, mirror = flat(centre(originals)), flat(centre(originals).flip(3))
    scores = torch.maximum(flat(changed) @ plain.T, flat(changed) @ mirror.T)
    assert (scores.argmax(1) == torch.arange(60)).float().mean() > 0.8


def test_block_coding_is_exact_for_fine_steps_and_coarse_for_large_ones() -> None:
    picture = centre(faces(2))
    fine = _block_coded(picture, torch.full((2, 1, 1, 1), 1e-5))
    coarse = _block_coded(picture, torch.full((2, 1, 1, 1), 0.5))
    assert (fine - picture).abs().max() < 1e-4 < (coarse - picture).abs().max()


def test_stress_images() -> None:
    images = stress_images(3, 5 * KINDS)
    assert torch.equal(images, stress_images(3, 5 * KINDS))
    assert images.shape == (5 * KINDS, 3, 64, 64)
    assert images.abs().max() <= 1
    flat = images.flatten(2).std(2).amax(1)
    assert (flat < 1e-6).sum() >= 5, "some are constant"
    assert ((images == 1) | (images == -1)).flatten(1).all(1).any(), "some are all black or white"
    assert flat[0::KINDS].min() > 0.5, "uniform noise"


def test_spoiled_faces_are_in_range_and_differ() -> None:
    originals = centre(faces(20))
    changed = spoiled(originals, 4)
    assert changed.abs().max() <= 1
    assert ((changed - originals).flatten(1).abs().amax(1) > 0.01).float().mean() > 0.8
