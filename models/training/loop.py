"""The training loop: two phases, bounded activations, a state that goes on where it stopped."""

import hashlib
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.models.checkpoint import save_safetensors
from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.manifest import WeightsManifest
from fhe_face.models.training import state as files
from fhe_face.models.training.activation import Activations
from fhe_face.models.training.augmentation import augment, pictures
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.losses import norm_penalty
from fhe_face.models.training.plan import Plan
from fhe_face.models.training.stress import spoiled, stress_images

STATE_FILE: Final = "state.safetensors"
WEIGHTS_FILE: Final = "weights.safetensors"
LOG_FILE: Final = "log.jsonl"
#: Squared norm of a typical embedding when the bounded phase starts: the middle of [100, 3000].
_TYPICAL_NORM: Final = 548.0
_HUNT_STEP: Final = 0.06
_HUNT_LENGTH: Final = 24
_CLIP: Final = 5.0

Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Seen:
    """A batch as it was trained on: changed crops (B, 3, 64, 64) in [-1, 1], and what the network
    made of them: features (B, P, 256) and embeddings (B, 256) before normalisation."""

    faces: Tensor
    features: Tensor
    embedding: Tensor


class Objective(Protocol):
    """What is trained for. `head`: parameters of its own, or an empty module."""

    head: nn.Module

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Canvases (B, S, S, 3) uint8 and what is known about them; the same for the same step."""

    def loss(self, seen: Seen, known: Tensor) -> dict[str, Tensor]:
        """Named parts to be added up, from what the network made of a batch."""


def seed_of(*parts: object) -> int:
    """A seed for one purpose: 63 bits of a hash of all parts."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def rows_of(seed: int, step: int, count: int, size: int) -> NDArray[np.int64]:
    """`size` of `count` rows for a step: each once per epoch, in another order each time."""
    epoch, place = divmod(step, count // size)
    order = np.random.default_rng(seed_of(seed, "order", epoch)).permutation(count)
    return order[place * size :][:size]


class Trainer:
    """One run. Its folder holds the state, the log, and the weights so far."""

    def __init__(
        self, network: CryptoFaceNet, objective: Objective, plan: Plan, folder: Path,
        *, device: str = "cpu", compiled: bool = False,
        coefficients: FittedNormalisation | None = None,
    ) -> None:  # fmt: skip
        """`compiled`: run the activations through torch.compile; `coefficients`: for the manifest
        of the weights, default the usual ones. TrainingError: no such device."""
        self.device = device_of(device)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.objective, self.plan, self.folder = objective, plan, folder
        objective.head.to(self.device)
        self.coefficients = coefficients
        #: In the folder, with every state; None: no weights are written.
        self.weights_file: str | None = WEIGHTS_FILE
        self.step = 0
        self.records: list[Record] = []
        parameters = [*self.network.parameters(), *objective.head.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=plan.weight_decay)
        self.hunted = self._prey(0)
        self._activations = Activations(
            self.network, limit=plan.limit, clamp=plan.clamp, compiled=compiled
        )

    # --- running -----------------------------------------------------------------------------

    def run(
        self,
        *,
        save_every: int = 100,
        check: Callable[[CryptoFaceNet], Record] | None = None,
        check_every: int = 0,
    ) -> Generator[Record, None, None]:
        """Train to the end of the plan; yields the record of every step.

        check: numbers about the network, every `check_every` steps and at the end. Then the state
        is saved, and every `save_every` steps, and when the loop is left between two steps.
        An exception within a step leaves what was saved last: half a step is never saved.
        """
        while self.step < self.plan.steps:
            record = self._train()
            due = self.step == self.plan.steps or (check_every > 0 and self.step % check_every == 0)
            if check and due:
                self.network.eval()
                record |= check(self.network)
            self.records.append(record)
            saved = due or self.step % save_every == 0
            if saved:
                self.save()
            try:
                yield record
            except GeneratorExit:
                if not saved:
                    self.save()
                raise

    def _train(self) -> Record:
        plan, step = self.plan, self.step
        bounded = step >= plan.first_bounded
        if bounded and step == plan.first_bounded and step > 0:
            self._settle()
        self.network.train(not bounded)
        for group in self.optimizer.param_groups:
            group["lr"] = plan.rate_at(step)
        raw, known = self.objective.batch(step)
        canvas = pictures(raw.to(self.device))
        faces = augment(canvas, seed_of(plan.seed, "augment", step), plan.augmentation_at(step))
        images = torch.cat([faces, *self._hostile(faces)]) if bounded else faces
        images = images.detach().contiguous(memory_format=torch.channels_last)
        images.requires_grad_(bounded)
        with self._activations as watch:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=plan.half):
                features = self.network.features(images)
                flat = self.network.linear(torch.flatten(features, 1))
            embedding = self.network.bn(flat.float())
            count = len(faces)
            seen = Seen(images[:count].detach(), features[:count].float(), embedding[:count])
            parts = self.objective.loss(seen, known)
            excess = watch.excess
            # Means over faces and over hostile images count alike, however many there are.
            bound = excess[:count].mean()
            if bounded:
                bound = bound + excess[count:].mean()
                outside = norm_penalty(embedding, plan.norms)
                parts["norm"] = outside[:count].mean() + outside[count:].mean()
            parts["bound"] = bound * plan.bound_weight
            total = torch.stack(list(parts.values())).sum()
            largest = watch.largest
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        grown = nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        if not bool(torch.isfinite(grown)):
            raise TrainingError(f"training diverged at step {step}: a lower rate may help")
        self.optimizer.step()
        if bounded:
            self._hunt(images, faces)
        self.step += 1
        record: Record = {
            "step": self.step,
            "rate": plan.rate_at(step),
            "loss": float(total.detach()),
        }
        record |= {name: float(part.detach()) for name, part in parts.items()}
        record["largest"] = float(largest[:count].max())
        if bounded:
            record["largest_hostile"] = float(largest[count:].max())
        return record

    # --- hostile images ----------------------------------------------------------------------

    def _hostile(self, faces: Tensor) -> list[Tensor]:
        """Stress images, spoiled faces, and the hunted images, which must come last."""
        seed, count = seed_of(self.plan.seed, "stress", self.step), self.plan.stress
        half = max(1, count // 2)
        stress = stress_images(seed, half, self.device)
        return [stress, spoiled(faces[: count - half], seed), self.hunted]

    def _prey(self, step: int) -> Tensor:
        seed = seed_of(self.plan.seed, "prey", step)
        return stress_images(seed, self.plan.prey, self.device)

    def _hunt(self, images: Tensor, faces: Tensor) -> None:
        """Move the hunted images to where they do more harm: one step along the sign of the
        gradient, which the training step computed anyway; each starts anew from time to time."""
        count = len(self.hunted)
        assert images.grad is not None
        slope = images.grad[-count:].sign()
        moved = (self.hunted + _HUNT_STEP * slope).clamp(-1, 1)
        age = (torch.arange(count, device=self.device) + self.step) % _HUNT_LENGTH
        fresh = (age == 0).view(-1, 1, 1, 1)
        prey = self._prey(self.step + 1)
        own = min(round(self.plan.hunt_faces * count), len(faces))
        prey[:own] = faces[:own]
        self.hunted = torch.where(fresh, prey, moved).detach()

    def _settle(self) -> None:
        """At the start of the bounded phase: give embeddings the typical squared norm."""
        variance = self.network.bn.running_var
        assert variance is not None
        variance.mul_(variance.numel() / _TYPICAL_NORM)

    # --- state -------------------------------------------------------------------------------

    def save(self) -> None:
        """State, log and weights into the folder, each atomically."""
        tensors = {f"network/{n}": t for n, t in self.network.state_dict().items()}
        tensors |= {f"head/{n}": t for n, t in self.objective.head.state_dict().items()}
        optimizer = files.optimizer_tensors(self.optimizer)
        tensors |= {f"optimizer/{n}": t for n, t in optimizer.items()}
        tensors["hunted"] = self.hunted
        lines = "".join(json.dumps(record) + "\n" for record in self.records)
        files.write_atomically(self.folder / LOG_FILE, lines.encode())
        facts = {"step": self.step, "plan": self.plan.facts()}
        files.save(self.folder / STATE_FILE, tensors, facts)
        if self.weights_file is None:
            return
        state = self.network.state()
        manifest = WeightsManifest.of(state, self.coefficients, facts)
        save_safetensors(state, self.folder / self.weights_file, manifest=manifest)

    def resume(self) -> None:
        """Go on from the folder's state. TrainingError: it is of another plan, or damaged."""
        path = self.folder / STATE_FILE
        tensors, facts = files.load(path)
        theirs, ours = facts.get("plan", {}), _plain(self.plan)
        defaults = _plain(Plan(self.plan.steps, self.plan.batch))
        for name, value in ours.items():
            # What a state of an earlier version does not tell was what it is by default.
            if (found := theirs.get(name, defaults.get(name))) != value:
                raise TrainingError(
                    f"{path}: was made with {name} {found}, not {value}; give the same "
                    "options, or a new folder"
                )
        try:
            self.network.load_state_dict(files.below(tensors, "network"))
            self.objective.head.load_state_dict(files.below(tensors, "head"))
            files.restore_optimizer(self.optimizer, files.below(tensors, "optimizer"))
            self.hunted = tensors["hunted"].to(self.device)
            self.step = int(facts["step"])
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise TrainingError(f"{path}: of another network or data ({reason})") from None
        self.records = read_log(self.folder / LOG_FILE)[: self.step]


def _plain(plan: Plan) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(json.dumps(plan.facts()))
    return facts


def device_of(name: str) -> torch.device:
    """A device by its name. TrainingError: it cannot be used here."""
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise TrainingError(f"device {name!r} cannot be used here ({reason})") from None


def read_log(path: Path) -> list[Record]:
    """The records of a log, one per step. TrainingError: it cannot be read."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: not a log of training ({error})") from None
