"""``fhe-face evaluate``"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.files import shown
from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.commands import evaluate_pairs
from fhe_face.commands.evaluate_fusion import Opinion, Second
from fhe_face.commands.evaluate_modes import Measured, in_the_clear, norms_of, under_encryption
from fhe_face.commands.evaluate_request import CLEAR_MODES, Request
from fhe_face.commands.evaluate_study import Rows, Study, overlap
from fhe_face.commands.evaluate_table import show
from fhe_face.commands.thresholds import decision, keep, require_keepable
from fhe_face.failures import USAGE, CommandError
from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.models.evaluation.embedding import Embeddings, embed_crops
from fhe_face.models.evaluation.plot import draw
from fhe_face.models.evaluation.report import EvaluationError
from fhe_face.models.evaluation.scores import Array
from fhe_face.models.faces import FaceError
from fhe_face.models.layers import FusedNetwork
from fhe_face.network import caution, coefficients_of, fused, thresholds_of, weights_file
from fhe_face.output import Output
from fhe_face.photos.pair_sheet import draw_worst
from fhe_face.photos.people import Collection, Faces, find_photos, read_faces

if TYPE_CHECKING:
    from fhe_face.commands.evaluate_encrypted import EncryptedRun

#: All pairs are compared: more would not fit the memory.
MAX_IMAGES = 8000


def run(request: Request, as_json: bool) -> None:
    output = Output(as_json)
    outputs = request.check()
    checkpoint = load(weights_file(request.weights))
    if request.folder.suffix.lower() == evaluate_pairs.SUFFIX and not request.folder.is_dir():
        normalisation, _ = _normalisation(request, checkpoint)
        evaluate_pairs.run(request, checkpoint, normalisation.interval, output)
        return
    if request.set_thresholds is not None:
        require_keepable(request.weights, checkpoint, request.flip)
    warning = caution(checkpoint)
    if warning is not None:
        output.warn(warning)
    network = fused(checkpoint)
    normalisation, source = _normalisation(request, checkpoint)
    second = None if request.second is None else Second.read(request.second, checkpoint)
    encrypted = _encrypted_run(request, checkpoint, normalisation)
    found, gallery = _photos(request, output)
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
        enrolled = None if gallery is None else faces.among(gallery)
        shared = None if enrolled is None else _overlap(faces, enrolled, output)
        measured: dict[str, Measured] = {
            mode: in_the_clear(faces, raw, mode, normalisation, enrolled)
            for mode in CLEAR_MODES
            if mode in request.modes
        }
        if encrypted is not None:
            measured["encrypted"] = under_encryption(
                faces, raw, normalisation, encrypted, output, enrolled
            )
        study = Study.of(request, faces, enrolled)
        measured = {mode: one.studied(study) for mode, one in measured.items()}
        head = measured[request.modes[0]]
        sizes = _sizes(study, raw, network, normalisation, output) if request.sizes else None
        fusion = None
        if second is not None:
            own = raw.healthy(normalisation.interval)
            fusion = second.fusion(study, Opinion(checkpoint, raw.raw[own], own), output)
    except EvaluationError as error:
        raise CommandError(f"{shown(request.folder)}: {error}") from None
    except FaceError as error:
        hint = "" if request.aligned else " (or give aligned crops with --aligned)"
        raise CommandError(f"{error}{hint}") from None
    data = {
        **_facts(request, checkpoint, found, faces),
        "coefficients": source,
        "interval": list(normalisation.interval),
        **head.to_json(),
        "squared_norms": norms_of(raw, normalisation),
        "paired_similarity": raw.paired_similarity(raw.healthy(normalisation.interval)),
        "prepare_seconds": prepared - started,
        "embed_seconds": embedded - prepared,
        "modes": {mode: one.to_json() for mode, one in measured.items()},
        "enrolled": study.told,
        "overlap": shared,
        "probe_sizes": sizes,
        "fusion": fusion,
    }
    known = thresholds_of(checkpoint)
    if request.set_thresholds is not None:
        report = measured[request.modes[0]].report
        known = keep(checkpoint, request.set_thresholds, report)
    data["weights_thresholds"] = None if known is None else known.to_json()
    data["decision"] = decision(checkpoint, known)
    if request.plot is not None:
        draw({mode: one.report for mode, one in measured.items()}, request.plot, sizes)
        data["plot"] = str(request.plot)
    if request.worst is not None:
        draw_worst(faces, data["worst"], request.worst)
        data["worst_sheet"] = str(request.worst)
    output.replaced(outputs)
    output.answer(data, lambda console: show(console, data, request.people))


def _normalisation(request: Request, checkpoint: Checkpoint) -> tuple[FittedNormalisation, str]:
    """The polynomial and where it is from: asked for, of the weights, or the default one."""
    if request.coefficients is not None:
        return FittedNormalisation.load(request.coefficients), str(request.coefficients)
    source = "default" if checkpoint.manifest is None else "manifest of the weights"
    return coefficients_of(checkpoint), source


def _photos(request: Request, output: Output) -> tuple[Collection, frozenset[Path] | None]:
    """All photos, and which of them are the gallery's."""
    found, enrolled = find_photos(request.folder), None
    if request.gallery is not None:
        if request.gallery.resolve() == request.folder.resolve():
            raise CommandError(
                f"{shown(request.folder)}: is gallery and probes at once; --templates splits a "
                "folder",
                USAGE,
            )
        gallery = find_photos(request.gallery)
        enrolled = frozenset(photo.path for photo in gallery.photos)
        found = found.with_gallery(gallery)
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
    return found, enrolled


def _overlap(faces: Faces, enrolled: Rows, output: Output) -> dict[str, Any]:
    """What is in both folders; a picture that is in both says nothing about recognition."""
    found = overlap(faces, enrolled)
    for one, two in found["pictures"]:
        output.warn(f"{shown(one)} and {shown(two)} are the same picture, enrolled and looked up")
    return found


def _sizes(
    study: Study,
    raw: Embeddings,
    network: FusedNetwork,
    normalisation: FittedNormalisation,
    output: Output,
) -> list[dict[str, Any]]:
    """In the clear, whatever the mode: cosines are the same."""
    healthy = raw.healthy(normalisation.interval)
    with output.stages() as stage:

        def embed(crops: NDArray[np.uint8]) -> tuple[Array, Rows]:
            small = embed_crops(
                network,
                crops,
                flip=study.request.flip,
                progress=lambda done, total: stage("embedding small probes", done, total),
            )
            return small.raw[fine := small.healthy(normalisation.interval)], fine

        return study.probe_sizes(raw.raw[healthy], healthy, embed)


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
        "gallery": None if request.gallery is None else str(request.gallery),
        "templates": request.templates,
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
