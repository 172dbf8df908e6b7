"""``fhe-face weights card``: everything that a model card says of weights, by one command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fhe_core.files import FileKind, shown, write_whole
from fhe_core.outputs import Outputs
from fhe_face.coeffs.figures import PLOT, figure_class
from fhe_face.commands import evaluate_request
from fhe_face.commands.evaluate_modes import in_the_clear
from fhe_face.commands.evaluate_study import Study
from fhe_face.commands.weights_card_page import HEAD, page
from fhe_face.failures import USAGE, CommandError
from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.models.evaluation.embedding import embed_crops, pixels_as_embeddings
from fhe_face.models.evaluation.plot import draw
from fhe_face.models.evaluation.report import EvaluationError, Report
from fhe_face.models.faces import FaceError
from fhe_face.network import coefficients_of, fused, weights_file
from fhe_face.output import Output
from fhe_face.photos.people import Faces, find_photos, read_faces

if TYPE_CHECKING:
    from rich.console import Console

#: Nothing else is replaced by a card.
CARD: Final = FileKind("a model card", lambda stream: stream.read(len(HEAD)) == HEAD.encode())
#: Crops of two folders that are as alike are one picture.
_ONE_PICTURE: Final = 1 - 1e-6


@dataclass(frozen=True)
class Request:
    """What to measure on what; see ``fhe-face weights card --help``.

    development: people that choices were made by; bounds: stress images and hunted pictures, too;
    teacher: the teacher of the bundled weights on the same photos.
    """

    weights: Path
    folders: tuple[Path, ...]
    development: Path | None
    aligned: bool
    bounds: bool
    teacher: bool
    stress: int
    hunts: int
    hunt_steps: int
    out: Path | None
    plot: Path | None

    @property
    def sets(self) -> tuple[Path, ...]:
        """All folders of people."""
        return (*self.folders, *(() if self.development is None else (self.development,)))


def run(request: Request, as_json: bool) -> None:
    output = Output(as_json)
    outputs = _check(request)
    checkpoint = load(weights_file(request.weights))
    try:
        with output.stages() as stage:
            faces = {}
            for folder in request.sets:
                photos = find_photos(folder).photos
                faces[folder] = read_faces(
                    photos,
                    checkpoint.input_size,
                    aligned=request.aligned,
                    warn=output.warn,
                    stage=stage,
                )
        _require_apart(faces)
        reports: dict[str, Report] = {}
        measured = {
            folder: _measured(folder, own, request, checkpoint, reports)
            for folder, own in faces.items()
        }
        bounds = _bounds(request, checkpoint) if request.bounds else None
    except EvaluationError as error:
        raise CommandError(str(error)) from None
    except FaceError as error:
        raise CommandError(f"{error} (or give aligned crops with --aligned)") from None
    data: dict[str, Any] = {
        "weights": str(checkpoint.path),
        "weights_sha256": checkpoint.sha256,
        "tensors_sha256": checkpoint.tensors_sha256,
        "training": None if checkpoint.manifest is None else dict(checkpoint.manifest.training),
        "sets": [measured[folder] for folder in request.folders],
        "development": None if request.development is None else measured[request.development],
        "bounds": bounds,
    }
    text = page(data)
    if request.out is not None:
        write_whole(request.out, text.encode(), kind=CARD)
        data["card"] = str(request.out)
    if request.plot is not None:
        draw(reports, request.plot)
        data["plot"] = str(request.plot)
    output.replaced(outputs)
    output.answer(data, lambda console: _show(console, text))


def _check(request: Request) -> Outputs:
    """What will be written, after everything that can be refused before time is spent."""
    places = [folder.resolve() for folder in request.sets]
    for one, two in combinations(range(len(places)), 2):
        if places[one] == places[two]:
            raise CommandError(f"{shown(request.sets[two])}: is given twice", USAGE)
    if request.plot is not None:
        figure_class(request.plot, CommandError)
    if request.bounds or request.teacher:
        from fhe_face.commands.train import require_torch

        require_torch()
    outputs = Outputs(request.weights)
    outputs.add(request.out, CARD)
    outputs.add(request.plot, PLOT)
    return outputs


def _require_apart(faces: Mapping[Path, Faces]) -> None:
    """A picture of two sets would be reported twice, or chosen by and reported."""
    pixels = {folder: pixels_as_embeddings(own.crops) for folder, own in faces.items()}
    for (one, first), (two, second) in combinations(faces.items(), 2):
        found = np.argwhere(pixels[one] @ pixels[two].T > _ONE_PICTURE)
        if len(found):
            i, j = found[0]
            raise CommandError(
                f"{shown(first.photos[i].path)} and {shown(second.photos[j].path)} are the same "
                f"picture ({len(found)} like these): sets of a card must be apart"
            )


def _measured(
    folder: Path,
    faces: Faces,
    request: Request,
    checkpoint: Checkpoint,
    reports: dict[str, Report],
) -> dict[str, Any]:
    """One set, as it is, with mirror images, and looked up; with the teacher where asked for."""
    network, normalisation = fused(checkpoint), coefficients_of(checkpoint)
    found: dict[str, Any] = {"name": folder.name, "folder": str(folder)}
    asked = evaluate_request.Request(
        *(folder, request.weights, "cleartext", False, request.aligned),
        *(None, None, None, None, None),
        templates=evaluate_request.HALF,
    )
    for name, flip in (("as_it_is", False), ("flip", True)):
        raw = embed_crops(network, faces.crops, flip=flip)
        mode = in_the_clear(faces, raw, "cleartext", normalisation, None)
        if not flip:
            mode = mode.studied(Study.of(asked, faces, None))
            reports[folder.name] = mode.report
        found[name] = mode.to_json()
    found["teacher"] = _teacher(folder) if request.teacher else None
    return found


def _teacher(folder: Path) -> dict[str, Any]:
    from fhe_face.models.training.baseline import measure
    from fhe_face.models.training.errors import TrainingError
    from fhe_face.models.training.teacher import Teacher

    try:
        return measure(folder, Teacher())
    except TrainingError as error:
        raise CommandError(str(error)) from None


def _bounds(request: Request, checkpoint: Checkpoint) -> dict[str, Any]:
    from fhe_face.models.cryptoface import CryptoFaceNet
    from fhe_face.models.training.bounds import measure, ordinary_pictures

    network = CryptoFaceNet.from_state(checkpoint.state)
    interval = coefficients_of(checkpoint).interval
    found = measure(
        network,
        ordinary_pictures(None),
        *(request.stress, request.hunts, request.hunt_steps),
        interval,
    )
    return {name: asdict(values) for name, values in found.items()}


def _show(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
