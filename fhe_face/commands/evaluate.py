"""``fhe-face evaluate``"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.files import shown
from fhe_core.outputs import Outputs
from fhe_face.coeffs.figures import PLOT, figure_class
from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.commands.evaluate_table import show
from fhe_face.commands.thresholds import decision, keep, require_keepable
from fhe_face.failures import USAGE, CommandError
from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.models.evaluation.embedding import Embeddings, Mode, embed_crops, pixels_as_embeddings
from fhe_face.models.evaluation.plot import draw
from fhe_face.models.evaluation.report import EvaluationError, Report, evaluate
from fhe_face.models.faces import FaceError
from fhe_face.network import caution, fused, thresholds_of, weights_file
from fhe_face.output import Output
from fhe_face.photos.people import Collection, Faces, find_photos, read_faces

if TYPE_CHECKING:
    from fhe_face.commands.evaluate_encrypted import EncryptedRun

CLEAR_MODES: tuple[Mode, ...] = ("cleartext", "polynomial")
MODES = (*CLEAR_MODES, "encrypted", "all")
#: All pairs are compared: more would not fit the memory.
MAX_IMAGES = 8000


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

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes to measure, the headline first."""
        return (*CLEAR_MODES, "encrypted") if self.mode == "all" else (self.mode,)


@dataclass(frozen=True, eq=False)
class Measured:
    """One mode: its report, the images that the health check refused, and facts of its own."""

    report: Report
    refused: list[dict[str, Any]]
    extra: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Numbers by name; `images` are those that were measured."""
        facts = self.report.to_json()
        facts["evaluated"] = facts.pop("images")
        return {
            **facts,
            "refused": len(self.refused),
            "refused_images": self.refused,
            **self.extra,
        }


def run(request: Request, as_json: bool) -> None:
    output = Output(as_json)
    outputs = _check(request)
    checkpoint = load(weights_file(request.weights))
    if request.set_thresholds is not None:
        require_keepable(request.weights, checkpoint, request.flip)
    warning = caution(checkpoint)
    if warning is not None:
        output.warn(warning)
    network = fused(checkpoint)
    normalisation, source = _normalisation(request, checkpoint)
    encrypted = _encrypted_run(request, checkpoint, normalisation)
    found = _photos(request, output)
    started = time.perf_counter()
    try:
        with output.stages() as stage:
            faces = read_faces(
                found.photos,
                network.input_size,
                aligned=request.aligned,
                warn=output.warn,
                stage=stage,
            )
            prepared = time.perf_counter()
            raw = embed_crops(
                network,
                faces.crops,
                flip=request.flip,
                progress=lambda done, total: stage("embedding", done, total),
            )
        embedded = time.perf_counter()
        _warn_about(faces, output)
        measured: dict[str, Measured] = {
            mode: _clear(faces, raw, mode, normalisation)
            for mode in CLEAR_MODES
            if mode in request.modes
        }
        if encrypted is not None:
            measured["encrypted"] = _encrypted(faces, raw, normalisation, encrypted, output)
    except EvaluationError as error:
        raise CommandError(f"{shown(request.folder)}: {error}") from None
    except FaceError as error:
        hint = "" if request.aligned else " (or give aligned crops with --aligned)"
        raise CommandError(f"{error}{hint}") from None
    data = {
        **_facts(request, checkpoint, found, faces),
        "coefficients": source,
        "interval": list(normalisation.interval),
        **measured[request.modes[0]].to_json(),
        "squared_norms": _norms(raw, normalisation),
        "paired_similarity": raw.paired_similarity(raw.healthy(normalisation.interval)),
        "prepare_seconds": prepared - started,
        "embed_seconds": embedded - prepared,
        "modes": {mode: one.to_json() for mode, one in measured.items()},
    }
    known = thresholds_of(checkpoint)
    if request.set_thresholds is not None:
        report = measured[request.modes[0]].report
        known = keep(checkpoint, request.set_thresholds, report)
    data["weights_thresholds"] = None if known is None else known.to_json()
    data["decision"] = decision(checkpoint, known)
    if request.plot is not None:
        draw({mode: one.report for mode, one in measured.items()}, request.plot)
        data["plot"] = str(request.plot)
        output.replaced(outputs)
    output.answer(data, lambda console: show(console, data))


def _check(request: Request) -> Outputs:
    """What will be written, after everything that can be refused before time is spent."""
    if request.mode not in MODES:
        raise CommandError(f"--mode is '{request.mode}'; it must be {', '.join(MODES)}", USAGE)
    if request.cache is not None and "encrypted" not in request.modes:
        raise CommandError("--cache keeps encrypted results: use --mode encrypted or all", USAGE)
    if request.plot is not None:
        figure_class(request.plot, CommandError)
    outputs = Outputs(request.weights, request.coefficients)
    outputs.add(request.plot, PLOT)
    return outputs


def _normalisation(request: Request, checkpoint: Checkpoint) -> tuple[FittedNormalisation, str]:
    """The polynomial and where it is from: asked for, of the weights, or the default one."""
    if request.coefficients is not None:
        return FittedNormalisation.load(request.coefficients), str(request.coefficients)
    if checkpoint.manifest is not None:
        return checkpoint.manifest.coefficients, "manifest of the weights"
    return FittedNormalisation.load(), "default"


def _photos(request: Request, output: Output) -> Collection:
    found = find_photos(request.folder)
    for folder in found.nested:
        output.warn(f"{shown(folder)}: a folder in a person's folder; not looked into")
    if found.other_files:
        output.note(f"{found.other_files} files that are no images are left out")
    for person in found.without:
        output.warn(f"{shown(person)}: no image of this person is left")
    if request.limit is not None:
        found = found.limited(request.limit)
    if len(found.photos) > MAX_IMAGES:
        raise CommandError(
            f"{shown(request.folder)}: {len(found.photos)} images; all pairs of at most "
            f"{MAX_IMAGES} are compared (--limit chooses that many)"
        )
    if found.people < 2:
        raise CommandError(
            f"{shown(request.folder)}: images of one person only; it takes two people to see "
            "whether they are told apart"
        )
    return found


def _warn_about(faces: Faces, output: Output) -> None:
    for first, second in faces.repeated():
        output.warn(f"{first} and {second} are the same picture")
    for flag, count in sorted(faces.flags.items()):
        output.note(f"alignment: {count} of {len(faces.photos)} images: {flag}")


def _encrypted_run(
    request: Request, checkpoint: Checkpoint, normalisation: FittedNormalisation
) -> EncryptedRun | None:
    if "encrypted" not in request.modes:
        return None
    from fhe_face.commands.evaluate_encrypted import EncryptedRun

    return EncryptedRun.prepare(
        checkpoint.path,
        checkpoint.tensors_sha256,
        normalisation,
        checkpoint.input_size,
        request.flip,
        request.cache,
        request.threads,
    )


def _refusals(
    faces: Faces, norms: Sequence[float | None], healthy: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    return [
        {"image": str(photo), "squared_norm": norm}
        for photo, norm, fine in zip(faces.photos, norms, healthy, strict=True)
        if not fine
    ]


def _clear(
    faces: Faces, raw: Embeddings, mode: Mode, normalisation: FittedNormalisation
) -> Measured:
    healthy = raw.healthy(normalisation.interval)
    refused = _refusals(faces, raw.squared_norms.tolist(), healthy)
    embeddings = raw.normalised(mode, normalisation)[healthy]
    return Measured(_report(embeddings, healthy, faces, refused), refused, {})


def _encrypted(
    faces: Faces,
    raw: Embeddings,
    normalisation: FittedNormalisation,
    run: EncryptedRun,
    output: Output,
) -> Measured:
    outcomes = run.embed(faces.crops, output)
    healthy = np.array([outcome.values is not None for outcome in outcomes], dtype=bool)
    refused = _refusals(faces, [outcome.squared_norm for outcome in outcomes], healthy)
    for entry, reason in zip(refused, (o.reason for o in outcomes if o.reason), strict=True):
        entry["reason"] = reason
    values = [outcome.values for outcome in outcomes if outcome.values is not None]
    embeddings = np.stack(values) if values else np.zeros((0, raw.raw.shape[1]))
    wanted = raw.normalised("polynomial", normalisation)[healthy]
    report = _report(embeddings, healthy, faces, refused)
    contrasts = np.array([outcome.contrast for outcome in outcomes])
    # The clear ones are of the faces as they are.
    alike = contrasts[healthy] == 1
    embeddings, wanted = embeddings[alike], wanted[alike]
    cosines = np.sum(embeddings * wanted, axis=1) / (
        np.linalg.norm(embeddings, axis=1) * np.linalg.norm(wanted, axis=1)
    )
    errors = np.linalg.norm(embeddings - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    expected = raw.healthy(normalisation.interval)
    same_decision = np.where(expected, healthy, ~healthy | (contrasts < 1))
    seconds = [outcome.seconds for outcome in outcomes]
    extra = {
        "embed_seconds_mean": float(np.mean(seconds)),
        "with_less_contrast": int(np.count_nonzero(healthy & (contrasts < 1))),
        "cosine_to_cleartext_min": float(cosines.min(initial=1)),
        "relative_l2_error_max": float(errors.max(initial=0)),
        "health_agrees_with_cleartext": int(np.count_nonzero(same_decision)),
    }
    return Measured(report, refused, extra)


def _report(
    embeddings: NDArray[np.float64],
    healthy: NDArray[np.bool_],
    faces: Faces,
    refused: Sequence[dict[str, Any]],
) -> Report:
    """Of the embeddings of the healthy faces."""
    try:
        return evaluate(
            embeddings, faces.labels[healthy], pixels_as_embeddings(faces.crops[healthy])
        )
    except EvaluationError as error:
        lost = {
            "refused by the health check": len(refused),
            "without a face": len(faces.no_face),
            "unreadable": len(faces.unreadable),
        }
        named = ", ".join(f"{count} {what}" for what, count in lost.items() if count)
        raise EvaluationError(f"{error}" + (f" ({named})" if named else "")) from None


def _facts(
    request: Request, checkpoint: Checkpoint, found: Collection, faces: Faces
) -> dict[str, Any]:
    return {
        "folder": str(request.folder),
        "weights": str(checkpoint.path),
        "weights_sha256": checkpoint.sha256,
        "tensors_sha256": checkpoint.tensors_sha256,
        "architecture": checkpoint.architecture,
        "input_size": checkpoint.input_size,
        "mode": request.mode,
        "flip": request.flip,
        "aligned": request.aligned,
        "limit": request.limit,
        "people": found.people,
        "images": len(found.photos),
        "unreadable": len(faces.unreadable),
        "unreadable_images": faces.unreadable,
        "no_face": len(faces.no_face),
        "no_face_images": faces.no_face,
        "other_files": found.other_files,
        "repeated": [list(pair) for pair in faces.repeated()],
        "alignment_remarks": dict(faces.flags),
    }


def _norms(raw: Embeddings, normalisation: FittedNormalisation) -> dict[str, Any]:
    """Of the healthy images, before normalisation."""
    norms = raw.squared_norms[raw.healthy(normalisation.interval)]
    return {
        "minimum": float(norms.min()) if norms.size else None,
        "mean": float(norms.mean()) if norms.size else None,
        "maximum": float(norms.max()) if norms.size else None,
    }
