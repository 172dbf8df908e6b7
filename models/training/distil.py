"""Distillation: CryptoFaceNet4 learns to compare generated faces as the teacher does.

    python -m fhe_face.models.training.generated FACES
    python -m fhe_face.models.training.distil FACES RUN --steps 2000

The last 500 faces of FACES are kept from training and only looked at for the log.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fhe_core.streams import early_end_is_quiet
from fhe_face.models.checkpoint import load_state
from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.training.augmentation import augment, centre, pictures
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.loop import STATE_FILE, Record, Seen, Trainer, rows_of, seed_of
from fhe_face.models.training.losses import Distillation, info_nce
from fhe_face.models.training.plan import Plan
from fhe_face.models.training.shards import Canvases, stored
from fhe_face.models.training.teacher import Teacher

HELD_OUT: Final = 500
#: The teacher's cosine from which a changed picture still shows its face, to the teacher.
_SAME_FACE: Final = 0.6


class Faces:
    """Faces and their teacher embeddings, each folder in one file of `models.training.generated` or
    in many of `models.training.shards`."""

    def __init__(self, *folders: Path) -> None:
        """TrainingError: a folder does not hold them."""
        self.canvases = Canvases(*folders)
        targets = [_targets(folder) for folder in folders]
        #: How many are of each folder.
        self.counts = [len(part) for part in targets]
        self.targets: NDArray[np.float32] = np.concatenate(targets)
        for folder, count in zip(folders, self.counts, strict=True):
            # Each by itself: two wrong counts may add up to a right one.
            if (faces := len(Canvases(folder))) != count or count < 2:
                raise TrainingError(f"{folder}: {faces} faces, {count} targets")

    def __len__(self) -> int:
        return len(self.canvases)


def _targets(folder: Path) -> NDArray[np.float32]:
    try:
        files = stored(folder, "targets")
        return np.concatenate([np.load(file, allow_pickle=False) for file in files])
    except (OSError, ValueError, EOFError) as error:
        raise TrainingError(f"{folder}: no teacher's embeddings of its faces ({error})") from None


class Distil:
    """The objective of `fhe_face.models.training.loop`."""

    def __init__(
        self,
        data: Faces,
        plan: Plan,
        held_out: int = HELD_OUT,
        neighbours: int = 1,
        views: int = 1,
        teacher: Teacher | None = None,
    ) -> None:
        """held_out: faces at the end that are never trained on; neighbours: faces of a batch that
        lie together in the teacher's space, so that relations see hard pairs; views: how often
        each face is in a batch, every time changed in another way (then InfoNCE over them joins);
        teacher: looks at the changed pictures too (function matching). Where it still sees the
        same face, what it sees there is the target, and the stored embedding elsewhere.

        TrainingError: fewer faces than one batch, or a batch that these do not divide.
        """
        if plan.batch % (neighbours * views):
            raise TrainingError(
                f"a batch of {plan.batch} is not made of {neighbours} neighbours with {views} views"
            )
        self.head = nn.Module()
        self.data, self.plan = data, plan
        self.neighbours, self.views, self.teacher = neighbours, views, teacher
        self.count = len(data) - held_out
        if self.count < plan.batch:
            raise TrainingError(f"{self.count} faces to train on are fewer than one batch")
        # Of the folder named last: where there are photos, they are what the mean is of.
        own = data.targets[len(data) - data.counts[-1] : self.count]
        self.distillation = Distillation(torch.from_numpy(own.mean(0)))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Every face once per epoch, in another order each time; with neighbours, every face is
        once the one whose neighbours are taken."""
        size = self.plan.batch // (self.neighbours * self.views)
        rows = rows_of(self.plan.seed, step, self.count, size)
        rows.sort()  # a file is read faster in order
        if self.neighbours > 1:
            likeness = self.data.targets[rows] @ self.data.targets[: self.count].T
            rows = np.argpartition(-likeness, self.neighbours - 1, 1)[:, : self.neighbours].ravel()
        rows = np.repeat(rows, self.views)
        faces = self.data.canvases.take(rows)
        return torch.from_numpy(faces), torch.from_numpy(self.data.targets[rows])

    def loss(self, seen: Seen, known: Tensor) -> dict[str, Tensor]:
        """See `models.training.losses.Distillation`."""
        embedding = seen.embedding
        distillation = self.distillation.to(embedding.device)
        cosine, relation, contrast = distillation(embedding, self._wanted(seen, known))
        parts = {"cosine": cosine, "relation": relation, "contrast": contrast * 0.5}
        if self.views > 1:
            # The same teacher embedding is the same face, also where two neighbourhoods share it.
            face = torch.unique(known.to(embedding.device), dim=0, return_inverse=True)[1]
            parts["views"] = info_nce(embedding, face) * 0.5
        return parts

    def _wanted(self, seen: Seen, known: Tensor) -> Tensor:
        """The teacher's embeddings (B, 128) that the pictures of a batch are to have."""
        stored = known.to(seen.embedding.device)
        if self.teacher is None:
            return stored
        looked = self.teacher.embed_changed(seen.faces)
        same = (looked * stored).sum(1, keepdim=True) >= _SAME_FACE
        return torch.where(same, looked, stored)

    def check(self, network: CryptoFaceNet) -> Record:
        """Held-out generated faces: how well cosines follow the teacher's (correlation), and how
        often a changed picture finds its own face among them (rank-1)."""
        device = next(network.parameters()).device
        held = self.data.canvases.take(np.arange(self.count, len(self.data)))
        raw = torch.from_numpy(held).to(device)
        canvas = pictures(raw)
        teacher = self.distillation.to(device).target(
            torch.from_numpy(self.data.targets[self.count :]).to(device)
        )
        with torch.no_grad():
            gallery = functional.normalize(network(centre(canvas)))
            probes = functional.normalize(network(augment(canvas, seed_of("check"))))
        upper = torch.triu(torch.ones(len(raw), len(raw), device=device), 1) > 0
        pairs = torch.stack([(e @ e.T)[upper] for e in (gallery, teacher)])
        found = (probes @ gallery.T).argmax(1) == torch.arange(len(raw), device=device)
        measured = {
            "teacher_correlation": float(torch.corrcoef(pairs)[0, 1]),
            "teacher_cosine": float((gallery * teacher).sum(1).mean()),
            "rank1_changed": float(found.float().mean()),
        }
        # In its first steps a network may diverge on its running statistics; JSON has no NaN.
        return {name: value for name, value in measured.items() if math.isfinite(value)}


def main(arguments: list[str] | None = None) -> None:
    """The command line described at the top."""
    parser = argparse.ArgumentParser(prog="python -m fhe_face.models.training.distil")
    parser.add_argument("faces", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--bounded-from", type=float, default=0.6)
    parser.add_argument("--bound-weight", type=float, default=Plan.bound_weight)
    parser.add_argument("--stress", type=int, default=Plan.stress)
    parser.add_argument("--hunt-faces", type=float, default=Plan.hunt_faces)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="weights to start from, not random ones")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--half", action="store_true", help="bfloat16: faster where known")
    parser.add_argument("--compiled", action="store_true", help="torch.compile: faster")
    options = parser.parse_args(arguments)
    plan = Plan(
        options.steps, options.batch, options.rate, options.seed, half=options.half,
        bounded_from=options.bounded_from, bound_weight=options.bound_weight,
        stress=options.stress, hunt_faces=options.hunt_faces,
    )  # fmt: skip
    torch.manual_seed(options.seed)
    network = CryptoFaceNet(64)
    if options.start is not None:
        network = CryptoFaceNet.from_state(load_state(options.start))
    objective = Distil(Faces(options.faces), plan, HELD_OUT)
    trainer = Trainer(
        network, objective, plan, options.out,
        device=options.device, compiled=options.compiled,
    )  # fmt: skip
    if (options.out / STATE_FILE).exists():
        trainer.resume()
    for record in trainer.run(check=objective.check, check_every=100):
        if record["step"] % 20 == 0 or record["step"] == plan.steps:
            print(json.dumps(_short(record)), flush=True)


def _short(record: Record) -> dict[str, Any]:
    return {name: round(value, 5) for name, value in record.items()}


if __name__ == "__main__":
    with early_end_is_quiet():
        main()
