"""Labelled faces: who is kept for validation, and the objectives that train on the others."""

import hashlib
import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fhe_face.models import templates
from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.evaluation import identify, pair_scores, roc
from fhe_face.models.training.augmentation import LABELLED, augment, pictures
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.loop import Record, Seen, rows_of, seed_of
from fhe_face.models.training.losses import ArcFace, info_nce, jigsaw

#: Losses of fine-tuning.
Losses = Literal["contrast", "arcface", "both"]
LOSSES: Final[tuple[Losses, ...]] = ("contrast", "arcface", "both")
_CHUNK = 64
_MOST_NAMED = 256
_MOST_HELD_OUT = 10
_USUAL_BATCH = 128
_USUAL_GROUPS = 16


@dataclass(frozen=True, eq=False)
class People:
    """Aligned crops (N, S, S, 3) uint8 RGB and whom they show, (N,) integers from 0 on."""

    crops: NDArray[np.uint8]
    labels: NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many people."""
        return len(np.unique(self.labels))

    @property
    def digest(self) -> str:
        """Of all pictures and whom they show."""
        found = hashlib.sha256(self.crops.tobytes())
        found.update(self.labels.astype("<i8").tobytes())
        return found.hexdigest()

    def split(self, held_out: int | None, seed: int) -> tuple["People", "People"]:
        """Those to train on and `held_out` other people for validation, drawn by lot.

        No image of a held-out person is trained on. Only people with two images can be held out.
        None: ten, fewer of few people (a fifth, but at least two), none of three or fewer.
        TrainingError: fewer than two people would be left, or `held_out` is 1 or negative.
        """
        if held_out is not None and (held_out < 0 or held_out == 1):
            raise TrainingError(
                f"--held-out is {held_out}; it must be 0 (nobody), or 2 people or more"
            )
        names, counts = np.unique(self.labels, return_counts=True)
        able = names[counts > 1]
        if held_out is None:
            held_out = _usual_held_out(len(names), len(able))
        if held_out > len(able) or len(names) - held_out < 2:
            raise TrainingError(
                f"{len(names)} people, {len(able)} of them with two images: --held-out {held_out} "
                "leaves too few (at least two must be left to train on)"
            )
        random = np.random.default_rng(seed_of(seed, "held out"))
        chosen = random.choice(able, held_out, replace=False)
        kept = np.isin(self.labels, chosen)
        return self._part(~kept), self._part(kept)

    def _part(self, rows: NDArray[np.bool_]) -> "People":
        numbers = np.unique(self.labels[rows], return_inverse=True)[1]
        return People(self.crops[rows], numbers.astype(np.int64))


def _usual_held_out(people: int, able: int) -> int:
    wanted = min(_MOST_HELD_OUT, max(2, able // 5))
    return wanted if able >= wanted and people - wanted >= 2 else 0


class Classify:
    """ArcFace over the people, and the jigsaw loss on the patches' features, as CryptoFace."""

    def __init__(
        self, people: People, batch: int | None, seed: int, jigsaw_weight: float = 0.1
    ) -> None:
        """batch: images per step; None: 128, fewer where there are fewer.

        TrainingError: fewer images than one batch takes.
        """
        if batch is None:
            batch = min(_USUAL_BATCH, len(people.labels))
        if len(people.labels) < batch:
            raise TrainingError(
                f"{len(people.labels)} images to train on are fewer than one step takes: --batch "
                f"is {batch}"
            )
        self.people, self.size, self.seed = people, batch, seed
        self.jigsaw_weight = jigsaw_weight
        self.head: nn.Module = ArcFace(people.count)
        self.jigsaw: nn.Module | None = None

    def attach(self, network: CryptoFaceNet) -> "Classify":
        """Take the network's jigsaw head."""
        self.jigsaw = network.jigsaw
        return self

    @property
    def steps_per_epoch(self) -> int:
        """Steps that show (almost) every image once."""
        return len(self.people.labels) // self.size

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Every image once per epoch, in another order each time."""
        rows = rows_of(self.seed, step, len(self.people.labels), self.size)
        return _taken(self.people, rows)

    def loss(self, seen: Seen, known: Tensor) -> dict[str, Tensor]:
        """ArcFace and jigsaw."""
        parts = {"arcface": self.head(seen.embedding, known.to(seen.embedding.device))}
        if self.jigsaw is not None:
            parts["jigsaw"] = jigsaw(self.jigsaw(seen.features)) * self.jigsaw_weight
        return parts


class Contrast:
    """InfoNCE over different images of the same people: P people with K images in each batch.

    With an ArcFace head, the people are classified as well, or only classified.
    """

    def __init__(
        self,
        people: People,
        groups: int | None,
        images: int,
        seed: int,
        temperature: float = 0.07,
        losses: Losses = "contrast",
    ) -> None:
        """groups, images: P and K, both at least 2; groups None: 16, fewer of fewer people;
        temperature: of InfoNCE; losses: contrast, arcface (the head alone) or both.

        TrainingError: too few people or images, a temperature that makes no sense.

        People with a single image are left out; of those with fewer than K, all images are taken.
        """
        if (groups is not None and groups < 2) or images < 2:
            raise TrainingError(
                f"--people is {groups}, --images is {images}; both must be 2 or more"
            )
        if losses not in LOSSES:
            raise TrainingError(f"--losses is '{losses}'; it must be {', '.join(LOSSES)}")
        if not 0 < temperature < math.inf:
            raise TrainingError(f"--temperature is {temperature}; it must be above 0")
        self.seed, self.temperature, self.losses = seed, temperature, losses
        rows = [np.flatnonzero(people.labels == person) for person in range(people.count)]
        self._rows = [own for own in rows if len(own) > 1]
        if groups is None:
            groups = min(_USUAL_GROUPS, max(2, len(self._rows)))
        if len(self._rows) < groups:
            raise TrainingError(
                f"{len(self._rows)} people with two or more images to train on; one step takes "
                f"{groups} of them (--people; it must be 2 or more)"
            )
        self.people, self.groups, self.images = people, groups, images
        self.head: nn.Module = nn.Module() if losses == "contrast" else _head(people, seed)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that show every person once."""
        return len(self._rows) // self.groups

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """P people, K different images of each."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng(seed_of(self.seed, "people", epoch))
        chosen = order.permutation(len(self._rows))[place * self.groups :][: self.groups]
        random = np.random.default_rng(seed_of(self.seed, "images", step))
        picked = [
            random.choice(own, min(self.images, len(own)), replace=False)
            for own in (self._rows[person] for person in chosen)
        ]
        return _taken(self.people, np.concatenate(picked))

    def loss(self, seen: Seen, known: Tensor) -> dict[str, Tensor]:
        """InfoNCE, ArcFace, or both."""
        person = known.to(seen.embedding.device)
        parts: dict[str, Tensor] = {}
        if self.losses != "arcface":
            parts["contrast"] = info_nce(seen.embedding, person, self.temperature)
        if self.losses != "contrast":
            parts["arcface"] = self.head(seen.embedding, person)
        return parts


def _head(people: People, seed: int) -> ArcFace:
    torch.manual_seed(seed)
    return ArcFace(people.count)


class RankOne:
    """Validation: gallery-probe rank-1 over people who were not trained on."""

    def __init__(
        self, people: People, head: nn.Module | None = None, trained: People | None = None
    ) -> None:
        """`people`: the held-out ones; head: of ArcFace over the people `trained`, to compare."""
        self.people = people
        self.head = head if isinstance(head, ArcFace) else None
        self.trained = trained

    def __call__(self, network: CryptoFaceNet) -> Record:
        """rank1 and eer of the held-out people, and what guessing would give.

        paired: mean cosine of an image and a changed copy of it, which says nothing about people
        and stands there to be compared. With a head, rank1_head is the rank-1 by the head's
        scores for the people who were trained on, in place of the embedding, and head_trained the
        share of (up to 256) images of these that the head names right.
        """
        people = self.people
        unit = embedded(network, people.crops)
        found = identify(unit, people.labels)
        copies = embedded(network, _changed(people.crops))
        record: Record = {
            "rank1": found.rank1,
            "rank1_chance": found.chance,
            "probes": found.probes,
            "eer": roc(*pair_scores(unit, people.labels)).eer,
            "paired": float((unit * copies).sum(1).mean()),
        }
        if self.head is None:
            return record
        record["rank1_head"] = identify(self._scores(unit), people.labels).rank1
        if self.trained is not None:
            rows = np.linspace(0, len(self.trained.labels) - 1, _MOST_NAMED).astype(np.int64)
            rows = np.unique(rows)
            scores = self._scores(embedded(network, self.trained.crops[rows]))
            record["head_trained"] = float((scores.argmax(1) == self.trained.labels[rows]).mean())
        return record

    def _scores(self, unit: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the head makes of unit embeddings (N, 256): unit vectors (N, people)."""
        assert self.head is not None
        centres = nn.functional.normalize(self.head.weight.detach().double().cpu()).numpy()
        return templates.unit(unit @ centres.T)


def _changed(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copies (N, 64, 64, 3) as training changes pictures, always the same ones."""
    canvas = pictures(torch.from_numpy(np.ascontiguousarray(crops)))
    changed = (augment(canvas, seed_of("paired"), LABELLED) + 1) * 127.5
    return changed.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def embedded(network: CryptoFaceNet, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Unit embeddings (N, 256) of crops (N, 64, 64, 3), 0 for one that is not finite; the network
    is in evaluation mode."""
    raw = torch.from_numpy(embedded_raw(network, crops))
    unit = torch.nn.functional.normalize(raw).nan_to_num(0, 0, 0)
    return np.asarray(unit.numpy(), np.float64)


def embedded_raw(network: CryptoFaceNet, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The same before normalisation."""
    device = next(network.parameters()).device
    parts = []
    for start in range(0, len(crops), _CHUNK):
        pixels = torch.from_numpy(np.ascontiguousarray(crops[start : start + _CHUNK])).to(device)
        with torch.no_grad():
            parts.append(network(pictures(pixels)).double().cpu())
    return np.asarray(torch.cat(parts).numpy(), np.float64)


def _taken(people: People, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(people.crops[rows]), torch.from_numpy(people.labels[rows])
