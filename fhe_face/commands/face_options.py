"""How a command makes faces of the pictures that it is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fhe_face.failures import USAGE, CommandError
from fhe_face.models.faces import Aligner
from fhe_face.output import Output
from fhe_face.photos.preparation import PreparedFace, prepare


@dataclass(frozen=True)
class FaceOptions:
    """The options --face, --whole, --resize and --aligned; CommandError for some together."""

    face: int | None = None
    whole: bool = False
    resize: bool = False
    aligned: bool = False

    def __post_init__(self) -> None:
        for option, is_set in (("--resize", self.resize), ("--aligned", self.aligned)):
            if is_set and self.face is not None:
                raise CommandError(
                    f"{option} looks for no face: leave out --face or {option}", USAGE
                )
        if self.resize and self.aligned:
            raise CommandError("choose one of --resize and --aligned", USAGE)

    def aligner(self, size: int) -> Aligner | None:
        """For several pictures; None where no face is looked for."""
        return None if self.resize or self.aligned else Aligner(size)

    def prepared(
        self, image: Path, size: int, output: Output, aligner: Aligner | None = None
    ) -> PreparedFace:
        """The face of a picture; what has to be said about it is said.

        Raises:
            ImageError, DetectorError: as `prepare` does.
        """
        face = prepare(
            image,
            size,
            number=self.face,
            whole=self.whole,
            resize=self.resize,
            aligned=self.aligned,
            aligner=aligner,
        )
        for warning in face.warnings:
            output.warn(f"{image}: {warning}")
        return face
