"""What training minimises."""

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from fhe_face.models.architecture import EMBEDDING

#: Squared norms that the encrypted normalisation was made for are [100, 3000]; training aims
#: further inside.
NORM_AIM: Final = (220.0, 1600.0)


class ArcFace(nn.Module):
    """Cross entropy over people with an additive angular margin (arXiv 1801.07698)."""

    def __init__(self, people: int, scale: float = 32.0, margin: float = 0.4) -> None:
        """`scale` of the cosines and `margin` in radians."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(people, EMBEDDING) / math.sqrt(EMBEDDING))
        self.scale, self.margin = scale, margin

    def forward(self, embedding: Tensor, person: Tensor) -> Tensor:
        """embedding (B, 256), person (B,) integers; the mean loss."""
        cosine = functional.linear(
            functional.normalize(embedding), functional.normalize(self.weight)
        ).clamp(-1 + 1e-6, 1 - 1e-6)
        own = cosine.gather(1, person[:, None])
        # Beyond pi the cosine would rise again: there a fixed loss takes over, as in the paper.
        turned = torch.where(
            own > -math.cos(self.margin),
            torch.cos(torch.acos(own) + self.margin),
            own - self.margin * math.sin(self.margin),
        )
        logits = cosine.scatter(1, person[:, None], turned.to(cosine.dtype))
        return functional.cross_entropy(self.scale * logits, person)


def jigsaw(logits: Tensor) -> Tensor:
    """Cross entropy of the patches' places: logits (B, P, P) as `jigsaw_logits` gives them."""
    count, patches, _ = logits.shape
    places = torch.arange(patches, device=logits.device).repeat(count)
    return functional.cross_entropy(logits.flatten(0, 1), places)


def info_nce(embedding: Tensor, person: Tensor, temperature: float = 0.07) -> Tensor:
    """Other images of the same person against all other images (supervised InfoNCE).

    embedding (B, 256), person (B,). An image that is the only one of its person is no anchor but
    still a negative; without any anchor the loss is 0.
    """
    unit = functional.normalize(embedding)
    same_image = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    logits = (unit @ unit.T / temperature).masked_fill(same_image, -math.inf)
    positive = (person[:, None] == person[None]) & ~same_image
    shares = logits.log_softmax(1).masked_fill(~positive, 0).sum(1)
    anchors = positive.any(1)
    return -(shares / positive.sum(1).clamp(min=1)).sum() / anchors.sum().clamp(min=1)


class Distillation(nn.Module):
    """Cosine to the teacher's embedding, and InfoNCE of the student's against the teacher's.

    The teacher's 128 numbers, less their mean, are laid into 256 by a fixed rotation, which keeps
    every cosine between two faces.
    """

    rotation: Tensor
    mean: Tensor

    def __init__(self, mean: Tensor, temperature: float = 0.1, seed: int = 0) -> None:
        """`mean`: of the teacher's embeddings, (128,)."""
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        square = torch.randn(EMBEDDING, EMBEDDING, generator=random)
        self.register_buffer("rotation", torch.linalg.qr(square)[0][: len(mean)].contiguous())
        self.register_buffer("mean", mean.clone())
        self.temperature = temperature

    def target(self, teacher: Tensor) -> Tensor:
        """(B, 128) to unit vectors (B, 256)."""
        return functional.normalize((teacher - self.mean) @ self.rotation)

    def forward(self, embedding: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """embedding (B, 256), teacher (B, 128): cosine, relational and contrastive losses."""
        unit, target = functional.normalize(embedding), self.target(teacher)
        cosine = 1 - (unit * target).sum(1).mean()
        relation = (unit @ unit.T - target @ target.T).square().mean() * 10
        own = torch.arange(len(unit), device=unit.device)
        logits = unit @ target.T / self.temperature
        return cosine, relation, functional.cross_entropy(logits, own)


def norm_penalty(embedding: Tensor, aim: tuple[float, float] = NORM_AIM) -> Tensor:
    """(B,): how far squared norms of embeddings (B, 256) lie outside `aim`, in logarithms."""
    logarithm = torch.log(embedding.float().square().sum(1) + 1e-3)
    low, high = map(math.log, aim)
    return torch.relu(low - logarithm).square() + torch.relu(logarithm - high).square()
