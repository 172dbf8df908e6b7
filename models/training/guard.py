"""Fine-tuning that cannot hurt silently: the best state is kept, and a worse one is not written.

What counts is the gallery-probe validation over held-out people: measured before the first step
and after every epoch. Similarity of an image to a changed copy of itself never counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fhe_face.models.checkpoint import load_state, save_safetensors
from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.manifest import WeightsManifest
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.loop import WEIGHTS_FILE, Record, Trainer
from fhe_face.models.training.state import read_record, write_record

GUARD_FILE: Final = "held-out.json"
BEST_FILE: Final = "best.safetensors"


@dataclass(frozen=True)
class Mark:
    """Of one state on held-out people: rank-1, equal error rate, and after how many steps."""

    rank1: float
    eer: float
    step: int

    @classmethod
    def of(cls, found: Mapping[str, Any], step: int) -> "Mark":
        """From what `people.RankOne` measured."""
        return cls(float(found["rank1"]), float(found["eer"]), step)

    def worse_than(self, other: "Mark") -> bool:
        """Fewer probes were found, or as many with a higher equal error rate."""
        return (self.rank1, -self.eer) < (other.rank1, -other.eer)

    def __str__(self) -> str:
        return f"rank-1 {self.rank1:.3f}, equal error rate {self.eer:.3f}"


class Guard:
    """Keeps the best trained state of a run in its folder, and what was before it."""

    def __init__(
        self,
        trainer: Trainer,
        check: Callable[[CryptoFaceNet], Record],
        allow_worse: bool = False,
    ) -> None:
        """Measures the network before its first step.

        allow_worse: write weights even when they are worse than before. TrainingError: the folder
        holds a run that went on without this record.
        """
        self.trainer, self.allow_worse = trainer, allow_worse
        self._file = trainer.folder / GUARD_FILE
        if trainer.step:
            kept = _read(self._file)
            if kept is None:
                raise TrainingError(f"{self._file}: is missing or damaged; begin in a new folder")
            self.first, self.before, self.best = kept
        else:  # a record without a state may be of other weights or people
            trainer.network.eval()
            self.first = check(trainer.network)
            self.before, self.best = Mark.of(self.first, 0), None
            self._keep()
        # A run that was ended between the step and the look at it.
        if trainer.records and "rank1" in trainer.records[-1]:
            self.look(trainer.records[-1])

    #: What the given weights found.
    first: Record
    #: Of the trained states; None before the first epoch.
    best: Mark | None

    @property
    def allowed(self) -> bool:
        """Whether the best trained state may be written as weights."""
        return self.best is not None and (self.allow_worse or not self.best.worse_than(self.before))

    def look(self, record: Record) -> None:
        """Keep the trainer's state where it is better than all before. `record`: of its step."""
        mark = Mark.of(record, int(record["step"]))
        seen = self.best
        if seen is not None and not (mark.step > seen.step and seen.worse_than(mark)):
            return
        self.best = mark
        self._write(self.trainer.network.state(), self.trainer.folder / BEST_FILE)
        self._keep()
        if self.allowed:
            self.finish()

    def finish(self) -> None:
        """Write the best trained state as the run's weights.

        TrainingError: it is worse than what was before, and that was not allowed.
        """
        if self.best is None:
            raise TrainingError("nothing was trained yet: there are no weights to write")
        if not self.allowed:
            raise TrainingError(
                f"training made it worse for people who were not trained on: before {self.before}; "
                f"at best {self.best} (after step {self.best.step}); no weights were written "
                "(--allow-worse writes these)"
            )
        best = load_state(self.trainer.folder / BEST_FILE)
        self._write(best, self.trainer.folder / WEIGHTS_FILE)

    def facts(self) -> dict[str, Any]:
        """Before and best, as JSON values."""
        return {
            "before": asdict(self.before),
            "best": None if self.best is None else asdict(self.best),
        }

    def _write(self, state: Any, file: Path) -> None:
        record = {"plan": self.trainer.plan.facts(), "held_out": self.facts()}
        save_safetensors(
            state, file, manifest=WeightsManifest.of(state, self.trainer.coefficients, record)
        )

    def _keep(self) -> None:
        content = {"first": self.first, **self.facts()}
        write_record(self._file, content)


def _read(file: Path) -> tuple[Record, Mark, Mark | None] | None:
    try:
        found = read_record(file)
        best = found["best"]
        return found["first"], Mark(**found["before"]), None if best is None else Mark(**best)
    except (TrainingError, KeyError, TypeError):
        return None
