"""The numbers that fix a training run; two runs with equal plans and data give equal weights."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from fhe_face.models.training.augmentation import Strength
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.losses import NORM_AIM


@dataclass(frozen=True)
class Plan:
    """steps: of the optimiser; rate: highest learning rate (warm-up, then a cosine to 2 %);
    bounded_from: share of the steps after which the statistics of all BatchNorms stay as they
    are and stress images and hunted images (`stress` of each per step) join every batch;
    limit, clamp: see `models.training.activation`; bound_weight: of the penalty; hunt_faces: share
    of the hunted images that start as faces, not as stress images; hunted: how many of these there
    are, None: `stress`; norms: squared norms of embeddings that the bounded phase keeps to;
    gentle_until: share of the steps in which what destroys a picture is half as likely;
    temperature, losses: of fine-tuning, see `models.training.people.Contrast`.
    """

    steps: int
    batch: int
    rate: float = 2e-3
    seed: int = 0
    weight_decay: float = 1e-4
    warmup: int = 50
    bounded_from: float = 0.6
    stress: int = 16
    limit: float = 4.0
    clamp: float = 10.0
    bound_weight: float = 0.02
    hunt_faces: float = 0.0
    half: bool = False
    hunted: int | None = None
    norms: tuple[float, float] = NORM_AIM
    temperature: float = 0.07
    losses: str = "contrast"
    gentle_until: float = 0.0
    augmentation: Strength = field(default_factory=Strength)

    def __post_init__(self) -> None:
        """TrainingError names the value that makes no sense."""
        rules = {
            "steps": self.steps >= 1,
            "batch": self.batch >= 2,
            "rate": 0 < self.rate < 1,
            "weight_decay": self.weight_decay >= 0,
            "warmup": self.warmup >= 0,
            "bounded_from": 0 <= self.bounded_from <= 1,
            "stress": self.stress >= 1,
            "limit": self.limit >= 1,
            "clamp": self.limit < self.clamp,
            "bound_weight": self.bound_weight >= 0,
            "hunt_faces": 0 <= self.hunt_faces <= 1,
            "gentle_until": 0 <= self.gentle_until <= 1,
            "hunted": self.prey >= 1,
            "norms": 0 < self.norms[0] < self.norms[1],
        }
        for name, right in rules.items():
            if not right:
                raise TrainingError(f"{name} is {getattr(self, name)}, which makes no sense")

    @property
    def first_bounded(self) -> int:
        """The step from which statistics are fixed; `steps` where that never happens."""
        return round(self.steps * self.bounded_from)

    @property
    def prey(self) -> int:
        """How many hunted images there are."""
        return self.stress if self.hunted is None else self.hunted

    def augmentation_at(self, step: int) -> Strength:
        """How pictures of a step are changed."""
        gentle = step < round(self.steps * self.gentle_until)
        return self.augmentation.weaker(0.5) if gentle else self.augmentation

    def rate_at(self, step: int) -> float:
        """Learning rate of a step; the bounded part starts again at half the highest rate."""
        start, end, top = 0, self.first_bounded or self.steps, self.rate
        if step >= self.first_bounded:
            start, end, top = self.first_bounded, self.steps, self.rate / 2
        share = (step - start) / max(end - start, 1)
        warm = min(1.0, (step - start + 1) / (self.warmup + 1))
        return top * warm * (0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2)

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
