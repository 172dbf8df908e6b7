"""What ``fhe-face evaluate`` is asked for, and what of it can be refused before time is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fhe_core.outputs import Outputs
from fhe_face.coeffs.figures import PLOT, figure_class
from fhe_face.failures import USAGE, CommandError
from fhe_face.models.evaluation.embedding import Mode
from fhe_face.models.evaluation.lookup import METHODS, Method
from fhe_face.photos.labelled import LABELLED

CLEAR_MODES: tuple[Mode, ...] = ("cleartext", "polynomial")
MODES = (*CLEAR_MODES, "encrypted", "all")
#: As many photos of a person as --templates may ask for; "half" stands for half of them.
HALF = "half"
_SMALLEST, _LARGEST = 4, 1024


@dataclass(frozen=True)
class Request:
    """What to evaluate on what; see ``fhe-face evaluate --help``."""

    folder: Path
    weights: Path
    mode: str
    flip: bool
    aligned: bool
    limit: int | None
    coefficients: Path | None
    cache: Path | None
    plot: Path | None
    threads: int | None
    set_thresholds: str | None = None
    gallery: Path | None = None
    templates: str | None = None
    quality: bool = False
    probe_sizes: str | None = None
    top: int = 5
    threshold: float | None = None
    people: bool = False
    worst: Path | None = None
    second: Path | None = None
    fuse: str | None = None

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes to measure, the headline first."""
        return (*CLEAR_MODES, "encrypted") if self.mode == "all" else (self.mode,)

    @property
    def methods(self) -> tuple[Method, ...]:
        """How probes are looked up."""
        return METHODS if self.templates is not None else METHODS[:1]

    @property
    def count(self) -> int | None:
        """Photos of each person that are enrolled; None: half of them."""
        if self.templates is None or self.templates == HALF:
            return None
        if not self.templates.isascii() or not self.templates.isdigit() or int(self.templates) < 1:
            raise CommandError(
                f"--templates is '{self.templates}'; it must be {HALF}, or how many photos of "
                "each person to enrol, from 1 on",
                USAGE,
            )
        return int(self.templates)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides of the probes, in pixels, largest first."""
        if self.probe_sizes is None:
            return ()
        parts = [part.strip() for part in self.probe_sizes.split(",")]
        if not all(part.isascii() and part.isdigit() for part in parts) or not all(
            _SMALLEST <= int(part) <= _LARGEST for part in parts
        ):
            raise CommandError(
                f"--probe-size is '{self.probe_sizes}'; it must be sizes in pixels from "
                f"{_SMALLEST} to {_LARGEST}, such as 32,24,16,12",
                USAGE,
            )
        return tuple(sorted({int(part) for part in parts}, reverse=True))

    @property
    def shares(self) -> tuple[float, float]:
        """Weights of the two networks."""
        given = "0.5,0.5" if self.fuse is None else self.fuse
        try:
            one, two = (float(part) for part in given.split(","))
        except ValueError:
            one, two = 0.0, 0.0
        if not (0 < one < float("inf") and 0 < two < float("inf")):
            raise CommandError(
                f"--fuse is '{given}'; it must be two weights above 0, such as 0.6,0.4", USAGE
            )
        return one, two

    def check(self) -> Outputs:
        """What will be written, after everything that can be refused before time is spent."""
        if self.mode not in MODES:
            raise CommandError(f"--mode is '{self.mode}'; it must be {', '.join(MODES)}", USAGE)
        for problem, why in self._contradictions():
            if problem:
                raise CommandError(why, USAGE)
        _ = self.count, self.sizes, self.shares
        if self.plot is not None:
            figure_class(self.plot, CommandError)
        outputs = Outputs(self.weights, self.coefficients, self.second)
        outputs.add(self.plot, PLOT)
        if self.worst is not None and self.worst.suffix.lower() != ".png":
            raise CommandError(f"{self.worst}: a contact sheet must end in .png", USAGE)
        outputs.add(self.worst, LABELLED)
        return outputs

    def _contradictions(self) -> Sequence[tuple[bool, str]]:
        return (
            (
                self.cache is not None and "encrypted" not in self.modes,
                "--cache keeps encrypted results: use --mode encrypted or all",
            ),
            (
                self.gallery is not None and self.limit is not None,
                "--limit chooses from one folder: leave it out with --gallery",
            ),
            (
                self.gallery is not None and self.count is not None,
                f"--gallery says who is enrolled: give --templates {HALF}, which then takes all "
                "of its photos",
            ),
            (self.quality and self.templates is None, "--quality weighs the photos of --templates"),
            (self.fuse is not None and self.second is None, "--fuse weighs two networks: --second"),
            (
                self.threshold is not None and not -1 <= self.threshold <= 1,
                f"--threshold is {self.threshold}; it must be a cosine, -1 to 1",
            ),
        )
