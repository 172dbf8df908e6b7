"""Pictures that no camera takes, on which polynomial networks diverge: for training and tests."""

from typing import Final

import torch
from torch import Tensor

from fhe_face.models.training.augmentation import CROP, Draw

KINDS: Final = 10


def stress_images(seed: int, count: int, device: str | torch.device = "cpu") -> Tensor:
    """(count, 3, 64, 64) in [-1, 1], all kinds in turn: noise (uniform, black and white, normal,
    coarse), constant, chessboards, stripes, gradients, random tiles, single points."""
    draw = Draw(seed, count, torch.device(device))
    place = torch.arange(CROP, device=draw.device, dtype=torch.float32)
    across, down = place.view(1, 1, 1, -1), place.view(1, 1, -1, 1)
    one, two = draw.uniform(-1, 1, 3, 1, 1) * 1.5, draw.uniform(-1, 1, 3, 1, 1) * 1.5
    cell = torch.floor(draw.uniform(0, 1) ** 2 * 16) + 1
    uniform = draw.uniform(-1, 1, 3, CROP, CROP)
    board = (torch.floor(across / cell) + torch.floor(down / cell)) % 2
    stripe = torch.floor(torch.where(draw.chosen(0.5), across, down) / cell) % 2
    angle = draw.uniform(0, 2 * torch.pi)
    ramp = (across * torch.cos(angle) + down * torch.sin(angle)) / CROP
    coarse = draw.normal(3, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    wave = torch.sin((across * torch.cos(angle) + down * torch.sin(angle)) * 3.2 / cell)
    extreme = torch.sign(one) * torch.ones_like(uniform)
    kinds = [
        uniform,
        torch.sign(uniform[:, :1]).expand_as(uniform) * draw.uniform(0.5, 1),
        draw.normal(3, CROP, CROP) * draw.uniform(0.1, 1) + one,
        torch.where(draw.chosen(0.5), extreme, one.expand_as(uniform)),
        one + (two - one) * board,
        one + (two - one) * stripe,
        one + (two - one) * ramp,
        coarse,
        one * wave,
        torch.where(uniform[:, :1] > draw.uniform(0.9, 0.999), two, one).expand_as(uniform),
    ]
    turn = torch.arange(count, device=draw.device) % KINDS
    return torch.stack(kinds)[turn, torch.arange(count, device=draw.device)].clamp(-1, 1)


def spoiled(images: Tensor, seed: int) -> Tensor:
    """Pictures (B, 3, 64, 64) mixed with stress images: halves, patches, sums, extreme contrast."""
    draw = Draw(seed, len(images), images.device)
    other = stress_images(seed + 1, len(images), images.device)
    other = other[torch.randperm(len(other), generator=torch.Generator().manual_seed(seed))]
    tile = draw.uniform(0, 1, 1, 2, 2) < 0.4
    tiles = tile.repeat_interleave(CROP // 2, 2).repeat_interleave(CROP // 2, 3)
    share = draw.uniform(0, 1)
    hard = torch.sign(images - draw.uniform(-0.4, 0.4)) * draw.uniform(0.6, 1)
    mixed = torch.where(tiles, other, images)
    mixed = torch.where(draw.chosen(0.3), images + (other - images) * share, mixed)
    return torch.where(draw.chosen(0.25), hard, mixed).clamp(-1, 1)
