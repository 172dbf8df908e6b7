"""The objective of `fhe-face weights bound`: a network stays what it is, on pictures of faces."""

import copy
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.training.augmentation import augment, centre, pictures
from fhe_face.models.training.bounds import STRESS_SEED
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.loop import Record, Seen, rows_of, seed_of
from fhe_face.models.training.plan import Plan
from fhe_face.models.training.shards import Canvases
from fhe_face.models.training.stress import stress_images

#: Faces at the end that are never trained on, of many.
HELD_OUT: Final = 300
_CHUNK: Final = 50
_COSINE: Final = 20.0
_RELATION: Final = 200.0
_NORM: Final = 2.0
#: How far outside of the interval of the normalisation the teacher is still believed.
_BELIEVED: Final = (0.6, 0.4)


class Keep:
    """What the given network makes of a changed picture, the trained one must make of the very
    same changed picture: direction, relations within the batch, and length.

    Where the given network is far outside of its own interval it diverges, or is about to, and
    teaches nothing: there only the bounds of `models.training.loop` act.
    """

    def __init__(
        self,
        given: CryptoFaceNet,
        faces: Canvases,
        plan: Plan,
        interval: tuple[float, float],
        held_out: int = HELD_OUT,
        stress: int = 300,
    ) -> None:
        """given: the frozen teacher; interval: squared norms of its normalisation; held_out: faces
        that only `check` sees; stress: stress images of `check`.

        TrainingError: fewer faces than one batch.
        """
        self.head = nn.Module()
        self.teacher = copy.deepcopy(given).eval().requires_grad_(False)
        self.faces, self.plan, self.interval = faces, plan, interval
        self.count, self.held_out, self.stress = len(faces) - held_out, held_out, stress
        self._wanted: Tensor | None = None
        if self.count < plan.batch:
            raise TrainingError(
                f"{len(faces)} faces: {held_out} are held out, and one step takes {plan.batch}"
            )

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Every face once per epoch, in another order each time; nothing is known about them."""
        rows = rows_of(self.plan.seed, step, self.count, self.plan.batch)
        rows.sort()  # a file is read faster in order
        return torch.from_numpy(self.faces.take(rows)), torch.empty(0)

    def loss(self, seen: Seen, known: Tensor) -> dict[str, Tensor]:
        """cosine, relation and length, each against the given network on the same pictures."""
        with torch.no_grad():
            theirs = self.teacher.to(seen.faces.device)(seen.faces)
            norm = theirs.square().sum(1)
            low, high = self.interval
            believed = (norm >= low * _BELIEVED[0]) & (norm <= high * _BELIEVED[1])
        ours, theirs = seen.embedding[believed], theirs[believed]
        if not len(theirs):
            nothing = seen.embedding.new_zeros(())
            return {"cosine": nothing, "relation": nothing, "length": nothing}
        one, two = functional.normalize(ours), functional.normalize(theirs)
        lengths = ours.square().sum(1).clamp(min=1e-3).log() - norm[believed].log()
        return {
            "cosine": (1 - (one * two).sum(1)).mean() * _COSINE,
            "relation": (one @ one.T - two @ two.T).square().mean() * _RELATION,
            "length": lengths.square().mean() * _NORM,
        }

    def check(self, network: CryptoFaceNet) -> Record:
        """How much of the given network is left, and how much of the divergence.

        kept_cosine, kept_changed: mean cosine to the given network on held-out faces, as they are
        and changed, 0 for what is not finite; stress_not_finite, stress_refused: stress images
        without a finite squared norm in float64, and those outside of the interval (the former
        among them).
        """
        device = next(network.parameters()).device
        rows = np.arange(self.count, self.count + self.held_out)
        raw = torch.from_numpy(self.faces.take(rows)).to(device)
        canvas = pictures(raw)
        changed = augment(canvas, seed_of("check"), self.plan.augmentation)
        shown = torch.cat([centre(canvas), changed])
        if self._wanted is None:
            self._wanted = embed(self.teacher.to(device), shown)
        cosine = functional.cosine_similarity(embed(network, shown), self._wanted)
        halves = zip(("kept_cosine", "kept_changed"), torch.split(cosine, len(canvas)), strict=True)
        record: Record = {name: float(half.double().nan_to_num().mean()) for name, half in halves}
        hard = stress_images(STRESS_SEED, self.stress, device).double()
        norms = embed(copy.deepcopy(network).double(), hard).square().sum(1)
        low, high = self.interval
        record["stress_not_finite"] = int((~norms.isfinite()).sum())
        record["stress_refused"] = int((~((norms >= low) & (norms <= high))).sum())
        record["stress_images"] = self.stress
        return record


def embed(network: CryptoFaceNet, pictures: Tensor) -> Tensor:
    """Embeddings (N, 256) of pictures (N, 3, 64, 64), without gradients."""
    with torch.no_grad():
        return torch.cat([network(part) for part in torch.split(pictures, _CHUNK)])
