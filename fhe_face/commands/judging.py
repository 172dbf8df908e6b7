"""By which thresholds a score is judged: those of a weights file, or one that was given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fhe_face.client.sharing import Decision, SharingError
from fhe_face.client.verification import SAID, failing, passing, sentence
from fhe_face.failures import USAGE, CommandError
from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.models.thresholds import Thresholds, Verdict
from fhe_face.network import caution, require_thresholds, weights_file
from fhe_face.output import Output

UNNAMED = "judged by the thresholds of the bundled weights (--weights names those of the server)"


@dataclass(frozen=True)
class Judge:
    """--threshold and --weights; without both, the bundled weights.

    CommandError: both, or a threshold that no cosine can be compared with.
    """

    threshold: float | None = None
    weights: Path | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and self.weights is not None:
            raise CommandError("choose one of --threshold and --weights, which has some", USAGE)
        if self.threshold is not None:
            try:
                Decision(self.threshold)
            except SharingError as error:
                raise CommandError(str(error)) from None

    @property
    def asked(self) -> bool:
        """Whether an option chose it."""
        return self.threshold is not None or self.weights is not None

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        return load(weights_file(self.weights))

    @cached_property
    def thresholds(self) -> Thresholds | None:
        """Of the weights; None where one threshold was given.

        Raises:
            CheckpointError, WeightsError: the weights cannot be read, or have none.
        """
        return None if self.threshold is not None else require_thresholds(self._checkpoint)

    @property
    def same_from(self) -> float:
        """The cosine from which faces are the same."""
        if self.threshold is not None:
            return self.threshold
        assert self.thresholds is not None
        return self.thresholds.same_from

    def verdict(self, cosine: float) -> Verdict:
        """What is said about a cosine."""
        if self.thresholds is not None:
            return self.thresholds.verdict(cosine)
        return Verdict.SAME if cosine >= self.same_from else Verdict.DIFFERENT

    def sentence(self, cosine: float) -> str:
        """The verdict in one line."""
        if self.thresholds is not None:
            return sentence(cosine, self.thresholds)
        said = SAID[self.verdict(cosine)]
        return f"{said}: cosine {cosine:.3f}, threshold {self.same_from:.3f}, as given"

    def rule(self) -> str:
        """What all verdicts follow from, in one line."""
        if self.thresholds is None:
            return f"same from cosine {self.same_from:.3f} on, as given"
        low = f"{self.thresholds.different_below:.3f}, below which {failing(self.thresholds)}"
        return (
            f"same from cosine {self.same_from:.3f} on, at which {passing(self.thresholds)}; "
            f"different below {low}"
        )

    def facts(self) -> dict[str, Any]:
        """For JSON: which thresholds, and whose."""
        if self.thresholds is None:
            return {"threshold": self.same_from, "weights": None}
        return {
            "threshold": self.same_from,
            "different_below": self.thresholds.different_below,
            "weights": str(self._checkpoint.path),
        }

    def announce(self, output: Output) -> None:
        """Say what has to be known about where the thresholds come from; errors as theirs."""
        if self.thresholds is None:
            return
        said = [] if self.asked else [UNNAMED]
        demonstration = caution(self._checkpoint)
        if demonstration is not None:
            said.append(demonstration)
        if said:
            output.warn("; ".join(said))
